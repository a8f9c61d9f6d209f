package tomldoc

import (
	"reflect"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
)

// everyForm has each way of writing a key and a value.
const everyForm = `
title = "a # b" # a comment, with = and [brackets]
"quoted key" = 'raw \ text'
` + `bare-key_1 = 1979-05-27 07:32:00 # a date with a space
dotted.name . "with.dot" = +1_000
empty = ""
multi = """
one "quoted" word, \""" and two at the end"""""
rawmulti = '''
# no comment ' or '' '''
array = [ 1, [2, 3], # comment ]
  "four", { x = [5], y.z = "}" }, ]
inline = { a = 1, b.c = { d = "," }, "e" = [] }
lines = {
  first = 1, # TOML 1.1
  second = [
    { deep = true },
  ],
}

[table]
key = 1
[ table . "sub table" ]
key = 2
[[list]]
key = 3
[list.sub]
key = 4
[[list]]
key = 5
[[list.inner]]
key = 6
[[list.inner]]
key = 7
`

// checkKeys holds the scanner's keys against the parser's.
func checkKeys(t *testing.T, text string) {
	t.Helper()
	var values map[string]any
	meta, err := toml.Decode(text, &values)
	if err != nil {
		return
	}
	var want [][]string
	for _, key := range meta.Keys() {
		want = append(want, key)
	}
	if got := scan(text).keys; !reflect.DeepEqual(got, want) {
		t.Errorf("scanner and parser disagree on\n%s\ngot  %q\nwant %q", text, got, want)
	}
}

func TestScanKeys(t *testing.T) {
	if _, err := toml.Decode(everyForm, new(map[string]any)); err != nil {
		t.Fatalf("the sample is wrong: %v", err)
	}
	checkKeys(t, everyForm)
	checkKeys(t, strings.ReplaceAll(everyForm, "\n", "\r\n"))
}

func TestScanQuotedKeys(t *testing.T) {
	for _, text := range []string{
		`"a\tb\\c\"d" = 1`,
		`"\u00e9\U0001F600\x41\e" = 1`,
		`"" = 1`,
		`'' = 1`,
		`'a\b' = 1`,
		`a."b.c".'d' = 1`,
		`["a]b"]` + "\nx = 1",
		`[['a]]b']]` + "\nx = 1",
		`x = { "}" = '}', '{' = "{" }`,
		`x = [ "]", ''']''', """]""" ]`,
		`x = """\\"""` + "\ny = 1",
		"x = \"\"\"\\\n  more\"\"\"\ny = 1",
		`x = """"""` + "\ny = ''''''\nz = 1",
		`x = """"a""""` + "\ny = 1",
		"x = 1#comment\ny = [1]#comment\nz = {a=1}#comment",
	} {
		if _, err := toml.Decode(text, new(map[string]any)); err != nil {
			t.Errorf("the parser refuses %s: %v", text, err)
		}
		checkKeys(t, text)
	}
}

// FuzzScan holds the scanner's keys against the parser's for every text that the
// parser accepts, and each value that was decoded against its node.
func FuzzScan(f *testing.F) {
	f.Add(everyForm)
	f.Add("[[rule]]\nmatch = { port = 80 }\naction = \"drop\"\n[[rule]]\nmatch.port = [1,2]\n")
	f.Add("a = [[[{b=[{c={}}]}]]]\n[x.y]\n[x]\n[[z.y]]\n")
	f.Fuzz(func(t *testing.T, text string) {
		text = trimMark(text)
		checkKeys(t, text)
		values := map[string]any{}
		if decode(text, &values) != nil {
			return
		}
		if at, why := unreadable(text); why != "" {
			t.Fatalf("%v: %s, but the parser reads it", at, why)
		}
		checkNodes(t, scan(text).root, values, len(text))
	})
}

// checkNodes walks values and nodes side by side.
func checkNodes(t *testing.T, n *node, value any, end int) {
	t.Helper()
	if n == nil {
		t.Fatalf("no node for %v", value)
	}
	for _, s := range []span{n.key, n.value} {
		if s.start < 0 || s.start > s.end || s.end > end {
			t.Fatalf("span %v of %v is outside the text of %d bytes", s, value, end)
		}
	}
	switch value := value.(type) {
	case map[string]any:
		for name, v := range value {
			checkNodes(t, n.children[name], v, end)
		}
	case []any:
		if len(value) != len(n.items) {
			t.Fatalf("%d items for %v", len(n.items), value)
		}
		for i, v := range value {
			checkNodes(t, n.items[i], v, end)
		}
	case []map[string]any:
		if len(value) != len(n.items) {
			t.Fatalf("%d items for %v", len(n.items), value)
		}
		for i, v := range value {
			checkNodes(t, n.items[i], v, end)
		}
	}
}
