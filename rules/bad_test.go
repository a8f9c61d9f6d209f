package rules_test

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/badfiles"
	"github.com/tcpmangle/tcpmangle/rules"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// What is said about mistakes in every part of a rule file.
func TestBadFiles(t *testing.T) {
	if n := len(badfiles.Test(t, *update)); n < 40 {
		t.Errorf("%d files, want 40 at least", n)
	}
}

// FuzzParse: no text panics; every mistake lies inside the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(badfiles.Pattern)
	for _, file := range files {
		text, _ := os.ReadFile(file)
		f.Add(string(text))
	}
	f.Add("[[rule]]\nmatch = { client = \"[fd77::/64]:80-90\", connection = \"every 5\", age = \"1s-2s\" }\nactions = [\"test-drop\"]\n")
	f.Fuzz(func(t *testing.T, text string) {
		_, err := rules.Parse("f", text)
		var errs rules.Errors
		if !errors.As(err, &errs) {
			return
		}
		lines := strings.Split(text, "\n")
		for _, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len([]rune(lines[e.Line-1]))+1 {
				t.Fatalf("outside of the file: %v", e)
			}
		}
	})
}
