package engine_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/rules"
)

var update = flag.Bool("update", false, "write what came out into testdata")

// Each testdata/*.bad.toml has one mistake in the parameters of an action, and ends
// with a comment that holds what is to be said about it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.toml"), func(t *testing.T) { checkBad(t, file) })
	}
}

func checkBad(t *testing.T, file string) {
	const mark = "\n# want:\n"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	body, want, _ := strings.Cut(string(text), mark)
	_, err = rules.Parse(filepath.Base(file), body)
	var errs rules.Errors
	if !errors.As(err, &errs) || len(errs) != 1 {
		t.Fatalf("one mistake wanted, got: %v", err)
	}
	var rendered bytes.Buffer
	if err := errs.Render(&rendered); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(rendered.String()) {
		got.WriteString("# " + line)
	}
	switch {
	case got.String() == want:
	case *update:
		if err := os.WriteFile(file, []byte(body+mark+got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Errorf("got\n%swant\n%s", got.String(), want)
	}
}
