package integration

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/wire"
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

// markSome is a router on the way that has congestion: it marks data of those who
// understand (RFC 3168, section 5), every two hundredth packet.
func markSome() func(side int, data []byte) {
	n := 0
	return func(side int, data []byte) {
		var p wire.Packet
		if p.Parse(data, 0, false) != wire.OK || p.PayloadLen() == 0 || ecn(data) == 0 {
			return
		}
		if n++; n%200 == 0 {
			congested(data)
		}
	}
}

const ce = 3

// ecn is the ECN field of an IP header.
func ecn(data []byte) byte {
	if data[0]>>4 == 6 {
		return data[1] >> 4 & ce
	}
	return data[1] & ce
}

// congested sets the field to CE, and the IPv4 checksum with it.
func congested(data []byte) {
	if data[0]>>4 == 6 {
		data[1] |= ce << 4
		return
	}
	data[1] |= ce
	header := data[:int(data[0]&15)*4]
	binary.BigEndian.PutUint16(header[10:], 0)
	var sum uint32
	for i := 0; i < len(header); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(header[i:]))
	}
	sum = sum&0xffff + sum>>16
	binary.BigEndian.PutUint16(header[10:], ^uint16(sum+sum>>16))
}

// marks counts, by sender, segments with a flag that only one segment of a
// super-packet has, or that makes the kernel send none: CWR, FIN, PSH, URG.
type marks [2][4]int

var marked = [4]wire.Flags{wire.CWR, wire.FIN, wire.PSH, wire.URG}

// note counts a packet on an interface if it was sent there.
func (m *marks) note(side int, data []byte) {
	var p wire.Packet
	if p.Parse(data, 0, false) != wire.OK || (p.SrcPort() == servePort) != (side == 1) || p.Flags().Has(wire.SYN) {
		return
	}
	for i, f := range marked {
		if p.Flags().Has(f) {
			m[side][i]++
		}
	}
}

// marks counts what has come in.
func (r *recording) marks() (m marks) {
	for i := range r.packets {
		m.note(r.packets[i].side, r.packets[i].data)
	}
	return m
}

// finOnMany is what a recording may need several attempts for.
const finOnMany = "FIN on a super-packet"

// contents counts what a recording holds.
func (r *recording) contents() (n map[string]int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	n = map[string]int{}
	count := func(what string, holds bool) {
		if holds {
			n[what]++
		}
	}
	for _, in := range r.packets {
		var p wire.Packet
		if p.Parse(in.data, in.header.GSO(), in.header.Partial()) != wire.OK {
			continue
		}
		many, f := p.Segments() > 1, p.Flags()
		count(fmt.Sprintf("segments of %d", p.GSO()), many)
		count("super-packets", many)
		count("partial checksums", p.Partial())
		count("PSH on a super-packet", many && f.Has(wire.PSH))
		count(finOnMany, many && f.Has(wire.FIN))
		count("CWR on a super-packet", many && f.Has(wire.CWR) && in.header.GSOType&tunnel.GSOECN != 0)
		count("ECE", f.Has(wire.ECE) && !f.Has(wire.SYN))
		count("CE on a super-packet", many && ecn(in.data) == ce)
		count("URG", f.Has(wire.URG))
	}
	return n
}

// hasEverything wants a recording to hold what it was made for.
func (r *recording) hasEverything(t *testing.T) {
	t.Helper()
	n := r.contents()
	t.Log(n)
	for _, what := range []string{
		"super-packets", "partial checksums", "PSH on a super-packet", finOnMany, "CWR on a super-packet",
		"ECE", "CE on a super-packet", "URG",
	} {
		if n[what] == 0 {
			t.Errorf("the recording has no %s", what)
		}
	}
	sizes := 0
	for what := range n {
		if strings.HasPrefix(what, "segments of") {
			sizes++
		}
	}
	if sizes < 3 {
		t.Errorf("super-packets have segments of %d sizes, want three at least", sizes)
	}
}
