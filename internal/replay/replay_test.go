package replay

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Some rules that act in every way: at once, later, never.
const faults = `
[[rule]]
name   = "lose-ping"
match  = { from = "client", segment = "data" }
action = "drop"
count  = 1

[[rule]]
name   = "late-pong"
match  = { from = "server", segment = "data" }
action = { delay = { by = "12ms", jitter = "3ms" } }

[[rule]]
name   = "keep-fin"
match  = { segment = "first-fin" }
action = { hold = { until = "peer-fin", timeout = "1s" } }

[[rule]]
name   = "reset"
match  = { segment = "last-ack" }
action = { reset = { to = "both" } }
optional = true
`

// A replay is the box, fed at the times of the capture.
func TestEventsEqualTheBoxs(t *testing.T) {
	for _, text := range []string{"", faults} {
		want := directly(t, exchange(), text)
		captures := map[string]string{
			"one interface":  write(t, exchange(), onOne, "eth0"),
			"two interfaces": write(t, exchange(), onBoth(0), "a", "b"),
			"pcap":           writePcap(t, exchange(), 1<<16),
			"a nameless one": write(t, exchange(), onOne, ""),
		}
		for name, in := range captures {
			if got := replay(t, in, text, "").lines; got != want {
				t.Errorf("%s, rules %.20q: got\n%s\nwant\n%s", name, text, got, want)
			}
		}
	}
}

// The order of the senders and the interfaces say who the client is.
func TestSides(t *testing.T) {
	tests := []struct {
		name       string
		packets    []packet
		where      func(packet) []place
		interfaces []string
		states     string
	}{
		{"one interface", exchange(), onOne, []string{"eth0"}, "TIME_WAIT CLOSED"},
		{"two, the client's first", exchange(), onBoth(0), []string{"eth0", "eth1"}, "TIME_WAIT CLOSED"},
		{"two, the server's first", exchange(), onBoth(1), []string{"eth0", "eth1"}, "TIME_WAIT CLOSED"},
		{"ours", exchange(), onBoth(0), Interfaces, "TIME_WAIT CLOSED"},
		{"ours, the other way round", exchange(), onBoth(1), []string{Interfaces[1], Interfaces[0]}, "TIME_WAIT CLOSED"},
		{"no SYN", exchange()[1:], onOne, []string{"eth0"}, "TIME_WAIT CLOSED"},
		{"no SYN, two interfaces", exchange()[1:], onBoth(0), []string{"eth0", "eth1"}, "TIME_WAIT CLOSED"},
		{"mid-stream, the client's data first", exchange()[3:8], onOne, []string{"eth0"}, "FIN_WAIT_1 CLOSE_WAIT"},
		{"mid-stream, the server's ACK first", exchange()[4:8], onOne, []string{"eth0"}, "FIN_WAIT_1 CLOSE_WAIT"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := replay(t, write(t, tt.packets, tt.where, tt.interfaces...), "", "")
			if got := r.roles(); got != rightRoles {
				t.Errorf("client and server are %s, want %s", got, rightRoles)
			}
			if got := r.states(); got != tt.states {
				t.Errorf("states in the end %s, want %s", got, tt.states)
			}
			if r.Packets != len(tt.packets) {
				t.Errorf("%d packets, want %d", r.Packets, len(tt.packets))
			}
			if want := (len(tt.interfaces) - 1) * len(tt.packets); r.Delivered != want {
				t.Errorf("%d passed over, want %d", r.Delivered, want)
			}
		})
	}
}

// What the network lost was sent all the same, and stands on one interface only.
func TestLostOnTheWay(t *testing.T) {
	lossy := func(p packet) []place {
		places := onBoth(0)(p)
		if p.flags == fin && p.from == client {
			return places[:1]
		}
		return places
	}
	r := replay(t, write(t, exchange(), lossy, "a", "b"), "", "")
	if r.Packets != 11 || r.Delivered != 10 {
		t.Errorf("%d packets, %d passed over, want 11 and 10", r.Packets, r.Delivered)
	}
}

// Two interfaces need not be two sides: what one of them alone has seen was not delivered there.
func TestOneOfTwoInterfaces(t *testing.T) {
	other := wire.Build{Src: netip.AddrPortFrom(client.Addr(), 1), Dst: server, Flags: syn}
	packets := append(exchange(), packet{at: 30 * time.Millisecond, raw: other.Append(nil)})
	where := func(p packet) []place { return []place{{iface: end(p.raw == nil)}} }
	r := replay(t, write(t, packets, where, "eth0", "lo"), "", "")
	if r.Packets != 12 || r.Delivered != 0 {
		t.Errorf("%d packets, %d passed over, want 12 and none", r.Packets, r.Delivered)
	}
	if got, want := r.lines, replay(t, write(t, exchange(), onOne, "eth0"), "", "").lines; !strings.HasPrefix(got, want) {
		t.Errorf("got\n%s\nwant\n%s and another SYN", got, want)
	}
}

// In a capture of ours a segment that stands only where it arrived was forged, and was sent
// by nobody.
func TestForgedInOurs(t *testing.T) {
	packets := []packet{exchange()[0], {at: time.Millisecond, from: server, flags: wire.RST | wire.ACK, ack: 1}}
	r := replay(t, write(t, packets, onOne, Interfaces...), "", "")
	if r.Packets != 1 || r.Delivered != 1 {
		t.Errorf("%d packets, %d passed over, want the SYN and the RST", r.Packets, r.Delivered)
	}
}

// One side of a capture of ours is a capture of one interface: what it has seen was sent, but
// for what says that it was forged.
func TestOneSideOfOurs(t *testing.T) {
	for _, side := range Interfaces {
		packets := append(exchange(), packet{at: time.Second, from: server, flags: wire.RST, seq: 6})
		r := replay(t, write(t, packets, onOne, side), "", "")
		if r.Packets != 11 || r.Delivered != 1 || r.roles() != rightRoles || r.states() != "TIME_WAIT CLOSED" {
			t.Errorf("%s: %d packets, %d passed over, roles %s, states %s", side, r.Packets, r.Delivered, r.roles(), r.states())
		}
	}
}

// An ICMP error, and what is no TCP, is as little sent twice as a segment.
func TestNoSegments(t *testing.T) {
	ping := (&wire.ICMPBuild{From: client.Addr(), To: server.Addr(), Type: 8}).Append(nil)
	pong := (&wire.ICMPBuild{From: server.Addr(), To: client.Addr()}).Append(nil)
	tooBig := wire.ICMPBuild{From: server.Addr(), To: client.Addr(), Type: wire.ICMPv4Unreachable, Code: wire.ICMPv4FragNeeded,
		MTU: 1400, Quote: exchange()[3].bytes()}
	ms := time.Millisecond
	packets := append([]packet{{at: 0, from: client, raw: ping}, {at: 0, from: server, raw: pong}}, exchange()[:4]...)
	packets = append(packets, packet{at: 5 * ms, from: server, raw: tooBig.Append(nil)})
	r := replay(t, write(t, packets, onBoth(0), "a", "b"), `
		[[rule]]
		name   = "icmp"
		match  = { segment = "icmp", from = "server" }
		action = "pass"`, "")
	if r.Packets != len(packets) || r.Delivered != len(packets) || r.Rules[0].Fired != 1 {
		t.Errorf("%d packets, %d passed over, the rule fired %d times", r.Packets, r.Delivered, r.Rules[0].Fired)
	}
}

// Captures of several threads are not quite in order; time goes on all the same.
func TestTimeNeverRunsBackwards(t *testing.T) {
	packets := exchange()
	packets[0].at, packets[4].at, packets[5].at = 2*time.Millisecond, 5*time.Millisecond, 4*time.Millisecond
	r := replay(t, write(t, packets, onOne, "eth0"), "", "")
	last := time.Duration(0)
	for _, e := range r.events {
		if e.Time < last {
			t.Errorf("%v comes after %v", e.Time, last)
		}
		last = e.Time
	}
	// It begins with the earliest packet, which is not the first.
	if r.Packets != 11 || r.Span != 20*time.Millisecond || r.states() != "TIME_WAIT CLOSED" {
		t.Errorf("%d packets in %v, %s in the end", r.Packets, r.Span, r.states())
	}
}

// A packet of which the capture holds a part is passed as what it is not.
func TestTruncated(t *testing.T) {
	packets := exchange()
	packets[3].data, packets[4].ack, packets[6].seq = strings.Repeat("x", 400), 401, 401
	const snap = 100
	r := replay(t, writePcap(t, packets, snap), "", "")
	if r.Truncated != 1 || r.Packets != 11 {
		t.Errorf("%d truncated of %d packets, want 1 of 11", r.Truncated, r.Packets)
	}
	if r.Stats.Segments != 10 {
		t.Errorf("%d segments, want 10: the truncated one is none", r.Stats.Segments)
	}
}

// Files that cannot be replayed say why.
func TestErrors(t *testing.T) {
	folder := t.TempDir()
	text := filepath.Join(folder, "text")
	if err := os.WriteFile(text, []byte("no capture at all, but long enough to look at"), 0o644); err != nil {
		t.Fatal(err)
	}
	third := func(p packet) []place { return []place{{int(p.seq+p.ack) % 3, 0}} }
	tests := []struct{ name, in, want string }{
		{"missing", filepath.Join(folder, "nowhere"), "no such file"},
		{"text", text, "capture: "},
		{"nothing in it", write(t, nil, onOne, "eth0"), "the capture holds no packet"},
		{"no IP in it", write(t, []packet{{raw: make([]byte, 60)}}, onOne, "eth0"), "no frame of the capture holds an IP packet"},
		{"three interfaces", write(t, exchange(), third, "a", "b", "c"), "packets on 3 interfaces; the box has two sides"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Run(tt.in, Config{})
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), tt.in) {
				t.Errorf("got %v, want %q and the file's name", err, tt.want)
			}
		})
	}
}

// A third interface without packets, as captures often declare, does not count.
func TestSilentInterface(t *testing.T) {
	outer := func(p packet) []place {
		places := onBoth(0)(p)
		for i := range places {
			places[i].iface *= 2
		}
		return places
	}
	r := replay(t, write(t, exchange(), outer, "a", "silent", "b"), "", "")
	if r.roles() != rightRoles || r.Delivered != 11 {
		t.Errorf("roles %s, %d passed over", r.roles(), r.Delivered)
	}
}

// The outcome as a capture: dropped and delayed where they were sent, delivered and
// forged where they arrive, each at its time.
func TestOut(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.pcapng")
	replay(t, write(t, exchange(), onOne, "eth0"), faults, out)
	var got []string
	for _, c := range read(t, out) {
		if what, _, ok := strings.Cut(c.comment, "; "); ok && !strings.HasPrefix(what, "delay") {
			got = append(got, fmt.Sprintf("%v %s %s", c.at, c.iface, what))
		}
	}
	want := []string{
		"3ms client-side drop by lose-ping",
		"10ms client-side hold by keep-fin",
		"20ms server-side hold by keep-fin",
		"21ms client-side pass by reset",
		"21ms server-side pass by reset",
		"21ms client-side forged by reset", // the server is closed by then: there is nothing to reset
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestOutCannotBeWritten(t *testing.T) {
	_, err := Run(write(t, exchange(), onOne, "eth0"), Config{Out: filepath.Join(t.TempDir(), "nowhere", "out")})
	if err == nil || !strings.Contains(err.Error(), "no such file or directory") {
		t.Errorf("got %v", err)
	}
}

// A capture that is being read is not written over, whatever it is called.
func TestOutIsIn(t *testing.T) {
	in := write(t, exchange(), onOne, "eth0")
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(in, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(in, Config{Out: link}); err == nil || !strings.Contains(err.Error(), "written over") {
		t.Errorf("got %v", err)
	}
	if n := len(read(t, in)); n != len(exchange()) {
		t.Errorf("%d packets are left", n)
	}
}

// What was replayed and written can be replayed again and is the same then.
func TestOutAgain(t *testing.T) {
	out := filepath.Join(t.TempDir(), "out.pcapng")
	first := replay(t, write(t, exchange(), onOne, "eth0"), "", out)
	again := replay(t, out, "", "")
	if again.lines != first.lines || again.Delivered != 11 {
		t.Errorf("got\n%s\nwant\n%s", again.lines, first.lines)
	}
}

// The end of the capture is not the end of what it set off.
func TestBeyondTheEnd(t *testing.T) {
	tests := []struct {
		name, action string
		at           time.Duration // when the FIN leaves; 0: never
	}{
		{"delay", `{ delay = { by = "10s" } }`, 10*time.Second + 10*time.Millisecond},
		{"hold", `{ hold = { until = "release", timeout = "5s" } }`, 5*time.Second + 10*time.Millisecond},
		{"hold beyond the connection", `{ hold = { until = "release", timeout = "24h" } }`, 0},
		{"hold, then drop", `{ hold = { until = "release", timeout = "5s", on_timeout = "drop" } }`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			text := "[[rule]]\nname = \"late\"\nmatch = { segment = \"first-fin\" }\naction = " + tt.action
			r := replay(t, write(t, exchange(), onOne, "eth0"), text, "")
			if got := deliveredAt(r.events); got != tt.at {
				t.Errorf("the FIN leaves at %v, want %v", got, tt.at)
			}
			if r.Span < 5*time.Second {
				t.Errorf("ends after %v", r.Span)
			}
		})
	}
}

func deliveredAt(events []engine.Event) time.Duration {
	for i := range events {
		if events[i].Type == engine.EventDeliver {
			return events[i].Time
		}
	}
	return 0
}

// A rule that never fired says how close it came.
func TestNeverFired(t *testing.T) {
	r := replay(t, write(t, exchange(), onOne, "eth0"), `
		[[rule]]
		name   = "reset"
		match  = { segment = "rst" }
		action = "drop"`, "")
	if len(r.Rules) != 1 || r.Rules[0].Fired != 0 || !strings.Contains(r.Rules[0].WhyNot, "segment = rst") {
		t.Errorf("got %+v", r.Rules)
	}
}
