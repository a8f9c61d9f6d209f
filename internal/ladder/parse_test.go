package ladder

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/rules"
)

// noFiles is for scripts that name none.
func noFiles(string) (*rules.Set, error) { return nil, os.ErrNotExist }

func TestParseMistakes(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // the whole of the error, without the file
	}{
		{"nothing", "", "1:1: the script does nothing, and would always pass"},
		{"nothing to do", "# a comment\nseed 7\n", "1:1: the script does nothing, and would always pass"},
		{"word", "+0 C=> S 0:0(0)", `1:4: unknown word "C=>"; did you mean "C->"?`},
		{"directive", "sead 7", `1:1: unknown word "sead"; did you mean "seed"?`},
		{"time", "+10mx C-> S 0:0(0)", `1:1: "+10mx" is not a time to wait; write +10ms, +2s or, in seconds, +0.01`},
		{"negative time", "+-1s C-> S 0:0(0)", `1:1: "+-1s" is not a time to wait; write +10ms, +2s or, in seconds, +0.01`},
		{"flags", "+0 C-> X 0:0(0)", `1:8: "X" are no flags; write letters of SFRPUEC and a dot for ACK`},
		{"span", "+0 C-> S 0-0", `1:10: "0-0" is not SEQ:END(LEN), as in 1:101(100)`},
		{"sum", "+0 C-> P. 1:100(100)", `1:11: the numbers disagree; write 1:101(100)`},
		{"too long", "+0 C-> P. 0:70000(70000)", `1:11: no packet has that much payload`},
		{"segment missing", "+0 C->", `1:7: a segment is missing; write FLAGS SEQ:END(LEN), as in "S. 0:0(0) ack 1", or =`},
		{"ack without ACK", "+0 C-> S 0:0(0) ack 1", `1:10: "ack" needs the ACK flag, a dot`},
		{"attribute", "+0 C-> . 0:0(0) ac 1", `1:17: unknown word "ac"; did you mean "ack"?`},
		{"number", "+0 C-> . 0:0(0) win 65536", `1:21: a number from 0 to 65535 is wanted here`},
		{"option", "+0 C-> S 0:0(0) <mss 1460,wscle 7>", `1:17: unknown option "wscle"; did you mean "wscale"?`},
		{"option's number", "+0 C-> S 0:0(0) <mss 70000>", `1:17: "70000" is not a number of 16 bits`},
		{"option's form", "+0 C-> S 0:0(0) <TS val 1>", `1:17: write "TS val N ecr N"`},
		{"too many options", "+0 C-> S 0:0(0) <TS val 1 ecr 1,TS val 1 ecr 1,TS val 1 ecr 1,TS val 1 ecr 1,nop>",
			`1:17: these options do not fit into a TCP header: it has room for 40 bytes`},
		{"open bracket", "+0 C-> S 0:0(0) <mss 1460", `1:17: this has no end on its line`},
		{"open quote", `+0 C-> . 1:2(1) text "a`, `1:22: this has no end on its line`},
		{"text's length", `+0 C-> . 1:3(2) text "a"`, `1:10: the text has 1 bytes, the segment 2`},
		{"same comes in", "+0 C-> =", `1:8: "=" and "*" are for what leaves`},
		{"super-packet without offload", "+0 C-> . 1:11(10) gso 5", `1:8: a super-packet comes in only after "offload on"`},
		{"no super-packet", "offload on\n+0 C-> . 1:11(10) gso 10", `2:10: this is one segment; leave gso out`},
		{"super-packet with RST", "offload on\n+0 C-> R. 1:11(10) gso 5", `2:11: no super-packet has SYN or RST`},
		{"hex", "+0 C-> raw 4x", `1:12: write "raw" and the packet's bytes as hexadecimal digits without blanks`},
		{"icmp", "+0 C-> icmp hots-unreachable about 1", `1:13: unknown ICMP error "hots-unreachable"; did you mean "host-unreachable"?`},
		{"state", "state client ESTABLISH", `1:14: unknown state "ESTABLISH"; did you mean "ESTABLISHED"?`},
		{"no state", "state", `1:6: write "state client STATE server STATE"`},
		{"kind", "kinds fin,sin", `1:7: unknown segment kind "sin"; did you mean "syn"?`},
		{"event", "event segmnt", `1:7: unknown word "segmnt"; did you mean "segment"?`},
		{"event's key", "event rule =x", `1:12: write KEY=VALUE, or KEY="VALUE" where it has blanks`},
		{"rule", "rules {\n[[rule]]\nname = \"abc\"\naction = \"drop\"\n}\nfired abd 1", `6:7: unknown rule "abd"; did you mean "abc"?`},
		{"connection", "b: +0 connect", `1:1: no connection "b" was declared; write "conn b CLIENTPORT SERVERPORT" before`},
		{"connection twice", "conn b 1 2\nconn b 3 4", `2:6: there is a connection "b" already`},
		{"rest", "+0 connect now", `1:12: "now" is too much here`},
		{"after the end", "until +1s\n+0 connect", `2:1: nothing stands after "until": it is the script's end`},
		{"rules without end", "rules {\n[[rule]]", `1:1: this block has no end, a line with "}" alone`},
		{"rules twice", "rules {\n}\nrules {\n}", `3:1: a script has its rules in one place`},
		{"mistake in a rule", "# x\nrules {\n[[rule]]\naction = \"dorp\"\n}", `4:10: rule 1: action: unknown action "dorp"; did you mean "drop"?`},
	}
	for _, tt := range tests {
		_, err := parse("f", tt.text, noFiles)
		if err == nil {
			t.Errorf("%s: no mistake was found", tt.name)
			continue
		}
		if got := strings.TrimPrefix(err.Error(), "f:"); got != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// Every mistake is reported, each where it stands, with the line and a caret.
func TestParseAllMistakes(t *testing.T) {
	_, err := parse("f.ladder", "sed 1\n+0 connect\n  kinds fni\n", noFiles)
	var all Errors
	if !errors.As(err, &all) || len(all) != 2 {
		t.Fatalf("got %v, want two mistakes", err)
	}
	var text strings.Builder
	all.Render(&text)
	want := `f.ladder:1:1: unknown word "sed"; did you mean "seed"?
    1 | sed 1
      | ^^^
f.ladder:3:9: unknown segment kind "fni"; did you mean "fin"?
    3 |   kinds fni
      |         ^^^
`
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}

func TestLoadWithRulesFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write("a.toml", "seed = 9\n[[rule]]\nname = \"lose\"\nmatch = { segment = \"data\" }\naction = \"drop\"\n")
	s, err := Load(write("a.ladder", "# Data is lost.\nrules a.toml\n+0 connect\n+0 C->| . 1:2(1) ack 1\nfired lose 1\n"))
	if err != nil {
		t.Fatal(err)
	}
	if s.Title != "Data is lost." || len(s.Rules().Rules) != 1 {
		t.Errorf("title %q, %d rules", s.Title, len(s.Rules().Rules))
	}
	if r := s.Play(Options{}); r.Err != nil || r.Seed != 9 {
		t.Errorf("seed %d, %v", r.Seed, r.Err)
	}
	if _, err := Load(write("b.ladder", "rules b.toml\n")); err == nil || !strings.Contains(err.Error(), ":1:7: ") {
		t.Errorf("a missing file: %v", err)
	}
	if _, err := Load(filepath.Join(dir, "none.ladder")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing script: %v", err)
	}
}

// Whatever the text, its mistakes lie inside the file; and what has none can be played.
func FuzzParse(f *testing.F) {
	scripts, _ := filepath.Glob("../../engine/testdata/*.ladder")
	for _, name := range scripts {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(string(text))
	}
	f.Add("")
	f.Add("rules {\n}")
	f.Add("+0 ->S * ack 1\n\"")
	f.Add("+0 C-> S 0:0(0) <sack 1:2>\nnothing +1s\nuntil +0")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parse("f", text, noFiles)
		if err == nil {
			s.Play(Options{})
			return
		}
		for _, e := range err.(Errors) {
			if line, col, ok := placeIn(e); !ok || !inside(text, line, col) {
				t.Errorf("%v lies outside of %q", e, text)
			}
		}
	})
}

func placeIn(err error) (line, col int, ok bool) {
	switch e := err.(type) {
	case *Error:
		return e.Line, e.Col, e.File == "f"
	case *rules.Error:
		return e.Line, e.Col, e.File == "f"
	}
	return 0, 0, false
}

func inside(text string, line, col int) bool {
	lines := strings.Split(text, "\n")
	if line < 1 || line > len(lines) {
		return false
	}
	return 1 <= col && col <= len([]rune(lines[line-1]))+1
}
