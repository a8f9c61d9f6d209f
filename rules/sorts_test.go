package rules_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// TestWhatComesByCanBeAskedFor: no segment that the tracker can be shown, with all that it is
// and is not, is one that the reader of files thinks impossible.
func TestWhatComesByCanBeAskedFor(t *testing.T) {
	seen := make(map[string]bool)
	for seed := range uint64(40) {
		comeBy(seed, func(match string) { seen[match] = true })
	}
	if len(seen) < 1000 {
		t.Fatalf("only %d sorts of segments came by", len(seen))
	}
	for match := range seen {
		if _, err := rules.Parse("f", "[[rule]]\nmatch = "+match+"\naction = \"test-drop\"\n"); err != nil {
			t.Error(err)
		}
	}
}

// hosts are the client's and the server's.
var hosts = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:40000"), netip.MustParseAddrPort("10.0.0.2:80")}

// comeBy shows a tracker the life of a connection in random segments, some of which get lost, and
// tells of each the matches that ask for exactly it.
func comeBy(seed uint64, tell func(match string)) {
	dice := rand.New(rand.NewPCG(seed, 1))
	table := conntrack.NewTable(conntrack.Config{})
	var packet wire.Packet
	now := time.Duration(0)
	for range 200 {
		side := dice.IntN(2)
		now += time.Duration(dice.IntN(4)) * time.Duration(dice.IntN(40)) * time.Second
		s := draw(dice, table, side)
		build := wire.Build{
			Src: hosts[side], Dst: hosts[1-side],
			Seq: uint32(s.Seq), Ack: uint32(s.Ack), Flags: s.Flags, Window: s.Window, Payload: make([]byte, s.Len),
		}
		if reason := packet.Parse(build.Append(nil), 0, false); reason != 0 {
			panic(reason)
		}
		c, d, kinds := table.Sent(now, side, &packet, &s)
		if c == nil {
			continue
		}
		closer, closed := c.Closer()
		for _, from := range roles(d, closer, closed) {
			tell(fmt.Sprintf(`{ from = %q, segment = %q, flags = %q, length = %d }`, from, exactly(kinds), flagSigns(s.Flags), s.Len))
		}
		if dice.IntN(4) > 0 {
			table.Delivered(now, c, d, &s)
		}
	}
}

// draw makes a segment whose numbers are mostly right for its sender.
func draw(dice *rand.Rand, table *conntrack.Table, side int) (s conntrack.Segment) {
	usual := []wire.Flags{wire.ACK, wire.ACK, wire.ACK, wire.SYN, wire.SYN | wire.ACK, wire.FIN | wire.ACK, wire.RST, wire.RST | wire.ACK}
	s = conntrack.Segment{Flags: usual[dice.IntN(len(usual))], Window: uint16(dice.IntN(3)) * 1000}
	if dice.IntN(10) == 0 {
		s.Flags = wire.Flags(dice.IntN(256))
	}
	if dice.IntN(2) == 0 {
		s.Len = uint32(dice.IntN(3))
	}
	s.Seq, s.Ack = 1, 1
	if c, d := table.Find(hosts[side], hosts[1-side]); c != nil {
		x, peer := c.End(d), c.End(d.Peer())
		s.Seq = []seq.Num{x.Next(), x.Unacked(), peer.Received()}[dice.IntN(3)]
		s.Ack = []seq.Num{x.Received(), peer.Next()}[dice.IntN(2)]
	}
	s.Seq, s.Ack = s.Seq.Add(uint32(dice.IntN(5)-2)), s.Ack.Add(uint32(dice.IntN(3)-1))
	return s
}

// roles are what the sender of a segment is.
func roles(d, closer conntrack.Dir, closed bool) []string {
	names := []string{"client"}
	if d == conntrack.FromServer {
		names[0] = "server"
	}
	switch {
	case closed && closer == d:
		names = append(names, "active-closer")
	case closed:
		names = append(names, "passive-closer")
	}
	return names
}

// exactly asks for these kinds and no other.
func exactly(kinds conntrack.Kinds) string {
	var words []string
	for _, name := range conntrack.KindNames() {
		if k, _ := conntrack.ParseKind(name); !kinds.Has(k) {
			name = "!" + name
		}
		words = append(words, name)
	}
	return strings.Join(words, "+")
}

// flagSigns asks for these flags and no other.
func flagSigns(flags wire.Flags) string {
	var b strings.Builder
	for i, letter := range "FSRPAUEC" {
		sign := '-'
		if flags.Has(1 << i) {
			sign = '+'
		}
		fmt.Fprintf(&b, "%c%c", sign, letter)
	}
	return b.String()
}
