package lab

import (
	"slices"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
	"github.com/tcpmangle/tcpmangle/rules"
)

// TestTablesAreWhatIsRead: the reference and the reader know the same keys.
func TestTablesAreWhatIsRead(t *testing.T) {
	const text = `
[lab]
link = { delay = "1ms" }
[client]
script = "connect server:80"
[server]
script = "listen 80"
[[expect]]
client = "CLOSED"
[[expect]]
rule = "rule-1"
[[expect]]
error = "client: EOF"
[[step]]
when = { client = "CLOSED" }
do = "heal"
[[proxy]]
address = "198.18.0.2:80"
upstream = "127.0.0.1:80"
[[rule]]
action = "pass"
`
	doc := tomldoc.Parse("all.toml", text)
	r := reader{doc: doc, text: text, file: &File{}}
	r.read()
	root := doc.Root()
	for _, want := range Tables() {
		var asked []string
		if want.List {
			for _, table := range root.Tables(want.Name) {
				asked = append(asked, table.Asked()...)
			}
		} else if table, ok := root.Table(want.Name); ok {
			asked = table.Asked()
		}
		if want.Name == "client" { // asks for it to say that only the server has it
			asked = slices.DeleteFunc(asked, func(key string) bool { return key == "ready" })
		}
		sameKeys(t, want.Name, want.Keys, asked)
	}
	lab, _ := root.Table("lab")
	link, _ := lab.Table("link")
	sameKeys(t, "link", LinkKeys(), link.Asked())
	when, _ := root.Tables("step")[0].Table("when")
	sameKeys(t, "when", WhenKeys(), when.Asked())
}

func sameKeys(t *testing.T, table string, docs []rules.KeyDoc, asked []string) {
	t.Helper()
	var want []string
	for _, k := range docs {
		want = append(want, k.Name)
	}
	for _, keys := range []*[]string{&want, &asked} {
		slices.Sort(*keys)
		*keys = slices.Compact(*keys)
	}
	if !slices.Equal(want, asked) {
		t.Errorf("%s: the reference has %v, the reader asks for %v", table, want, asked)
	}
}
