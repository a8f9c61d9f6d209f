package packaging

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// The module as the workflow downloads it.
const (
	module  = "github.com/tcpmangle/tcpmangle"
	version = "v1.2.3"
)

// The workflow's commands do, as they stand, what a runner would have them do: this tree is what they
// install, from a proxy of our own, and examples are the labs.
func TestWorkflow(t *testing.T) {
	if os.Getenv("TCPMANGLE_PACKAGES") == "" {
		lacking(t, "TCPMANGLE_PACKAGES is not set: this compiles the command")
	}
	text, err := os.ReadFile("github-action.yml")
	nstest.Must(t, err)
	workspace := t.TempDir()
	nstest.Must(t, os.CopyFS(filepath.Join(workspace, "labs"), labs(t, "last-ack-lost.toml", "syn-refused.toml")))

	env := runner(t)
	steps := regexp.MustCompile(`(?m)^\s+- run: (.*)$`).FindAllSubmatch(text, -1)
	if len(steps) != 2 {
		t.Fatalf("%d steps found: the test does not look well", len(steps))
	}
	for _, step := range steps {
		cmd := exec.Command("bash", "-e", "-c", string(step[1]))
		cmd.Dir, cmd.Env = workspace, env
		if _, err := output(cmd); err != nil {
			t.Fatal(err)
		}
	}

	artifact := regexp.MustCompile(`path: ([\w.]+)`).FindSubmatch(text)
	if artifact == nil {
		t.Fatal("nothing is uploaded")
	}
	report, err := os.ReadFile(filepath.Join(workspace, string(artifact[1])))
	nstest.Must(t, err)
	if got := strings.Count(string(report), ` failures="0" `); got != 2 {
		t.Errorf("the report is of %d labs that passed, want 2: %s", got, report)
	}
}

// labs is a folder with some of the examples.
func labs(t *testing.T, names ...string) fs.FS {
	t.Helper()
	folder := t.TempDir()
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join("..", "examples", "rules", name))
		nstest.Must(t, err)
		nstest.Must(t, os.WriteFile(filepath.Join(folder, name), text, 0o644))
	}
	return os.DirFS(folder)
}

// runner is the environment of a runner, without a network: the module comes from our proxy, and what
// it needs from what has been downloaded to compile this test; sudo need not change anything.
func runner(t *testing.T) (env []string) {
	t.Helper()
	said, err := exec.Command("go", "env", "GOMODCACHE").Output()
	nstest.Must(t, err)
	downloaded := filepath.Join(strings.TrimSpace(string(said)), "cache", "download")
	bin, path := t.TempDir(), t.TempDir()
	nstest.Must(t, os.WriteFile(filepath.Join(bin, "sudo"), []byte("#!/bin/sh\nexec \"$@\"\n"), 0o755))
	return append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"), "GOPATH="+path, "GOMODCACHE="+filepath.Join(path, "pkg"), "GOBIN=",
		"GOPROXY=file://"+proxy(t)+",file://"+downloaded, "GOSUMDB=off",
		"GOFLAGS=-modcacherw -trimpath", "CGO_ENABLED=0") // as build.sh has compiled it already
}

// proxy is a folder that the go command takes for a proxy with one module: this tree.
func proxy(t *testing.T) string {
	t.Helper()
	folder := t.TempDir()
	at := filepath.Join(folder, module, "@v")
	nstest.Must(t, os.MkdirAll(at, 0o755))
	gomod, err := os.ReadFile("../go.mod")
	nstest.Must(t, err)
	for name, text := range map[string]string{
		"list":            version + "\n",
		version + ".info": `{"Version": "` + version + `"}`,
		version + ".mod":  string(gomod),
	} {
		nstest.Must(t, os.WriteFile(filepath.Join(at, name), []byte(text), 0o644))
	}
	nstest.Must(t, pack(filepath.Join(at, version+".zip")))
	return folder
}

// pack writes this tree's files as the archive of the module; folders with a go.mod are modules of
// their own.
func pack(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	archive := zip.NewWriter(f)
	err = filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "dist" || path != ".." && hasModule(path)):
			return fs.SkipDir
		case !d.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		inside, err := filepath.Rel("..", path)
		if err != nil {
			return err
		}
		w, err := archive.Create(module + "@" + version + "/" + filepath.ToSlash(inside))
		if err == nil {
			_, err = w.Write(text)
		}
		return err
	})
	return errors.Join(err, archive.Close(), f.Close())
}

func hasModule(folder string) bool {
	_, err := os.Stat(filepath.Join(folder, "go.mod"))
	return err == nil
}
