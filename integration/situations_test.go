package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

const situationsPage = "../examples/situations.md"

// lastSituation is the number of the last row that the literature has given us.
const lastSituation = 61

// unshown are the situations that no file can show; their rows say why.
var unshown = []string{"D07", "D23"}

// Every situation has its row, and each row a file that is there, or the reason why not.
func TestSituationsAreWhole(t *testing.T) {
	row := regexp.MustCompile(`(?m)^\| (D\d+) \| ([^|]+) \| ([^|]+) \|$`)
	next := 1
	for _, m := range row.FindAllStringSubmatch(page(t), -1) {
		id, shown := m[1], m[3]
		if want := fmt.Sprintf("D%02d", next); id != want {
			t.Fatalf("row %s stands where %s is due", id, want)
		}
		next++
		if hasFile := len(linksIn(shown)) > 0; hasFile == slices.Contains(unshown, id) {
			t.Errorf("%s: shown by a file: %v", id, hasFile)
		}
	}
	if next != lastSituation+1 {
		t.Errorf("the last row is D%02d, want D%02d", next-1, lastSituation)
	}
}

// Every link leads somewhere, and every file can be reached.
func TestSituationsReachEveryExample(t *testing.T) {
	links := linksIn(page(t))
	for _, to := range links {
		if _, err := os.Stat(filepath.Join("../examples", to)); err != nil {
			t.Errorf("dead link: %v", err)
		}
	}
	files, err := filepath.Glob("../examples/rules/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, file := range files {
		if !slices.Contains(links, "rules/"+filepath.Base(file)) {
			t.Errorf("%s does not lead to %s", situationsPage, file)
		}
	}
}

// Every link bears the name of what it leads to.
func TestSituationsNameTheirLinks(t *testing.T) {
	for _, m := range link.FindAllStringSubmatch(page(t), -1) {
		if name := strings.TrimSuffix(filepath.Base(m[2]), ".toml"); name != m[1] {
			t.Errorf("[%s] leads to %s", m[1], m[2])
		}
	}
}

func page(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(situationsPage)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// link is a name and where it leads.
var link = regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`)

// linksIn are the targets of a text's links.
func linksIn(text string) (targets []string) {
	for _, m := range link.FindAllStringSubmatch(text, -1) {
		targets = append(targets, m[2])
	}
	return targets
}
