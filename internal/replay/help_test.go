package replay

import (
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/capture"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

var (
	client = netip.MustParseAddrPort("10.0.0.9:40000") // the high end of the 4-tuple
	server = netip.MustParseAddrPort("10.0.0.1:8080")
	began  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
)

// The first numbers of both ends.
const clientISN, serverISN = 1000, 70000

// A packet of a capture to be made: numbers are relative, so that the SYN has 0.
type packet struct {
	at    time.Duration
	from  netip.AddrPort
	flags wire.Flags
	seq   uint32
	ack   uint32
	data  string
	raw   []byte // the packet, in place of all but at and from
}

const (
	syn    = wire.SYN
	synAck = wire.SYN | wire.ACK
	ack    = wire.ACK
	psh    = wire.PSH | wire.ACK
	fin    = wire.FIN | wire.ACK
)

// exchange is a whole connection: a request, its answer, the client closes first.
func exchange() []packet {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	return []packet{
		{ms(0), client, syn, 0, 0, "", nil},
		{ms(1), server, synAck, 0, 1, "", nil},
		{ms(2), client, ack, 1, 1, "", nil},
		{ms(3), client, psh, 1, 1, "ping", nil},
		{ms(4), server, ack, 1, 5, "", nil},
		{ms(5), server, psh, 1, 5, "pong", nil},
		{ms(6), client, ack, 5, 5, "", nil},
		{ms(10), client, fin, 5, 5, "", nil},
		{ms(11), server, ack, 5, 6, "", nil},
		{ms(20), server, fin, 5, 6, "", nil},
		{ms(21), client, ack, 6, 6, "", nil},
	}
}

func (p packet) bytes() []byte {
	if p.raw != nil {
		return p.raw
	}
	b := wire.Build{Src: client, Dst: server, Seq: clientISN + p.seq, Ack: serverISN + p.ack, Flags: p.flags, Window: 1000, Payload: []byte(p.data)}
	if p.from == server {
		b.Src, b.Dst, b.Seq, b.Ack = server, client, serverISN+p.seq, clientISN+p.ack
	}
	if !p.flags.Has(wire.ACK) {
		b.Ack = 0
	}
	return b.Append(nil)
}

// A place is an interface on which a packet is captured, and so much later.
type place struct {
	iface int
	later time.Duration
}

// onOne captures everything on one interface.
func onOne(packet) []place { return []place{{}} }

// onBoth captures a packet where it is sent, and a little later where it arrives.
func onBoth(clientIface int) func(packet) []place {
	return func(p packet) []place {
		sent := clientIface
		if p.from == server {
			sent = 1 - clientIface
		}
		return []place{{sent, 0}, {1 - sent, 100 * time.Microsecond}}
	}
}

// write makes a pcapng file of packets. Its RSTs are forged, and say so.
func write(t *testing.T, packets []packet, where func(packet) []place, interfaces ...string) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "in.pcapng")
	w, err := capture.Create(file, capture.Options{Start: began}, interfaces...)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range packets {
		for _, at := range where(p) {
			comment := ""
			if p.flags.Has(wire.RST) {
				comment = "forged by us; client SYN_SENT, server CLOSED"
			}
			w.Packet(at.iface, p.at+at.later, p.bytes(), comment)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file
}

// writePcap makes a file of the older format, which has microseconds and one interface.
// It keeps snap bytes of each packet.
func writePcap(t *testing.T, packets []packet, snap int) (file string) {
	t.Helper()
	le := binary.LittleEndian
	text := le.AppendUint32(nil, 0xa1b2c3d4)
	text = le.AppendUint16(text, 2) // version 2.4
	text = le.AppendUint16(text, 4)
	text = le.AppendUint64(text, 0)     // time zone and accuracy, never used
	text = le.AppendUint32(text, 1<<16) // snapshot length
	text = le.AppendUint32(text, 101)   // LINKTYPE_RAW
	for _, p := range packets {
		at, data := began.Add(p.at), p.bytes()
		text = le.AppendUint32(text, uint32(at.Unix()))
		text = le.AppendUint32(text, uint32(at.Nanosecond()/1000))
		kept := data[:min(len(data), snap)]
		text = le.AppendUint32(text, uint32(len(kept)))
		text = le.AppendUint32(text, uint32(len(data)))
		text = append(text, kept...)
	}
	file = filepath.Join(t.TempDir(), "in.pcap")
	if err := os.WriteFile(file, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return file
}

// A told is what a replay has said.
type told struct {
	*Report
	events []engine.Event
	lines  string // the events as JSON
}

// replay runs a rule text over a capture; out may be empty.
func replay(t *testing.T, in, text, out string) told {
	t.Helper()
	var rec engine.Recorder
	var lines []byte
	r, err := Run(in, Config{
		Rules: rules.MustParse(text), Seed: 7, AllEvents: true, Out: out,
		OnEvent: func(e *engine.Event) {
			rec.Record(e)
			lines = e.AppendJSON(lines)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return told{r, rec.Events(), string(lines)}
}

// directly plays the same packets through a Box, each at its time, until nothing waits.
func directly(t *testing.T, packets []packet, text string) (lines string) {
	t.Helper()
	var b []byte
	box := engine.NewBox(engine.BoxConfig{
		Rules: rules.MustParse(text), Seed: 7, AllEvents: true, Output: discard{},
		OnEvent: func(e *engine.Event) { b = e.AppendJSON(b) },
	}, 0)
	until := func(end time.Duration) {
		for at, ok := box.Next(); ok && at < end; at, ok = box.Next() {
			box.Advance(at)
		}
	}
	for _, p := range packets {
		until(p.at)
		side := 0
		if p.from == server {
			side = 1
		}
		buf := box.Buf()
		buf.Set(p.bytes())
		box.Receive(p.at, side, buf)
	}
	for at, ok := box.NextEmission(); ok; at, ok = box.NextEmission() {
		until(at)
		box.Advance(at)
	}
	box.Shutdown()
	return string(b)
}

// states are those of both ends after the last event.
func (r told) states() string {
	for i := len(r.events) - 1; i >= 0; i-- {
		if e := &r.events[i]; e.Conn != 0 && e.Type != engine.EventClose {
			return e.ClientState.String() + " " + e.ServerState.String()
		}
	}
	return ""
}

// roles are the ends as the first event of a connection calls them.
func (r told) roles() string {
	for i := range r.events {
		if e := &r.events[i]; e.Conn != 0 {
			return e.Client.String() + " " + e.Server.String()
		}
	}
	return ""
}

// rightRoles is what every capture of exchange must lead to.
var rightRoles = client.String() + " " + server.String()

// A line of a capture that was written: where, when, what.
type captured struct {
	iface, comment string
	at             time.Duration
	data           string
}

func read(t *testing.T, file string) (all []captured) {
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
		all = append(all, captured{p.InterfaceName, strings.Join(p.Comments, "; "), p.Time.Sub(began), string(p.Data)})
	}
	return all
}
