package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

// expand replaces folders by the files in them with an ending, in the order of
// their names.
func expand(paths []string, ending string) (files []string, err error) {
	for _, path := range paths {
		if !isFolder(path) {
			files = append(files, path)
			continue
		}
		found, err := filesIn(path, ending)
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, &usageError{err: fmt.Errorf("%s: no *%s in this folder", path, ending)}
		}
		files = append(files, found...)
	}
	return files, nil
}

func filesIn(folder, ending string) (files []string, err error) {
	err = filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ending) {
			files = append(files, path)
		}
		return err
	})
	slices.Sort(files)
	return files, err
}

// guard refuses to write a file that is read, two things to one file, and to standard output what
// belongs in a file. It comes before anything is opened for writing.
func guard(inputs []string, outputs ...string) error {
	outputs = slices.DeleteFunc(outputs, func(path string) bool { return path == "" })
	for i, out := range outputs {
		if out == "-" {
			return &usageError{err: errors.New("captures and pictures go to files, not to standard output")}
		}
		for _, other := range outputs[:i] {
			if samePath(out, other) {
				return &usageError{err: fmt.Errorf("%s: two outputs cannot go to one file", out)}
			}
		}
		for _, in := range inputs {
			if sameFile(in, out) {
				return &usageError{err: fmt.Errorf("%s is read: it cannot be written to as well", out)}
			}
		}
	}
	return nil
}

// unlessStdout is the file that something goes to which may go to standard output as well.
func unlessStdout(path string) string {
	if path == "-" {
		return ""
	}
	return path
}

// samePath tells whether two paths lead to one file, which need not be there yet.
func samePath(a, b string) bool {
	x, errX := filepath.Abs(a)
	y, errY := filepath.Abs(b)
	return errX == nil && errY == nil && x == y || sameFile(a, b)
}

func sameFile(a, b string) bool {
	x, errX := os.Stat(a)
	y, errY := os.Stat(b)
	return errX == nil && errY == nil && os.SameFile(x, y)
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// loadLabs reads lab and rule files; what is wrong with any of them comes together.
func loadLabs(paths []string) ([]*lab.File, error) { return loadAll[rules.Errors](paths, lab.Load) }

// loadAll reads files of a kind, each from what it is known by, whose mistakes are of a type.
func loadAll[E interface {
	~[]M
	mistakes
}, M error, S, T any](sources []S, load func(S) (T, error)) (files []T, err error) {
	var bad E
	var unread []error
	for _, source := range sources {
		f, err := load(source)
		var found E
		switch {
		case errors.As(err, &found):
			bad = append(bad, found...)
		case err != nil:
			unread = append(unread, err)
		default:
			files = append(files, f)
		}
	}
	if err := together(bad, unread); err != nil {
		return nil, err
	}
	return files, nil
}

// readLabs reads what the arguments name; in folders rule files without hosts
// are passed over.
func readLabs(args []string) (files []*lab.File, err error) {
	paths, err := expand(args, ".toml")
	if err != nil {
		return nil, err
	}
	all, err := loadLabs(paths)
	if err != nil {
		return nil, err
	}
	for _, f := range all {
		switch {
		case f.IsLab():
			files = append(files, f)
		case slices.Contains(args, f.Path):
			return nil, &usageError{err: fmt.Errorf("%s: %w", f.Path, lab.ErrNotLab), hint: "tcpmangle check " + f.Path}
		}
	}
	if len(files) == 0 {
		return nil, &usageError{err: fmt.Errorf("%s: no lab file in there", strings.Join(args, ", "))}
	}
	return files, nil
}

func pathsOf(files []*lab.File) (paths []string) {
	for _, f := range files {
		paths = append(paths, f.Path)
	}
	return paths
}

// together is all that is wrong with files, as what it is if it is all of one sort.
func together(bad mistakes, unread []error) error {
	none := len(bad.Unwrap()) == 0
	switch {
	case len(unread) > 0 && !none:
		return &badFiles{bad, unread}
	case len(unread) > 0:
		return &usageError{err: errors.Join(unread...)}
	case !none:
		return bad
	}
	return nil
}

// badFiles are mistakes in files beside files that cannot be read.
type badFiles struct {
	mistakes mistakes
	unread   []error
}

func (b *badFiles) Error() string   { return errors.Join(b.Unwrap()...).Error() }
func (b *badFiles) Unwrap() []error { return slices.Concat(b.mistakes.Unwrap(), b.unread) }

// Render writes the mistakes at their places, then which files could not be read.
func (b *badFiles) Render(w io.Writer) error {
	err := b.mistakes.Render(w)
	complain(w, errors.Join(b.unread...), "")
	return err
}
