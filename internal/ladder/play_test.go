package ladder

import (
	"strings"
	"testing"
)

const late = `
rules {
[[rule]]
name = "late"
match = { segment = "data", from = "server" }
action = { delay = "10ms" }
}
+0 connect
`

// A script that is not as it happened fails, at its line, and says what was otherwise.
func TestPlayFailures(t *testing.T) {
	tests := []struct {
		name, text string
		want       string // the error without the file
	}{
		{"nothing wrong", "+0 S-> . 1:101(100) ack 1\n+10ms ->C =", ""},
		{"too early", "+0 S-> . 1:101(100) ack 1\n+9ms ->C =", "10:1: nothing has left at 0.009000; the box has something to do at 0.010000"},
		{"too late", "+0 S-> . 1:101(100) ack 1\n+11ms ->C =", "10:1: it left at 0.010000, want 0.011000"},
		{"a nanosecond late", "+0 S-> . 1:101(100) ack 1\n+10000001ns ->C =", "10:1: it left at 0.010000, want 0.010000001"},
		{"never", "+0 S->| . 1:101(100) ack 1", "9:1: no line expects that .   1:101(100) ack 1 win 512 left at 0.010000"},
		{"too early for a line between", "+0 S-> . 1:101(100) ack 1\n+11ms state client ESTABLISHED",
			"10:1: no line expects that .   1:101(100) ack 1 win 512 left at 0.010000"},
		{"other side", "+0 S-> . 1:101(100) ack 1\n+10ms ->S =", "10:1: it left on the other side"},
		{"passes and does not", "+0 S->C . 1:101(100) ack 1", "9:1: nothing has left at 0.000000; the box has something to do at 0.010000"},
		{"does not pass and does", "+0 C->| . 1:101(100) ack 1\n+1ms state client ESTABLISHED",
			"10:1: no line expects that .   1:101(100) ack 1 win 512 left at 0.000000"},
		{"out of order", "+0 S-> . 1:101(100) ack 1\n+0 S-> . 101:201(100) ack 1\n+10ms ->C . 101:201(100) ack 1", "11:1: it is 1:101(100)"},
		{"flags", "+0 C-> . 1:101(100) ack 1\n+0 ->S P. 1:101(100) ack 1", "10:1: flags ., want P."},
		{"ack", "+0 C-> . 1:101(100) ack 1\n+0 ->S . 1:101(100) ack 2", "10:1: ack 1, want 2"},
		{"window", "+0 C-> . 1:101(100) ack 1\n+0 ->S . 1:101(100) ack 1 win 1", "10:1: win 512, want 1"},
		{"options", "+0 C-> . 1:101(100) ack 1 <nop,nop,TS val 1 ecr 1>\n+0 ->S . 1:101(100) ack 1 <>", "10:1: options 0101080a0000000100000001, want "},
		{"payload", "+0 C-> . 1:4(3) ack 1 text \"abc\"\n+0 ->S . 1:4(3) ack 1", "10:1: the payload is not what the stream holds there"},
		{"checksum", "+0 C-> . 1:4(3) ack 1 badsum\n+0 ->S . 1:4(3) ack 1", "10:1: wrong TCP checksum"},
		{"super-packet", "offload on\n+0 C-> . 1:11(10) ack 1 gso 5\n+0 ->S . 1:11(10) ack 1", "11:1: gso 5, want 0"},
		{"same twice", "+0 C-> . 1:11(10) ack 1\n+0 ->S =\n+0 ->S =", "11:1: nothing has left at 0.000000, and nothing waits"},
		{"state", "state client CLOSED", "9:1: client is in ESTABLISHED, want CLOSED"},
		{"unknown connection", "conn b 1 2\nb: state client CLOSED", "10:1: the box knows no such connection"},
		{"kinds", "+0 C->S . 1:11(10) ack 1\nkinds fin", "10:1: its kinds are data, want fin"},
		{"event", "+0 C->S . 1:11(10) ack 1\nevent segment verdict=drop", `10:1: its verdict is "pass", want "drop"`},
		{"no event", "+0 C->S . 1:11(10) ack 1\nevent deliver", "10:1: there was no such event"},
		{"fired", "+0 S-> . 1:101(100) ack 1\n+10ms ->C =\nfired late 2", `11:1: rule "late" has fired 1 times, want 2`},
		{"count", "count forged 1", "9:1: forged is 0, want 1"},
		{"nothing", "+0 S-> . 1:101(100) ack 1\nnothing +10ms", "10:1: no line expects that .   1:101(100) ack 1 win 512 left at 0.010000"},
		{"nothing for a while", "+0 S-> . 1:101(100) ack 1\nnothing +9ms\n+1ms ->C =", ""},
		{"until", "+0 S-> . 1:101(100) ack 1\nuntil +9ms", ""},
	}
	for _, tt := range tests {
		s, err := parse("f", strings.TrimPrefix(late, "\n")+"\n"+tt.text, noFiles)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		got := ""
		if err := s.Play(Options{}).Err; err != nil {
			got = strings.TrimPrefix(err.Error(), "f:")
		}
		if strings.TrimSpace(got) != strings.TrimSpace(tt.want) {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got, tt.want)
		}
	}
}

// The report is the ladder as it happened, with the first difference marked.
func TestReportText(t *testing.T) {
	s, err := parse("late.ladder", "# Data leaves late."+late+"+1ms S-> . 1:101(100) ack 1\n+20ms ->C =\n", noFiles)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	s.Play(Options{HasSeed: true, Seed: 5}).WriteText(&text)
	_, got, _ := strings.Cut(text.String(), "ESTABLISHED (delivered)\n")
	_, got, _ = strings.Cut(got, "ESTABLISHED (delivered)\n")
	want := `        0.000000  ->S  .   1:1(0) ack 1 win 512
        0.001000  S->  .   1:101(100) ack 1 win 512
        0.001000       # late: delay 10ms
>       0.011000  ->C  .   1:101(100) ack 1 win 512
late.ladder:10:1: it left at 0.011000, want 0.021000
   10 | +20ms ->C =
      | ^^^^^^^^^^^
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if first, _, _ := strings.Cut(text.String(), "\n"); first != "FAIL late.ladder: Data leaves late. (seed 5)" {
		t.Errorf("its first line is %q", first)
	}
}

// Any number of goroutines may play one script: playing does not change it.
func TestPlayTogether(t *testing.T) {
	s, err := parse("f", strings.TrimPrefix(late, "\n")+`
+1s isn client 5000 server 6000
+0  connect
+0  S-> . 1:101(100) ack 1
+10ms ->C =
fired late 1
`, noFiles)
	if err != nil {
		t.Fatal(err)
	}
	const players = 8
	reports := make(chan *Report)
	for range players {
		go func() { reports <- s.Play(Options{}) }()
	}
	for range players {
		if r := <-reports; r.Err != nil {
			t.Error(r.Err)
		}
	}
}
