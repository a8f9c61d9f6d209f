// Package badfiles holds what is said about mistakes in rule files against the files
// themselves: each ends with a comment in which the words stand.
package badfiles

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/rules"
)

// mark stands between a file and what is to be said about it.
const mark = "\n# want:\n"

// Pattern is where a package keeps its bad files.
const Pattern = "testdata/*.bad.toml"

// Test reads the bad files of the package under test, a subtest for each, and returns how
// many mistakes each has. With update, what is said now is written into them.
func Test(t *testing.T, update bool) map[string]int {
	t.Helper()
	files, err := filepath.Glob(Pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d files, %v", Pattern, len(files), err)
	}
	mistakes := make(map[string]int)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".bad.toml")
		t.Run(name, func(t *testing.T) { mistakes[name] = check(t, file, update) })
	}
	return mistakes
}

// check compares what is said about one file with its comment.
func check(t *testing.T, file string, update bool) (mistakes int) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	set, err := rules.Parse(filepath.Base(file), string(text))
	var found rules.Errors
	if set != nil || !errors.As(err, &found) {
		t.Fatalf("accepted: %v, %v", set, err)
	}
	body, want, _ := strings.Cut(string(text), mark)
	got := comment(t, found)
	if got != want && update {
		if err := os.WriteFile(file, []byte(body+mark+got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
	return len(found)
}

// comment is what is said, as the end of a bad file.
func comment(t *testing.T, found rules.Errors) string {
	t.Helper()
	var said, lines strings.Builder
	if err := found.Render(&said); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(said.String()) {
		lines.WriteString("# " + line)
	}
	return lines.String()
}
