package lab

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares with a file in testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
	}
}

// A tale makes up the events of a connection.
type tale struct {
	events []engine.Event
	now    time.Duration
	conn   uint64
	name   string // of the tuple
	states [2]conntrack.State
}

func (s *tale) add(e engine.Event) {
	t := tupleNamed(s.name)
	e.Time, e.Conn, e.Incarnation, e.Client, e.Server = s.now, s.conn, 1, t[0], t[1]
	e.ClientState, e.ServerState = s.states[0], s.states[1]
	s.events = append(s.events, e)
}

func (s *tale) open(name string) {
	s.conn++
	s.name, s.states = name, [2]conntrack.State{}
	s.add(engine.Event{Type: engine.EventOpen})
}

// state moves an endpoint, as a cause does.
func (s *tale) state(d conntrack.Dir, to conntrack.State, cause string) {
	from := s.states[d]
	s.states[d] = to
	s.add(engine.Event{Type: engine.EventState, Endpoint: d, FromState: from, Cause: cause})
}

func (s *tale) segment(d conntrack.Dir, flags string, seq, ack uint32, n int, more func(e *engine.Event)) {
	e := engine.Event{Type: engine.EventSegment, From: d, FromSide: int(d), Flags: flags, Seq: seq, Ack: ack, Len: n}
	if n > 0 {
		e.Kinds = conntrack.KindsOf(conntrack.KindData)
	}
	if more != nil {
		more(&e)
	}
	s.now += time.Millisecond
	s.add(e)
}

func by(v engine.Verdict, rules ...string) func(*engine.Event) {
	return func(e *engine.Event) { e.Verdict, e.Rules = v, rules }
}

const (
	toServer = conntrack.FromClient
	toClient = conntrack.FromServer
)

// aTale has one of everything that a ladder shows.
func aTale() *Result {
	s := &tale{}
	s.open("a")
	s.state(toServer, conntrack.SynSent, "sent")
	s.state(toClient, conntrack.SynRcvd, "delivered")
	s.now -= time.Millisecond // what a segment does stands on its row
	s.segment(toServer, "S", 0, 0, 0, nil)
	s.states[0] = conntrack.Established
	s.segment(toClient, "SA", 0, 1, 0, nil)
	s.states[1] = conntrack.Established
	s.segment(toServer, "A", 1, 1, 0, nil)
	for i := range uint32(12) {
		s.segment(toServer, "A", 1+i*1448, 1, 1448, nil)
		if i%4 == 3 {
			s.segment(toClient, "A", 1, 1+(i+1)*1448, 0, nil)
		}
	}
	s.segment(toServer, "PA", 17377, 1, 100, by(engine.Drop, "lose"))
	s.add(engine.Event{Type: engine.EventRule, Rules: []string{"twice"}, Action: "duplicate"})
	s.segment(toServer, "PA", 17377, 1, 100, by(engine.Pass, "twice"))
	s.segment(toServer, "PA", 17377, 1, 100, by(engine.Forged, "twice"))
	s.segment(toClient, "PA", 1, 17477, 4, by(engine.Delay, "slow"))
	s.segment(toClient, "PA", 1, 17477, 4, func(e *engine.Event) {
		e.Type, e.Verdict, e.Rules = engine.EventDeliver, engine.Delay, []string{"slow"}
	})
	s.states[1] = conntrack.FinWait1
	s.segment(toClient, "FA", 5, 17477, 0, by(engine.Hold, "keep"))
	s.states[0] = conntrack.Closed
	s.segment(toClient, "R", 5, 0, 0, by(engine.Forged, "kill"))
	s.segment(toClient, "FA", 5, 17477, 0, func(e *engine.Event) { e.Verdict, e.Reason = engine.Drop, "link" })
	s.now += time.Second
	s.state(toClient, conntrack.Closed, "timer")
	for _, name := range []string{"b", "c"} {
		s.now += time.Millisecond
		s.open(name)
		s.states[0] = conntrack.SynSent
		s.segment(toServer, "S", 0, 0, 0, by(engine.Drop, "lose"))
	}
	talked := tupleNamed("a")
	return &Result{
		File: "tale.toml", Title: "A tale", IP: 4, Offload: true, Seed: 7, Duration: 2 * time.Second,
		Expectations: []Expectation{
			{Text: "client CLOSED", OK: true, At: 20 * time.Millisecond},
			{Text: "server TIME_WAIT within 1s", Why: "at 1.001s client CLOSED, server CLOSED"},
		},
		Problems: []string{"rule never never fired; no segment came by"},
		Steps:    []Step{{"destroy server", 500 * time.Millisecond}},
		Rules: []engine.RuleReport{
			{Name: "lose", Fired: 3, Enabled: true}, {Name: "twice", Fired: 1, Enabled: true},
			{Name: "never", Enabled: true, WhyNot: "no segment came by"}, {Name: "asleep"}, {Name: "perhaps", Enabled: true, Optional: true},
		},
		Agreement: Agreement{
			Compared: 200, Agreed: 150, Longest: 250 * time.Millisecond,
			Differences: []Difference{{talked[0], talked[1], "server", conntrack.LastAck, conntrack.CloseWait, 500 * time.Millisecond, 250 * time.Millisecond}},
			Silent:      []SilentEnd{{talked[0], talked[1], "server", conntrack.FinWait1, time.Second}},
		},
		Client: Side{Output: []Line{{0, 1, "script", "connect server:8080"}}},
		Server: Side{
			Errors: []ScriptError{{100 * time.Millisecond, 1, "EPIPE", "line 3: send x: EPIPE", true}},
			Exits:  []Exit{{time.Second, 1, 0, false, ""}},
		},
		Events: s.events, talked: &talked,
		listened: [2]map[uint16]bool{{}, {8080: true}},
	}
}

func TestWriteText(t *testing.T) {
	var text bytes.Buffer
	if err := aTale().WriteText(&text, false); err != nil {
		t.Fatal(err)
	}
	golden(t, "tale.txt", text.Bytes())
}

// Colour changes nothing but colour.
func TestWriteTextInColor(t *testing.T) {
	var text bytes.Buffer
	if err := aTale().WriteText(&text, true); err != nil {
		t.Fatal(err)
	}
	bare := text.String()
	begun := strings.Count(bare, green) + strings.Count(bare, red) + strings.Count(bare, yellow)
	if ended := strings.Count(bare, plain); begun != ended {
		t.Errorf("%d texts in colour begin and %d end", begun, ended)
	}
	for _, code := range []string{green, red, yellow, plain} {
		if !strings.Contains(bare, code) {
			t.Errorf("nothing in colour %q", code)
		}
		bare = strings.ReplaceAll(bare, code, "")
	}
	if want := render(aTale()); bare != want {
		t.Errorf("got\n%s\nwant\n%s", bare, want)
	}
}

// On a narrow terminal the ladder takes less room; where that is not enough, it is said.
func TestWriteTerminal(t *testing.T) {
	for _, row := range []struct {
		columns, widest int
		fits            bool
	}{{0, 102, true}, {120, 102, true}, {102, 102, true}, {101, 99, true}, {99, 99, true}, {95, 95, true}, {60, 90, false}} {
		var text bytes.Buffer
		if err := aTale().WriteTerminal(&text, Terminal{Columns: row.columns}); err != nil {
			t.Fatal(err)
		}
		widest, left, right := 0, map[int]bool{}, map[int]bool{}
		for line := range strings.Lines(text.String()) {
			if strings.Contains(line, "|") {
				widest = max(widest, len(line)-1)
				left[strings.Index(line, "|")], right[strings.LastIndex(line, "|")] = true, true
			}
		}
		if widest != row.widest || len(left) != 1 || len(right) != 1 {
			t.Errorf("in %d columns the widest line has %d, want %d; margins at %v and %v\n%s", row.columns, widest, row.widest, left, right, text.String())
		}
		if fits := !strings.Contains(text.String(), "notice: the ladder needs "); fits != row.fits {
			t.Errorf("in %d columns: fits %v, want %v\n%s", row.columns, fits, row.fits, text.String())
		}
	}
}

func TestWriteJSON(t *testing.T) {
	var line, indented bytes.Buffer
	if err := aTale().WriteJSON(&line); err != nil {
		t.Fatal(err)
	}
	if strings.Count(line.String(), "\n") != 1 {
		t.Errorf("not one line: %s", line.String())
	}
	if err := json.Indent(&indented, line.Bytes(), "", "  "); err != nil {
		t.Fatal(err)
	}
	golden(t, "tale.json", indented.Bytes())
}

// Lists are empty rather than null.
func TestWriteJSONOfNothing(t *testing.T) {
	var line bytes.Buffer
	if err := (&Result{}).WriteJSON(&line); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(line.String(), "null") {
		t.Errorf("got %s", line.String())
	}
}

func TestWriteJUnit(t *testing.T) {
	var text bytes.Buffer
	good := &Result{File: "good.toml", IP: 6, Pass: true, Expectations: []Expectation{{Text: "client CLOSED", OK: true}}}
	if err := WriteJUnit(&text, []*Result{aTale(), good}); err != nil {
		t.Fatal(err)
	}
	var back struct {
		Suites []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Output   string `xml:"system-out"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text.Bytes(), &back); err != nil {
		t.Fatal(err)
	}
	if len(back.Suites) != 2 || back.Suites[0].Tests != 3 || back.Suites[0].Failures != 2 ||
		back.Suites[1].Name != "good.toml (IPv6)" || back.Suites[1].Tests != 2 || back.Suites[1].Failures != 0 {
		t.Errorf("got %+v", back.Suites)
	}
	if back.Suites[0].Output != render(aTale()) {
		t.Error("the text of the result is not in it")
	}
}

// The rules that the base path is made of are seen nowhere.
func TestLinkIsNobodysRule(t *testing.T) {
	o := newObserver(nil, false)
	tell := func(e engine.Event) { o.hear(&e) }
	tell(engine.Event{Type: engine.EventRule, Rules: []string{"link:delay"}, Action: "delay"})
	tell(engine.Event{Type: engine.EventSegment, Verdict: engine.Delay, Rules: []string{"mine", "link:delay"}})
	tell(engine.Event{Type: engine.EventSegment, Verdict: engine.Drop, Rules: []string{"link:loss"}, Reason: "rule:link:loss"})
	events, _ := o.recorded()
	if len(events) != 2 || strings.Join(events[0].Rules, " ") != "mine" || len(events[1].Rules) != 0 || events[1].Reason != "link" {
		t.Errorf("got %+v", events)
	}
}

// A row's colour is its segment's fate, whatever its rule is called.
func TestRowColor(t *testing.T) {
	for how, want := range map[fate]string{through: "", lost: red, kept: yellow, late: yellow, forged: yellow, duplicate: yellow, changed: ""} {
		r := row{arrow: arrow{label: "A 1:1 ack 1", how: how}, note: "max-delay, late~x-ray"}
		if got := r.color(); got != want {
			t.Errorf("fate %d: got %q, want %q", how, got, want)
		}
	}
}

func TestContentsOfAFold(t *testing.T) {
	data, ack := row{arrow: arrow{bytes: 1}}, row{}
	for want, rows := range map[string][]row{
		"1 data segment, 1 byte, 1 ACK":    {data, ack},
		"2 data segments, 2 bytes, 2 ACKs": {data, ack, data, ack},
		"1 line":                           {{arrow: arrow{how: late}}},
	} {
		if got := contents(rows); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
