package integration

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Two streams at once that have everything which may be wrong in parts of
// super-packets: another MSS in between, urgent data, congestion marks, a FIN behind the
// data. They arrive, the events add up, Wireshark finds nothing wrong in the capture, and
// the same input played again gives the same whether its super-packets are cut before or not.
func TestStreamOnTheWire(t *testing.T) {
	needTshark(t)
	for _, ip := range []int{4, 6} {
		for _, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
			t.Run(fmt.Sprintf("IPv%d/offload-%v", ip, offload), func(t *testing.T) {
				t.Parallel()
				rec := streamOnTheWire(t, ip, offload)
				if offload == tunnel.Off {
					return
				}
				rec.hasEverything(t)
				for _, r := range append(streamRules, awkwardRules...) {
					t.Run(r.name, func(t *testing.T) {
						t.Parallel()
						if whole := rec.playsTheSame(t, mustParse(t, r.text)); fired(whole) == 0 {
							t.Error("no rule has fired")
						}
					})
				}
			})
		}
	}
}

func fired(r *rerun) (n uint64) {
	for _, rep := range r.Report() {
		n += rep.Fired
	}
	return n
}

// awkwardRules are for playing again: counts, models and holds that stand in each other's way.
var awkwardRules = []struct{ name, text string }{
	{"every", `
[[rule]]
match = { segment = "data", length = ">= 1000" }
every = 7
action = "drop"
[[rule]]
match = { segment = "data+retransmission" }
nth = ["2", "5-9", ">= 40"]
action = { delay = { by = "3ms", jitter = "3ms", keep_order = false } }
`}, {"bursts", `
[[rule]]
match = { segment = "data" }
probability = { model = "gilbert-elliott", p = 0.01, r = 0.3, loss_good = 0.0, loss_bad = 0.9 }
action = "drop"
`}, {"behind", `
[[rule]]
match = { segment = "data" }
probability = "1%"
action = { hold = { until = "peer-data", timeout = "4ms", behind = true } }
`}, {"rate", `
[[rule]]
match = { from = "server" }
action = { rate = { limit = "400mbit", burst = "20KiB", queue = "200KiB" } }
`}, {"flags", `
[[rule]]
match = { flags = "+C" }
action = { delay = "1ms" }
[[rule]]
match = { flags = "+P" }
every = 3
action = { duplicate = 2 }
[[rule]]
match = { segment = "data", idle = ">= 1ms" }
action = { delay = { by = "4ms", keep_order = false } }
[[rule]]
match = { segment = "fin" }
action = { hold = { until = "peer-fin", timeout = "200ms" } }
[[rule]]
match = { segment = "out-of-order" }
action = { tag = "holed" }
[[rule]]
match = { segment = "ack", tag = "holed" }
every = 4
action = "drop"
`}, {"recorded", `
[[rule]]
match = { segment = "data" }
nth = 100
actions = [{ record = "x" }, { replay = { name = "x", after = "2ms", times = 3 } }]
[[rule]]
match = { segment = "data", from = "server" }
nth = 1000
action = { blackhole = { from = "server", for = "5ms" } }
[[rule]]
match = { segment = "data", from = "client" }
nth = 3000
action = { reset = { to = "both", seq = "in-window" } }
`},
}

// streamOnTheWire has both sides send at once under all rules, and looks at it from all sides.
func streamOnTheWire(t *testing.T, ip int, offload tunnel.OffloadMode) *recording {
	t.Helper()
	file := filepath.Join(t.TempDir(), "stream.pcapng")
	pcap, err := capture.Create(file, capture.Options{}, "client-side", "server-side")
	if err != nil {
		t.Fatal(err)
	}
	var events engine.Recorder
	var seen marks
	rec := newRecording()
	rec.edit = markSome()
	l := newLine(t, lineConfig{
		ip: ip, offload: offload, rules: slowAcks + streamRules[len(streamRules)-1].text, through: rec.through,
		sysctls: hostSettings{"tcp_ecn": "1"},
		box: engine.Config{
			Seed: 7, AllEvents: true, OnEvent: events.Record,
			Tap: func(side int, now time.Duration, data []byte, comment string) {
				seen.note(side, data)
				pcap.Packet(side, now, data, comment)
			},
		},
	})
	ends := l.connect()
	if err := atOnce(ends, l.otherMSS()); err != nil {
		t.Fatal(err)
	}
	sent := [2]int{l.dataSent(ends[0]), l.dataSent(ends[1])}
	for range 20 { // how it is cut is the kernel's affair
		if sent[0] += l.shortStream(); offload == tunnel.Off || rec.contents()[finOnMany] > 0 {
			break
		}
	}
	l.end()
	if err := pcap.Close(); err != nil {
		t.Fatal(err)
	}
	h := tellHistory(events.Events())
	h.isConsistent(t, l.Stats())
	for side, n := range h.data {
		// A kernel counts also what is too long for an MTU that has just changed, and loses it.
		if n > sent[side] || n < sent[side]*99/100 {
			t.Errorf("kernel %d has sent %d segments with data, the box has met %d", side, sent[side], n)
		}
	}
	if want := rec.marks(); seen != want {
		t.Errorf("segments with CWR, FIN, PSH, URG: %v in the capture, %v as they came in", seen, want)
	}
	dissect(t, file).isClean(t, onInterfaces(events.Events()))
	t.Logf("%d packets read, %d segments: %s", len(rec.packets), l.Stats().Segments, h.decided())
	return rec
}

// slowAcks leaves a sender of a later connection time to say that its stream is at its end,
// before it may send more than its first window.
const slowAcks = `
[[rule]]
name = "slow-acks"
match = { segment = "ack+!handshake-ack", connection = ">=2" }
action = { delay = "50ms" }
`

// shortStream is one more than the first window takes: the FIN leaves with the rest, in a
// super-packet where there are such. It returns how many segments with data were sent.
func (l *line) shortStream() int {
	l.t.Helper()
	ends := l.connect()
	data := streamData(0, 20000)
	r := receiver{fd: ends[1]}
	err := errors.Join(send(ends[0], data, 0), unix.Shutdown(ends[0], unix.SHUT_WR), r.receive(-1))
	if err != nil || r.sum != sha256.Sum256(data) {
		l.t.Errorf("the short stream: %d bytes have arrived, %v", r.total, err)
	}
	sent := l.dataSent(ends[0])
	unix.Shutdown(ends[1], unix.SHUT_WR)
	return sent
}

// otherMSS changes the MTU of both hosts, and with it the MSS, when a third of the
// stream has come to the other, and again after two thirds.
func (l *line) otherMSS() func(side, total int) {
	var done [2]atomic.Int32
	mtus := []int{1400, 1280}
	return func(side, total int) {
		from := 1 - side
		n := int(done[from].Load())
		if n < len(mtus) && total > streamLen*(n+1)/3 {
			done[from].Add(1)
			if err := l.hosts[from].SetMTU(l.devices[from].Name(), mtus[n]); err != nil {
				l.t.Error(err)
			}
		}
	}
}

// onInterfaces counts what a capture has to hold: each segment where it was sent, and
// where it has arrived.
func onInterfaces(events []engine.Event) map[string]int {
	names := [2]string{"client-side", "server-side"}
	n := map[string]int{}
	for i := range events {
		e := &events[i]
		if e.Type != engine.EventSegment && e.Type != engine.EventDeliver {
			continue
		}
		forged := e.Verdict == engine.Forged
		if e.Type == engine.EventSegment && !forged {
			n[names[e.FromSide]]++
		}
		if e.Type == engine.EventDeliver || forged || e.Verdict == engine.Pass {
			n[names[1-e.FromSide]]++
		}
	}
	return n
}
