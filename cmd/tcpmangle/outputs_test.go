package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"maps"
	"math"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// The keys of each type of event, in the order in which they stand on a line. Those
// in brackets may be missing.
var eventKeys = map[string]string{
	"open":    "t type conn incarnation client server client_state server_state",
	"segment": "t type conn incarnation client server from flags seq ack len win kinds verdict rules [reason] client_state server_state",
	"deliver": "t type conn incarnation client server from flags seq ack len win kinds verdict rules [reason] client_state server_state",
	"state":   "t type conn incarnation client server endpoint from_state cause client_state server_state",
	"rule":    "t type conn incarnation client server rules action [detail] client_state server_state",
	"close":   "t type conn incarnation client server reason client_state server_state",
	"reload":  "t type seed",
	"expect":  "t type verdict detail [reason]",
}

// variants are runs of testdata/faults.toml: nobody can tell from the outputs which
// device it was.
var variants = []string{"--ip 4 --offload on", "--ip 4 --offload off", "--ip 6 --offload on", "--ip 6 --offload off"}

func runFaults(t *testing.T, variant, flag string) (file string) {
	t.Helper()
	needLab(t)
	file = filepath.Join(t.TempDir(), "out")
	args := append([]string{"lab", "testdata/faults.toml", flag, file}, strings.Fields(variant)...)
	tcpmangle(t, args...).wants(t, 0)
	return file
}

func TestEvents(t *testing.T) {
	for _, v := range variants {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(runFaults(t, v, "--events"))
			if err != nil {
				t.Fatal(err)
			}
			checkEvents(t, string(text))
		})
	}
}

// checkEvents holds lines against eventKeys, time against its arrow, and the verdicts
// against what testdata/faults.toml asks for.
func checkEvents(t *testing.T, text string) {
	t.Helper()
	verdicts, types, last := map[string]int{}, map[string]bool{}, math.Inf(-1)
	for line := range strings.Lines(text) {
		var e struct {
			T             float64
			Type, Verdict string
			Rules         []string
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		if e.T < last {
			t.Errorf("time runs backwards from %f: %s", last, line)
		}
		last, types[e.Type] = e.T, true
		if e.Type == "segment" || e.Type == "deliver" {
			verdicts[strings.TrimSpace(e.Type+" "+e.Verdict+" "+strings.Join(e.Rules, ","))]++
		}
		if keys := keysOf(t, line); !keysFit(keys, eventKeys[e.Type]) {
			t.Errorf("the keys of this %s are\n%v, want\n%s", e.Type, keys, eventKeys[e.Type])
		}
	}
	if got, want := slices.Sorted(maps.Keys(types)), slices.Sorted(maps.Keys(eventKeys)); !slices.Equal(got, want) {
		t.Errorf("types of events: %v, want %v", got, want)
	}
	delete(verdicts, "segment pass")
	want := map[string]int{
		"segment drop lose-data":     1,
		"segment delay late-answer":  1,
		"deliver delay late-answer":  1,
		"segment hold keep-question": 1,
		"deliver hold keep-question": 1,
		"segment pass reset-both":    1,
		"segment forged reset-both":  2,
	}
	if !maps.Equal(verdicts, want) {
		t.Errorf("verdicts\n%v, want\n%v", verdicts, want)
	}
}

// keysOf are the keys of a JSON object in their order.
func keysOf(t *testing.T, object string) (keys []string) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(object))
	d.Token() // the brace
	for d.More() {
		key, err := d.Token()
		if err != nil {
			t.Fatal(err)
		}
		keys = append(keys, key.(string))
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			t.Fatal(err)
		}
	}
	return keys
}

func keysFit(keys []string, want string) bool {
	for w := range strings.FieldsSeq(want) {
		name := strings.Trim(w, "[]")
		switch {
		case len(keys) > 0 && keys[0] == name:
			keys = keys[1:]
		case name == w:
			return false
		}
	}
	return len(keys) == 0
}

// Events on standard output are alone there: the report goes to standard error.
func TestEventsToStdout(t *testing.T) {
	needLab(t)
	t.Parallel()
	for _, flags := range [][]string{nil, {"--json"}} {
		o := tcpmangle(t, append([]string{"lab", "--events", "-", "testdata/exchange.toml"}, flags...)...)
		o.wants(t, 0)
		for line := range strings.Lines(o.stdout) {
			if !json.Valid([]byte(line)) {
				t.Errorf("no JSON: %s", line)
			}
		}
		has(t, "events", o.stdout, `"type":"segment"`)
		if flags == nil {
			has(t, "report", o.stderr, "testdata/exchange.toml: One FIN lost\n", "PASS  testdata/exchange.toml in ")
		} else {
			decode(t, o.stderr, new(labReport))
		}
	}
}

// So is JUnit's XML.
func TestJUnitToStdout(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "--junit", "-", "testdata/exchange.toml")
	o.wants(t, 0)
	var suites struct{ XMLName xml.Name }
	if err := xml.Unmarshal([]byte(o.stdout), &suites); err != nil || suites.XMLName.Local != "testsuites" {
		t.Errorf("%v:\n%s", err, o.stdout)
	}
	has(t, "report", o.stderr, "PASS  testdata/exchange.toml in ")
}

// Two outputs into one file, and one over an input, are refused however the file is spelt.
func TestGuard(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	nstest.Must(t, err)
	nstest.Must(t, os.WriteFile("in", nil, 0o644))
	nstest.Must(t, os.WriteFile("out", nil, 0o644))
	nstest.Must(t, os.Symlink("out", "link"))
	for _, row := range []struct {
		outputs []string
		ok      bool
	}{
		{[]string{"a", "b", "", ""}, true},
		{[]string{"a", "./a"}, false},
		{[]string{"a", "b", filepath.Join(here, "a")}, false},
		{[]string{"out", "link"}, false},
		{[]string{"a", filepath.Join(here, "in")}, false},
		{[]string{"a", "-"}, false},
		{[]string{"a", unlessStdout("-")}, true},
	} {
		if err := guard([]string{"in"}, row.outputs...); (err == nil) != row.ok {
			t.Errorf("%q: %v", row.outputs, err)
		}
	}
}

// sides of the box, as captures call them.
const clientSide, serverSide = "client-side", "server-side"

// A shown packet is one of a capture.
type shown struct {
	side, sender string // the sender's side
	comment      string
	bytes        string
}

func readCapture(t *testing.T, file string) (all []shown) {
	t.Helper()
	r, err := capture.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for p, err := range r.Packets() {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, shown{p.InterfaceName, senderOf(t, p.Data), strings.Join(p.Comments, "; "), string(p.Data)})
	}
	return all
}

// senderOf is the side on which the host with the source address stands.
func senderOf(t *testing.T, data []byte) string {
	t.Helper()
	var p wire.Packet
	if why := p.Parse(data, 0, false); why != wire.OK {
		t.Fatalf("a packet is no TCP segment: %v", why)
	}
	if p.Src() == netip.MustParseAddr("10.77.1.1") || p.Src() == netip.MustParseAddr("fd77:1::1") {
		return clientSide
	}
	return serverSide
}

// What was sent stands on the sender's side, what was delivered on the receiver's.
func TestPcap(t *testing.T) {
	for _, v := range variants {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			checkSides(t, readCapture(t, runFaults(t, v, "--pcap")))
		})
	}
}

func checkSides(t *testing.T, packets []shown) {
	t.Helper()
	touched := map[string]int{}
	sent, delivered := map[string]int{}, map[string]int{}
	for _, p := range packets {
		where := "delivered"
		if p.side == p.sender {
			where = "sent"
		}
		if p.comment != "" {
			what, states, _ := strings.Cut(p.comment, "; ")
			touched[what+", "+where]++
			has(t, "comment", states, "client ", ", server ")
		} else if where == "sent" {
			sent[p.bytes]++
		} else {
			delivered[p.bytes]++
		}
	}
	want := map[string]int{
		"drop by lose-data, sent":          1,
		"delay by late-answer, sent":       1,
		"delay by late-answer, delivered":  1,
		"hold by keep-question, sent":      1,
		"hold by keep-question, delivered": 1,
		"pass by reset-both, sent":         1,
		"pass by reset-both, delivered":    1,
		"forged by reset-both, delivered":  2,
	}
	if !maps.Equal(touched, want) {
		t.Errorf("comments\n%v, want\n%v", touched, want)
	}
	if len(sent) < 140 || !maps.Equal(sent, delivered) {
		t.Errorf("%d segments without a comment were sent, %d delivered, want the same ones", len(sent), len(delivered))
	}
}

// Wireshark's view: no checksum is wrong, and all are looked at.
func TestPcapChecksums(t *testing.T) {
	if _, err := exec.LookPath("tshark"); err != nil {
		lacking(t, "TCPMANGLE_REQUIRE_TSHARK", "tshark is not installed")
	}
	for _, v := range variants {
		t.Run(v, func(t *testing.T) {
			t.Parallel()
			file := runFaults(t, v, "--pcap")
			got := tally(tshark(t, file, "tcp.checksum.status"))
			if len(got) != 1 || got["Good"]+got["1"] < 280 {
				t.Errorf("TCP checksums %v, want all good", got)
			}
			if strings.Contains(v, "--ip 4") {
				if got := tally(tshark(t, file, "ip.checksum.status")); len(got) != 1 || got["Good"]+got["1"] < 280 {
					t.Errorf("IP checksums %v, want all good", got)
				}
			}
			names := tally(tshark(t, file, "frame.interface_name"))
			if len(names) != 2 || names[clientSide] == 0 || names[serverSide] == 0 {
				t.Errorf("interfaces %v", names)
			}
		})
	}
}

// tshark gives one field of each packet.
func tshark(t *testing.T, file, field string) (lines []string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "tshark", "-r", file, "-o", "ip.check_checksum:TRUE",
		"-o", "tcp.check_checksum:TRUE", "-T", "fields", "-e", field)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, complaint.String())
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func tally(lines []string) map[string]int {
	n := map[string]int{}
	for _, l := range lines {
		n[l]++
	}
	return n
}

// A lab's capture, replayed with its rules, shows the same faults with the connections in
// the same states: what was forged is passed over, and forged again.
func TestReplayOfOurCapture(t *testing.T) {
	needLab(t)
	for _, file := range []string{"exchange.toml", "faults.toml"} {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			pcap, live, again := filepath.Join(dir, "p"), filepath.Join(dir, "live"), filepath.Join(dir, "again")
			tcpmangle(t, "lab", "testdata/"+file, "--pcap", pcap, "--events", live).wants(t, 0)
			o := tcpmangle(t, "replay", "-f", "testdata/"+file, pcap, "--events", again)
			o.wants(t, 0)
			has(t, "report", o.stdout, "passed over: seen on their receiver's side\n")
			if got, want := faultsIn(t, again), faultsIn(t, live); !slices.Equal(got, want) {
				t.Errorf("replayed\n%s\nlive\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}

// faultsIn are the segments of an events file on which rules have fired, with the states
// after them.
func faultsIn(t *testing.T, file string) (all []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var e struct {
			Type, From, Flags, Verdict string
			Seq, Ack, Len              int
			Rules, Kinds               []string
			ClientState                string `json:"client_state"`
			ServerState                string `json:"server_state"`
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		if len(e.Rules) > 0 && (e.Type == "segment" || e.Type == "deliver") {
			all = append(all, fmt.Sprint(e))
		}
	}
	return all
}
