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

// guard refuses to write a file that is read, or two things to one file. It comes
// before anything is opened for writing.
func guard(inputs []string, outputs ...string) error {
	taken := make(map[string]bool)
	for _, out := range outputs {
		if out == "" || out == "-" {
			continue
		}
		path := filepath.Clean(out)
		if taken[path] {
			return &usageError{err: fmt.Errorf("%s: two outputs cannot go to one file", out)}
		}
		taken[path] = true
		for _, in := range inputs {
			if sameFile(in, out) {
				return &usageError{err: fmt.Errorf("%s is read: it cannot be written to as well", out)}
			}
		}
	}
	return nil
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
func loadLabs(paths []string) (files []*lab.File, err error) {
	var bad badFiles
	for _, path := range paths {
		f, err := lab.Load(path)
		var found rules.Errors
		switch {
		case errors.As(err, &found):
			bad.mistakes = append(bad.mistakes, found...)
		case err != nil:
			bad.unread = append(bad.unread, err)
		default:
			files = append(files, f)
		}
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	return files, nil
}

// badFiles are mistakes in files beside files that cannot be read.
type badFiles struct {
	mistakes rules.Errors
	unread   []error
}

// err is all of it, as what it is if it is all of one sort.
func (b *badFiles) err() error {
	switch {
	case len(b.unread) > 0 && len(b.mistakes) > 0:
		return b
	case len(b.unread) > 0:
		return &usageError{err: errors.Join(b.unread...)}
	case len(b.mistakes) > 0:
		return b.mistakes
	}
	return nil
}

func (b *badFiles) Error() string   { return errors.Join(b.Unwrap()...).Error() }
func (b *badFiles) Unwrap() []error { return append(b.mistakes.Unwrap(), b.unread...) }

// Render writes the mistakes at their places, then which files could not be read.
func (b *badFiles) Render(w io.Writer) error {
	err := b.mistakes.Render(w)
	for _, e := range b.unread {
		_, next := fmt.Fprintln(w, e)
		err = errors.Join(err, next)
	}
	return err
}

// loadRules reads the rules of one or more files, in their order, as one set.
// The files may be lab files: all of each is checked.
func loadRules(paths []string) (*rules.Set, error) {
	if _, err := loadLabs(paths); err != nil {
		return nil, err
	}
	return rules.Load(paths...)
}
