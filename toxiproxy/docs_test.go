package toxiproxy

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The page has each type, with all its attributes.
func TestPageHasTheToxics(t *testing.T) {
	page, err := os.ReadFile("../docs/toxiproxy.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, make := range types {
		row := regexp.MustCompile("(?m)^\\| `" + name + "` \\|([^|]*)\\|").FindStringSubmatch(string(page))
		if row == nil {
			t.Errorf("docs/toxiproxy.md lacks %s", name)
			continue
		}
		for _, attribute := range (&toxic{Attributes: make()}).attributeNames() {
			if !strings.Contains(row[1], "`"+attribute+"`") {
				t.Errorf("docs/toxiproxy.md lacks %s of %s", attribute, name)
			}
		}
	}
}
