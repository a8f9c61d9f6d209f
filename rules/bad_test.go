package rules_test

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

// Each testdata/*.bad.toml ends with a comment that holds what is to be said about it.
func TestBadFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.bad.toml")
	if err != nil || len(files) < 40 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".bad.toml"), func(t *testing.T) { checkBad(t, file) })
	}
}

const wantMark = "\n# want:\n"

func checkBad(t *testing.T, file string) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	body, want, _ := strings.Cut(string(text), wantMark)
	set, err := rules.Parse(filepath.Base(file), string(text))
	var errs rules.Errors
	if set != nil || !errors.As(err, &errs) {
		t.Fatalf("accepted: %v, %v", set, err)
	}
	var rendered bytes.Buffer
	if err := errs.Render(&rendered); err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	for line := range strings.Lines(rendered.String()) {
		got.WriteString("# " + line)
	}
	if got.String() == want {
		return
	}
	if *update {
		if err := os.WriteFile(file, []byte(body+wantMark+got.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	t.Errorf("got\n%swant\n%s", got.String(), want)
}

// FuzzParse: no text panics; every mistake lies inside the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("testdata/*.bad.toml")
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
