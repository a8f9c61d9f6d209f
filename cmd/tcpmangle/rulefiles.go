package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

// ruleFiles are the rule files of a call: each by itself, and the rules of all in their order.
type ruleFiles struct {
	labs []*lab.File
	set  *rules.Set
}

// loadRules reads rule files, each once, for a pipe has its text only once. They may be lab
// files: all of each is checked. What is wrong with any of them comes together.
func loadRules(paths []string) (*ruleFiles, error) {
	texts, unread := readTexts(paths)
	files, err := parseRules(texts)
	if len(unread) == 0 {
		return files, err
	}
	bad, _ := errors.AsType[rules.Errors](err)
	return nil, together(bad, unread)
}

// readTexts reads files; unread says which it could not, and why.
func readTexts(paths []string) (texts []rules.Text, unread []error) {
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			unread = append(unread, err)
			continue
		}
		texts = append(texts, rules.Text{File: path, Text: string(text)})
	}
	return texts, unread
}

// mustRead is readTexts where nothing goes without all of them.
func mustRead(paths []string) ([]rules.Text, error) {
	texts, unread := readTexts(paths)
	return texts, together(rules.Errors(nil), unread)
}

// rereadable refuses files that have their text only once, as pipes do: read again they are empty.
func rereadable(paths []string) error {
	for _, path := range paths {
		if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
			return &usageError{err: fmt.Errorf("%s: it is no regular file, and cannot be read again", path)}
		}
	}
	return nil
}

// parseRules reads the texts of files.
func parseRules(texts []rules.Text) (*ruleFiles, error) {
	labs, err := loadAll[rules.Errors](texts, func(t rules.Text) (*lab.File, error) { return lab.Parse(t.File, t.Text) })
	if err != nil {
		return nil, err
	}
	set, err := rules.ParseAll(texts...)
	if err != nil {
		return nil, err
	}
	return &ruleFiles{labs, set}, nil
}
