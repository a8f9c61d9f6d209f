package main

import (
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

// project is the folder of the project, seen from here.
const project = "../.."

// pages are what users read: README, CONTRIBUTING, docs, the examples' and the packaging's.
func pages(t *testing.T) map[string]string {
	t.Helper()
	var files []string
	for _, pattern := range []string{"*.md", "docs/*.md", "packaging/*.md", "examples/*.md", "examples/incidents/*.md",
		"examples/incidents/*/*.md", "internal/ladder/*.md"} {
		found, _ := filepath.Glob(filepath.Join(project, pattern))
		files = append(files, found...)
	}
	text := map[string]string{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		text[f] = string(b)
	}
	return text
}

var block = regexp.MustCompile("(?ms)^```([a-z]+)\n(.*?)^```$")

// blocks are the fenced blocks of a page in one of some languages.
func blocks(text string, languages ...string) (found []string) {
	for _, m := range block.FindAllStringSubmatch(text, -1) {
		if slices.Contains(languages, m[1]) {
			found = append(found, m[2])
		}
	}
	return found
}

func TestReferencePage(t *testing.T) {
	var b strings.Builder
	writeReference(&b)
	same(t, filepath.Join(project, "docs", "reference.md"), b.String())
}

// Every file that a page shows is one that would be read, rules or lab.
func TestTOMLInPages(t *testing.T) {
	n := 0
	for page, text := range pages(t) {
		for _, b := range blocks(text, "toml") {
			f, err := lab.Parse(page, b)
			if err != nil {
				t.Errorf("%v in\n%s", err, b)
				continue
			}
			if isLab := strings.Contains(b, "[client]"); f.IsLab() != isLab {
				t.Errorf("%s: a lab: %v, want %v:\n%s", page, f.IsLab(), isLab, b)
			}
			n++
		}
	}
	if n < 2 {
		t.Errorf("%d blocks found: the test does not look well", n)
	}
}

// Every call that a page shows is one that the command understands.
func TestCallsInPages(t *testing.T) {
	call := regexp.MustCompile(`(?m)^(?:\$ )?(?:go run \./cmd/)?tcpmangle( [^#\n]*)`)
	n := 0
	for page, text := range pages(t) {
		for _, b := range blocks(text, "sh", "console") {
			for _, m := range call.FindAllStringSubmatch(b, -1) {
				if err := understood(strings.Fields(m[1])); err != nil {
					t.Errorf("%s: tcpmangle%s: %v", page, m[1], err)
				}
				n++
			}
		}
	}
	if n < 4 {
		t.Errorf("%d calls found: the test does not look well", n)
	}
}

func understood(args []string) error {
	cmd, rest, err := newRoot().Find(args)
	if err == nil {
		err = cmd.ParseFlags(rest)
	}
	if err == nil {
		err = cmd.ValidateArgs(cmd.Flags().Args())
	}
	return err
}

// shownBy is what a page shows of a call's output; its first line is the call.
func shownBy(t *testing.T, page, call string) string {
	t.Helper()
	for _, b := range blocks(pages(t)[filepath.Join(project, page)], "console") {
		if first, rest, _ := strings.Cut(b, "\n"); first == "$ "+call {
			return rest
		}
	}
	t.Fatalf("%s does not show %q", page, call)
	return ""
}

// The README's mistakes are those that are printed.
func TestMistakesInREADME(t *testing.T) {
	cmd := command(t, "check", "late-fin.toml")
	cmd.Dir = "testdata"
	o := finish(t, cmd)
	o.wants(t, 2)
	if want := shownBy(t, "README.md", "tcpmangle check late-fin.toml"); o.stderr != want {
		t.Errorf("printed\n%s\nthe README shows\n%s", o.stderr, want)
	}
}

// The README's run is what one sees: but for times, ports and how often was looked.
func TestLabInREADME(t *testing.T) {
	needLab(t)
	t.Parallel()
	const file = "examples/rules/last-ack-lost.toml"
	want := shownBy(t, "README.md", "go run ./cmd/tcpmangle lab "+file)
	cmd := command(t, "lab", file)
	cmd.Dir = project
	o := finish(t, cmd)
	o.wants(t, 0)
	if got, want := essence(o.stdout), essence(want); got != want {
		t.Errorf("printed\n%s\nthe README shows\n%s", got, want)
	}
}

// essence leaves out of a report what differs from run to run: of the ladder it keeps
// the segments that a rule has touched.
func essence(report string) string {
	var keep []string
	for line := range strings.Lines(report) {
		if ladder := strings.Contains(line, "|"); !ladder || strings.Contains(line, "lose-last-ack") {
			keep = append(keep, line)
		}
	}
	numbers := regexp.MustCompile(`\d+\.\d+(m?s)?\b|client 10.77.1.1:\d+|\d+ of \d+`)
	return numbers.ReplaceAllString(strings.Join(keep, ""), "*")
}

// The event that the page shows is one.
func TestEventInPage(t *testing.T) {
	text := pages(t)[filepath.Join(project, "docs", "events.md")]
	for _, b := range blocks(text, "json") {
		if keys := keysOf(t, b); !keysFit(keys, eventKeys["segment"]) {
			t.Errorf("docs/events.md shows the keys\n%v, a segment has\n%s", keys, eventKeys["segment"])
		}
	}
	for _, typ := range engine.EventTypes() {
		has(t, "docs/events.md", text, "| `"+typ+"` |")
	}
}

// The README has a word on every action and every command.
func TestREADMEIsWhole(t *testing.T) {
	text := pages(t)[filepath.Join(project, "README.md")]
	rows := strings.Join(regexp.MustCompile(`(?m)^\| `+"`.*$").FindAllString(text, -1), "\n")
	for _, f := range rules.Faults() {
		has(t, "the README", rows, "`"+f.Name+"`")
	}
	for _, c := range newRoot().Commands() {
		if c.GroupID != "" && !strings.Contains(rows, "`"+c.Name()+"`") {
			has(t, "the README", rows, "| `"+c.Name()+" ")
		}
	}
}

// The tables of the examples' page name each of them once.
func TestExamplesInTheirPage(t *testing.T) {
	named := namedIn(t, "examples/README.md")
	for _, file := range examples(t) {
		name := "examples/rules/" + filepath.Base(file)
		if named[name] != 1 {
			t.Errorf("%s is named %d times, want once", name, named[name])
		}
		delete(named, name)
	}
	for name := range named {
		t.Errorf("%s is named, and not there", name)
	}
}

// The README shows a few of them.
func TestExamplesInREADME(t *testing.T) {
	named := namedIn(t, "README.md")
	if len(named) < 4 || len(named) > 8 {
		t.Errorf("the README's tables name %d examples, want about six", len(named))
	}
	for name, n := range named {
		if _, err := os.Stat(filepath.Join(project, name)); err != nil || n != 1 {
			t.Errorf("%s is named %d times: %v", name, n, err)
		}
	}
}

// namedIn counts how often the tables of a page name each example, by its path. A link is
// called as its file is.
func namedIn(t *testing.T, page string) map[string]int {
	t.Helper()
	named := map[string]int{}
	rows := regexp.MustCompile(`(?m)^\|.*$`).FindAllString(pages(t)[filepath.Join(project, page)], -1)
	for _, m := range regexp.MustCompile(`\[([^\]]*)\]\(((?:examples/)?rules/[^)]*)\)`).FindAllStringSubmatch(strings.Join(rows, "\n"), -1) {
		path := filepath.Join(filepath.Dir(page), m[2])
		named[path]++
		if path != "examples/rules/"+m[1]+".toml" {
			t.Errorf("%s: [%s] leads to %s", page, m[1], m[2])
		}
	}
	return named
}

func examples(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(project, "examples", "rules", "*.toml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	return files
}

// Each example tells its story, does something and expects something.
func TestExamplesAreWhole(t *testing.T) {
	for _, file := range examples(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		f, err := lab.Load(file)
		if err != nil {
			t.Error(err)
			continue
		}
		story, _, _ := strings.Cut(string(text), "\n\n")
		switch {
		case !strings.HasPrefix(story, "# ") || len(story) < 100:
			t.Errorf("%s does not open with its story", file)
		case f.Title == "":
			t.Errorf("%s has no title", file)
		case len(f.Rules.Rules) == 0:
			t.Errorf("%s has no rule", file)
		case !strings.Contains(string(text), "\n[[expect]]"):
			t.Errorf("%s expects nothing", file)
		}
	}
}

// The reference has a word on every kind.
func TestEveryKindIsExplained(t *testing.T) {
	writeKinds(io.Discard) // indexes kindDocs
	for i, doc := range kindDocs {
		if doc == "" {
			t.Errorf("kind %d has no explanation", i)
		}
	}
}
