package tcpmangle

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Every link of every page leads to a file that is there, and to a heading of it.
func TestLinks(t *testing.T) {
	links := 0
	for _, page := range markdown(t) {
		for _, to := range linksOf(prose(t, page)) {
			links++
			if why := dead(t, page, to); why != "" {
				t.Errorf("%s: (%s): %s", page, to, why)
			}
		}
	}
	if links < 100 {
		t.Errorf("%d links found: the test does not look well", links)
	}
}

// Whoever begins at the README comes to every page.
func TestPagesCanBeReached(t *testing.T) {
	reached := map[string]bool{"README.md": true}
	for todo := []string{"README.md"}; len(todo) > 0; todo = todo[1:] {
		for _, to := range linksOf(prose(t, todo[0])) {
			file, _, _ := strings.Cut(to, "#")
			page := filepath.Join(filepath.Dir(todo[0]), file)
			if info, err := os.Stat(page); err == nil && info.IsDir() {
				page = filepath.Join(page, "README.md")
			}
			if _, err := os.Stat(page); err == nil && filepath.Ext(page) == ".md" && !reached[page] {
				reached[page] = true
				todo = append(todo, page)
			}
		}
	}
	for _, page := range markdown(t) {
		if !reached[page] {
			t.Errorf("no way leads from README.md to %s", page)
		}
	}
}

// markdown are the pages of the repository.
func markdown(t *testing.T) (pages []string) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "node_modules") {
			return fs.SkipDir
		}
		if err == nil && filepath.Ext(path) == ".md" {
			pages = append(pages, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return pages
}

var code = regexp.MustCompile("(?ms)^```.*?^```|`[^`\n]*`")

// prose is a page without what is code in it.
func prose(t *testing.T, page string) string {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	return code.ReplaceAllString(string(text), "code")
}

var target = regexp.MustCompile(`\]\(([^)\s]+)[^)]*\)`)

// linksOf are the targets of a text's links within the repository.
func linksOf(text string) (links []string) {
	for _, m := range target.FindAllStringSubmatch(text, -1) {
		if !strings.Contains(m[1], "://") {
			links = append(links, m[1])
		}
	}
	return links
}

// dead says why a link of a page leads nowhere, and nothing if it does not.
func dead(t *testing.T, page, to string) string {
	t.Helper()
	file, heading, hasHeading := strings.Cut(to, "#")
	if file == "" {
		file = page
	} else {
		file = filepath.Join(filepath.Dir(page), file)
	}
	if _, err := os.Stat(file); err != nil {
		return err.Error()
	}
	if hasHeading && !hasAnchor(t, file, heading) {
		return "there is no such heading"
	}
	return ""
}

var (
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	notInAnchor = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

// hasAnchor tells whether a heading of the page has this anchor: its words in lower
// case, with - between them.
func hasAnchor(t *testing.T, page, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		words := notInAnchor.ReplaceAllString(strings.ToLower(m[1]), "")
		if strings.ReplaceAll(words, " ", "-") == anchor {
			return true
		}
	}
	return false
}

// A link is read as readers see it, and one that leads nowhere is found.
func TestLinksFinds(t *testing.T) {
	for _, row := range []struct {
		to   string
		dead bool
	}{
		{"docs/lab.md", false},
		{"docs/lab.md#the-verdict", false},
		{"docs/lab.md#no-such-heading", true},
		{"docs/no-such-page.md", true},
		{"#limits", false},
		{"#no-such-heading", true},
	} {
		if why := dead(t, "README.md", row.to); (why != "") != row.dead {
			t.Errorf("%s: %q, dead %v wanted", row.to, why, row.dead)
		}
	}
	got := linksOf("[a](b.md), [c](https://d), [e](f.md#g \"title\")")
	if want := "b.md f.md#g"; strings.Join(got, " ") != want {
		t.Errorf("links %v, want %s", got, want)
	}
}
