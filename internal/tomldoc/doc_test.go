package tomldoc

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

// messages finishes a document and gives its mistakes, one a line.
func messages(d *Doc) string {
	d.Finish()
	var b strings.Builder
	for _, err := range d.Errors() {
		b.WriteString(err.Error() + "\n")
	}
	return b.String()
}

func check(t *testing.T, got, want string) {
	t.Helper()
	if strings.TrimSpace(got) != strings.TrimSpace(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// The toml package reports a mistake in any [[rule]] at the last one.
func TestMistakeInItsOwnTable(t *testing.T) {
	d := Parse("f", `
[[rule]]
delay = 1
match.port = true
  [rule.inner]
  key = 1
[[rule]]
delay = "1s"
  [rule.inner]
  key = "x"
[[rule]]
delay = "2"
`)
	for i, rule := range d.Root().Tables("rule") {
		rule.In(Section{Kind: "rule", Index: i + 1})
		rule.Duration("delay")
		if match, ok := rule.Table("match"); ok {
			match.Int("port")
		}
		if inner, ok := rule.Table("inner"); ok {
			inner.Text("key")
		}
	}
	check(t, messages(d), `
f:3:9: rule 1: delay: 1 has no unit; write "1s" or "1ms"
f:4:14: rule 1: match.port: must be an integer, not a boolean
f:6:9: rule 1: inner.key: must be a string, not an integer
f:12:9: rule 3: delay: "2" has no unit; write "2s" or "2ms"`)
}

func TestPlaces(t *testing.T) {
	d := Parse("f", "\ufeffkey = 1\r\n[a.b]\r\n\"ü\" = 'é' # x\r\nlist = [\n\t10, 200,\n]\n\"q k\" = \"\"\"\nx\n\"\"\"\n")
	a, _ := d.Root().Table("a")
	b, _ := a.Table("b")
	list, _ := b.Value("list")
	for _, row := range []struct {
		name  string
		place Place
		want  string
	}{
		{"root key", d.Root().KeyPlace("key"), "1:1 3"},
		{"root value", d.Root().ValuePlace("key"), "1:7 1"},
		{"header names the parent", d.Root().KeyPlace("a"), "2:2 1"},
		{"table", b.Place(), "2:1 5"},
		{"table's key", a.KeyPlace("b"), "2:4 1"},
		{"quoted key, in characters", b.KeyPlace("ü"), "3:1 3"},
		{"value, in characters", b.ValuePlace("ü"), "3:7 3"},
		{"list: its first line", b.ValuePlace("list"), "4:8 1"},
		{"element behind a tab", list.List()[0].Place(), "5:2 2"},
		{"second element", list.List()[1].Place(), "5:6 3"},
		{"multi-line string", b.ValuePlace("q k"), "7:9 3"},
		{"absent key", b.KeyPlace("none"), "2:1 5"},
		{"absent value", b.ValuePlace("none"), "2:1 5"},
	} {
		if got := fmt.Sprintf("%d:%d %d", row.place.Line, row.place.Col, row.place.Width); got != row.want {
			t.Errorf("%s: got %s, want %s", row.name, got, row.want)
		}
	}
}

func TestExcerpt(t *testing.T) {
	d := Parse("f", "\n\t\tdelay = \"10 ms\"\n")
	d.Root().Duration("delay")
	got := d.Errors()[0].Excerpt()
	want := "    2 | \t\tdelay = \"10 ms\"\n      | \t\t        ^^^^^^^\n"
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// What is between quotes or behind # nests nothing, and lists may be long.
func TestNestedEnough(t *testing.T) {
	for _, text := range []string{
		"a = [" + strings.Repeat("1.5, ", 500) + "]",
		"a = '''" + strings.Repeat("[{.", 500) + "'''",
		"a = \"" + strings.Repeat(".", 500) + "\" # " + strings.Repeat("[.", 500),
		strings.Repeat("[[a]]\nb = {c = [{}]}\n", 500),
		"a = " + strings.Repeat("[", 100) + strings.Repeat("]", 100),
	} {
		if errs := Parse("f", text).Errors(); len(errs) > 0 {
			t.Errorf("%.40s...: %v", text, errs)
		}
	}
}

// What a file holds cannot be a command to the terminal that shows it.
func TestExcerptIsPrintable(t *testing.T) {
	d := Parse("f", "a\x1b[31m\a = 1\n")
	got := d.Errors()[0].Excerpt()
	if want := "    1 | a\ufffd[31m\ufffd = 1\n      |  ^\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for _, row := range []struct{ text, want string }{
		{"a = 1\na = 2\n", "f:2:1: key 'a' has already been defined"},
		{"a = \"x", `f:1:6: unexpected EOF; expected '"'`},
		{"a = \n", `f:1:5: expected value but found '\n' instead`},
		{"[[rule]]\nx 1\n", "f:2:3: expected '.' or '=', but got '1' instead"},
		{"a = \"é", `f:1:6: unexpected EOF; expected '"'`},
		{"[a\n", ""},
		{"a = 01\n", "f:1:5: invalid integer \"01\": cannot have leading zeroes"},

		// bytes that no text has
		{"\x00", "f:1:1: a NUL byte, as in UTF-16; save the file as UTF-8"},
		{"\xff\xfea\x00=\x001\x00", "f:1:2: a NUL byte, as in UTF-16; save the file as UTF-8"},
		{"# é\x00", "f:1:4: a NUL byte, as in UTF-16; save the file as UTF-8"},
		{"# caf\xe9\na = 1 1", "f:1:6: byte 0xe9 is not UTF-8; save the file as that"},
		{"a = \"\xff\"", "f:1:6: byte 0xff is not UTF-8; save the file as that"},
		{"a = \"\ufffd\xff\"", "f:1:7: byte 0xff is not UTF-8; save the file as that"},
		{"a = \"x\x07\"", `f:1:7: control character 0x07; in a string with double quotes write "\u0007"`},
		{"a = 1\r\nb = 2\rc", `f:2:6: control character 0x0d; in a string with double quotes write "\u000d"`},

		// more than anybody means
		{"a = " + strings.Repeat("[", 101), "f:1:105: nested more than 100 deep"},
		{"a = 1\n" + strings.Repeat("b={", 200), "f:2:303: nested more than 100 deep"},
		{"[" + strings.Repeat("a.", 200) + "a]", "f:1:203: nested more than 100 deep"},

		// values without quotes
		{"a = drop\n", `f:1:5: expected value but found "drop" instead; a text has quotes: "drop"`},
		{"a = 50ms # x\n", `f:1:7: expected a top-level item to end with a newline, comment, or EOF, but got 'm' instead; a text has quotes: "50ms"`},
		{"a = { b = 50ms }\n", `f:1:13: expected a comma or an inline table terminator '}', but got 'm' instead; a text has quotes: "50ms"`},
		{"a = [ 5%, 6% ]\n", `f:1:8: expected a comma (',') or array terminator (']'), but got '%'; a text has quotes: "5%"`},
		{"a = >=5s\n", `f:1:5: expected value but found '>' instead; a text has quotes: ">=5s"`},
		{"a = !fin", `f:1:5: expected value but found '!' instead; a text has quotes: "!fin"`},
		{"a = [\n  [drop],\n]", `f:2:4: expected value but found "drop" instead; a text has quotes: "drop"`},
		{"a = True\n", `f:1:5: expected value but found "True" instead; write true`},
		{"a = \"x\ny = 1", "f:1:7: strings cannot contain newlines"},
		{"a = .5s\n", `f:1:5: floats must start with a digit, not '.'; a text has quotes: ".5s"`},
		{"a = +x\n", `f:1:5: expected a digit but got 'x'; a text has quotes: "+x"`},
		{"a = \"[\\w]+\"\n", `f:1:6: invalid escape in string '\w'`},
		{"a = \"=\\xyz\"\n", `f:1:6: expected two hexadecimal digits after '\x', but got "=\\xy" instead`},
		{"a = { b = 1, b = 2 }\n", "f:1:14: key 'a.b' has already been defined"},
		{"a = { b = 1, c: 2 }\n", "f:1:15: expected '.' or '=', but got ':' instead"},
		{"a = 1 b = 2\n", "f:1:6: expected a top-level item to end with a newline, comment, or EOF, but got 'b' instead"},
	} {
		d := Parse("f", row.text)
		got := messages(d)
		if row.want == "" && got == "" || row.want != "" && strings.TrimSpace(got) != row.want {
			t.Errorf("%q: got %swant %s", row.text, got, row.want)
		}
		if keys := d.Root().Keys(); len(keys) > 0 {
			t.Errorf("%q: a refused text has keys %q", row.text, keys)
		}
	}
}

func TestUnknownKeys(t *testing.T) {
	d := Parse("f", `
titel = "x"
other = { anything = 1 }
skipped = { anything = 1 }
[rule]
Client-State = 1
zzz = { not = "listed twice" }
[rule.match]
prot = 80
sub = [{ a = 1, bb = 2 }]
[open]
k.l = 1
`)
	root := d.Root()
	root.Skip("skipped")
	root.Text("title")
	rule, _ := root.Table("rule")
	rule.In(Section{"rule", 1, "one"})
	rule.Has("client_state")
	match, _ := rule.Table("match")
	match.Has("port")
	for _, sub := range match.Tables("sub") {
		sub.Has("a")
		sub.Has("b")
	}
	root.Value("open") // as a whole
	check(t, messages(d), `
f:2:1: unknown key "titel"; did you mean "title"?
f:3:1: unknown key "other"
f:6:1: rule 1 "one": unknown key "Client-State"; did you mean "client_state"?
f:7:1: rule 1 "one": unknown key "zzz"
f:9:1: rule 1 "one": match: unknown key "prot"; did you mean "port"?
f:10:17: rule 1 "one": match.sub: unknown key "bb"`)
}

func TestReaders(t *testing.T) {
	text := `
text = "x"
int = -3
float = 1.5
empty = ""
bool = true
duration = "1.5s"
size = "64KiB"
bytes = 1500
rate = "10mbit"
probability = "5%"
one = "a"
many = ["a", "b"]
`
	d := Parse("f", text)
	r := d.Root()
	for _, row := range []struct {
		key  string
		read func(string) (any, bool)
		want any
	}{
		{"text", of(r.Text), "x"},
		{"text", of(r.AnyText), "x"},
		{"empty", of(r.AnyText), ""},
		{"int", of(r.Int), int64(-3)},
		{"int", of(r.Float), -3.0},
		{"float", of(r.Float), 1.5},
		{"bool", of(r.Bool), true},
		{"duration", of(r.Duration), 1500 * time.Millisecond},
		{"size", of(r.Size), int64(65536)},
		{"bytes", of(r.Size), int64(1500)},
		{"rate", of(r.Rate), int64(10_000_000)},
		{"probability", of(r.Probability), 0.05},
		{"one", of(r.Strings), []string{"a"}},
		{"many", of(r.Strings), []string{"a", "b"}},
	} {
		got, ok := row.read(row.key)
		if !ok || !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s: got %v, %v, want %v", row.key, got, ok, row.want)
		}
		if _, ok := row.read("absent"); ok {
			t.Errorf("%s: an absent key was read", row.key)
		}
	}
	check(t, messages(d), "")
	if want := strings.Fields("text int float empty bool duration size bytes rate probability one many"); !reflect.DeepEqual(r.Keys(), want) {
		t.Errorf("keys: got %q, want %q", r.Keys(), want)
	}
}

// of makes the readers alike.
func of[T any](read func(string) (T, bool)) func(string) (any, bool) {
	return func(key string) (any, bool) {
		v, ok := read(key)
		return v, ok
	}
}

func TestReadersRefuse(t *testing.T) {
	for _, row := range []struct {
		value string
		read  func(*Table, string) bool
		want  string
	}{
		{`1`, refuse((*Table).Text), "must be a string, not an integer"},
		{`""`, refuse((*Table).Text), "must not be empty"},
		{`1`, refuse((*Table).AnyText), "must be a string, not an integer"},
		{`"3"`, refuse((*Table).Int), "must be an integer; write 3 without quotes"},
		{`3.5`, refuse((*Table).Int), "must be an integer, not a float"},
		{`"x"`, refuse((*Table).Int), "must be an integer, not a string"},
		{`"1.5"`, refuse((*Table).Float), "must be a number; write 1.5 without quotes"},
		{`nan`, refuse((*Table).Float), "must be a finite number"},
		{`[]`, refuse((*Table).Float), "must be a number, not a list"},
		{`"true"`, refuse((*Table).Bool), "must be true or false, not a string"},
		{`10`, refuse((*Table).Duration), `10 has no unit; write "10s" or "10ms"`},
		{`1.5`, refuse((*Table).Duration), `must be a duration like "200ms", not a float`},
		{`"10 ms"`, refuse((*Table).Duration), `"10 ms" is not a duration; write "10ms"`},
		{`"-1s"`, refuse((*Table).Duration), `"-1s" is negative`},
		{`-1`, refuse((*Table).Size), `-1 is negative`},
		{`true`, refuse((*Table).Size), `must be a size like 1500 or "64KiB", not a boolean`},
		{`8`, refuse((*Table).Rate), `8 has no unit; write "8kbit" or "8kB/s"`},
		{`8.5`, refuse((*Table).Rate), `must be a rate like "10mbit", not a float`},
		{`5`, refuse((*Table).Probability), `5 is not from 0 to 1; a percentage is written "5%"`},
		{`-0.1`, refuse((*Table).Probability), `-0.1 is not from 0 to 1; a percentage is written "5%"`},
		{`inf`, refuse((*Table).Probability), `must be a finite number`},
		{`1979-05-27`, refuse((*Table).Probability), `must be a probability like 0.05 or "5%", not a date or time`},
		{`[]`, refuse((*Table).Strings), `the list is empty`},
		{`["a", 1]`, refuse((*Table).Strings), `must be a string, not an integer`},
		{`1`, refuse((*Table).Table), `must be a table, not an integer`},
		{`{}`, func(t *Table, key string) bool { return t.Tables(key) != nil }, `there may be several; write [[k]]`},
	} {
		d := Parse("f", "k = "+row.value)
		if row.read(d.Root(), "k") {
			t.Errorf("k = %s was read", row.value)
		}
		if errs := d.Errors(); len(errs) != 1 || errs[0].Err.Error() != row.want || errs[0].Key != "k" {
			t.Errorf("k = %s: got %v, want %s", row.value, errs, row.want)
		}
	}
}

func refuse[T any](read func(*Table, string) (T, bool)) func(*Table, string) bool {
	return func(t *Table, key string) bool {
		_, ok := read(t, key)
		return ok
	}
}

func TestErrorsSortedOnceAndWrapped(t *testing.T) {
	cause := errors.New("cause")
	d := Parse("f", "a = 1\nb = 2\n")
	d.Root().Errorf("b", "late")
	d.Root().Errorf("a", "of %w", cause)
	d.Root().Errorf("b", "late")
	d.Root().Errorf("", "whole")
	check(t, messages(Parse("f", "")), "")
	errs := d.Errors()
	if len(errs) != 3 || !errors.Is(errs[0], cause) || errs[2].Key != "b" {
		t.Errorf("got %v", errs)
	}
}

func TestPlaceFrom(t *testing.T) {
	at := Place{File: "a", Line: 3}
	if got := at.From(Place{File: "a"}); got != "line 3" {
		t.Errorf("same file: %s", got)
	}
	if got := at.From(Place{File: "b"}); got != "a:3" {
		t.Errorf("other file: %s", got)
	}
}

// FuzzParse: no text panics, every mistake lies inside the text.
func FuzzParse(f *testing.F) {
	f.Add(everyForm)
	f.Add("a = \"x")
	f.Add("[a\n\n")
	f.Add("é = 1\n")
	f.Fuzz(func(t *testing.T, text string) {
		d := Parse("f", text)
		d.Root().Tables("a")
		d.Finish()
		lines := strings.Split(trimMark(text), "\n")
		for _, err := range d.Errors() {
			if err.Line < 1 || err.Line > len(lines) {
				t.Fatalf("line %d of %d: %v", err.Line, len(lines), err)
			}
			if width := len([]rune(err.Source)); err.Col < 1 || err.Col > width+1 {
				t.Fatalf("column %d of %d: %v", err.Col, width, err)
			}
		}
	})
}
