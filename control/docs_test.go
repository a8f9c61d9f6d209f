package control_test

import (
	"os"
	"strings"
	"testing"
)

// The page names every call.
func TestPageHasTheCalls(t *testing.T) {
	page, err := os.ReadFile("../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, route := range newRig(t, noRules, 1).Routes() {
		if !strings.Contains(string(page), "`"+route+"`") {
			t.Errorf("docs/api.md does not name %s", route)
		}
	}
}
