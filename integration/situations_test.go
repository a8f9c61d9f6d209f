package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
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
		if hasFile := len(exampleLinks(shown)) > 0; hasFile == slices.Contains(unshown, id) {
			t.Errorf("%s: shown by a file: %v", id, hasFile)
		}
	}
	if next != lastSituation+1 {
		t.Errorf("the last row is D%02d, want D%02d", next-1, lastSituation)
	}
}

// Every link leads to a file, and every file can be reached.
func TestSituationsReachEveryExample(t *testing.T) {
	reached := map[string]bool{}
	for _, name := range exampleLinks(page(t)) {
		reached[name] = true
		if _, err := os.Stat(filepath.Join("../examples/rules", name)); err != nil {
			t.Errorf("dead link: %v", err)
		}
	}
	files, err := filepath.Glob("../examples/rules/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, file := range files {
		if !reached[filepath.Base(file)] {
			t.Errorf("%s does not lead to %s", situationsPage, file)
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

// exampleLinks are the files of examples/rules that a text links to, by the name that the
// link shows: the two must be one.
func exampleLinks(text string) (names []string) {
	for _, m := range regexp.MustCompile(`\[([^\]]+)\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		names = append(names, filepath.Base(m[2]))
		if m[2] != "rules/"+m[1]+".toml" {
			names = append(names, fmt.Sprintf("[%s](%s)", m[1], m[2])) // which is no file
		}
	}
	return names
}
