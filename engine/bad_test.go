package engine_test

import (
	"flag"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/badfiles"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// What is said about the parameters of an action: one mistake a file.
func TestBadFiles(t *testing.T) {
	for name, mistakes := range badfiles.Test(t, *update) {
		if mistakes != 1 {
			t.Errorf("%s has %d mistakes, want 1", name, mistakes)
		}
	}
}
