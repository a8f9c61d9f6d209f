package lab

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A program of the file's folder runs there, leaves something in $TMPDIR for its
// successor, and nothing of it is there after the run.
func TestProgramsHaveAPlace(t *testing.T) {
	nstest.NeedTUN(t)
	dir := t.TempDir()
	program := "#!/bin/sh\necho at $(pwd), temporary $TMPDIR\nif [ -e $TMPDIR/left ]; then echo found; exit; fi\ntouch $TMPDIR/left\nexec sleep 100\n"
	if err := os.WriteFile(filepath.Join(dir, "program.sh"), []byte(program), 0o755); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "lab.toml")
	text := "[client]\nrun = ['./program.sh']\n[[step]]\nat = '200ms'\ndo = 'restart client'\n[[expect]]\nstdout = 'client: ^found$'\n"
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Execute(t.Context(), f, Options{})
	if err != nil {
		t.Fatal(err)
	}
	passes(t, res)
	at, tmp, _ := strings.Cut(strings.TrimPrefix(res.Client.Output[0].Text, "at "), ", temporary ")
	if at != dir {
		t.Errorf("the program ran in %s, its file stands in %s", at, dir)
	}
	if _, err := os.Stat(tmp); !os.IsNotExist(err) {
		t.Errorf("%s is still there (%v)", tmp, err)
	}
}
