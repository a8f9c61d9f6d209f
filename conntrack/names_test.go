package conntrack

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

func TestStateNames(t *testing.T) {
	for _, name := range StateNames() {
		s, ok := ParseState(name)
		if !ok || s.String() != name {
			t.Errorf("%s: got %v, %v", name, s, ok)
		}
		for _, other := range []string{strings.ToLower(name), strings.ReplaceAll(name, "_", "-")} {
			if got, ok := ParseState(other); !ok || got != s {
				t.Errorf("%s: got %v, %v", other, got, ok)
			}
		}
	}
	for other, want := range map[string]State{
		"ESTAB": Established, "SYN-RECV": SynRcvd, "FIN_WAIT2": FinWait2, "close": Closed, "unconn": Closed, "syn_received": SynRcvd,
	} {
		if got, ok := ParseState(other); !ok || got != want {
			t.Errorf("%s: got %v, %v", other, got, ok)
		}
	}
	for _, wrong := range []string{"", "LISTEN", "ESTABLISHED ", "FIN_WAIT_3"} {
		if got, ok := ParseState(wrong); ok {
			t.Errorf("%q: got %v", wrong, got)
		}
	}
	if got := State(99).String(); got != "State(99)" {
		t.Errorf("got %s", got)
	}
	if got := StatesOf(TimeWait, SynSent).String(); got != "SYN_SENT, TIME_WAIT" {
		t.Errorf("got %s", got)
	}
}

func TestKindNames(t *testing.T) {
	for i, name := range KindNames() {
		k, ok := ParseKind(name)
		if !ok || k != Kind(i) || k.String() != name {
			t.Errorf("%s: got %v, %v", name, k, ok)
		}
	}
	if k, ok := ParseKind("Data"); ok {
		t.Errorf("Data: got %v", k)
	}
	set := KindsOf(KindFin, KindData)
	if got := set.String(); got != "data,fin" {
		t.Errorf("got %s", got)
	}
	if !set.Has(KindFin) || set.Has(KindRst) || !set.All(KindsOf(KindData)) || set.All(KindsOf(KindData, KindRst)) || !set.Any(KindsOf(KindData, KindRst)) {
		t.Errorf("%v: members", set)
	}
}

// TestPlaces: both directions make the same key, and a connection knows where
// its endpoints are.
func TestPlaces(t *testing.T) {
	for _, row := range [][2]string{
		{"10.0.0.1:1000", "10.0.0.2:80"},
		{"10.0.0.2:1000", "10.0.0.1:80"},
		{"10.0.0.1:80", "10.0.0.1:1000"},
		{"[fd77:1::1]:1000", "[fd77:2::1]:80"},
		{"[fd77::2:0:0:1]:1000", "[fd77::1:0:0:2]:80"},
	} {
		a, b := netip.MustParseAddrPort(row[0]), netip.MustParseAddrPort(row[1])
		there, low := KeyBetween(a, b)
		back, backLow := KeyBetween(b, a)
		if there != back || low == backLow {
			t.Errorf("%v: %v %v, and back %v %v", row, there, low, back, backLow)
		}
		for side := range 2 {
			table := NewTable(Config{})
			p, s := packet(t, a, b, wire.SYN, 1000, 0, 0)
			c, d, _ := table.Sent(0, side, &p, &s)
			if d != FromClient || c.Client() != a || c.Server() != b || c.Addr(FromServer) != b {
				t.Errorf("%v: got %v, %v > %v", row, d, c.Client(), c.Server())
			}
			if found, d := table.FindPacket(&p); found != c || d != FromClient {
				t.Errorf("%v: found %p %v, want %p", row, found, d, c)
			}
			if table.At(c.Index()) != c || table.At(0) != nil || table.At(c.Index()+1) != nil || table.At(1<<20) != nil {
				t.Errorf("%v: At finds another, or what is not there", row)
			}
			if c.Side(FromClient) != side || c.Side(FromServer) != 1-side || c.DirFrom(side) != FromClient || c.DirFrom(1-side) != FromServer {
				t.Errorf("%v at %d: sides %d, %d", row, side, c.Side(FromClient), c.Side(FromServer))
			}
		}
	}
}

// TestRanges adds blocks in many orders, near the wrap too, and fills the hole.
func TestRanges(t *testing.T) {
	type block [2]uint32
	for _, row := range []struct {
		name string
		add  []block
		want []block
		fill uint32 // where the stream reaches by itself
		end  uint32 // and then
	}{
		{"one", []block{{10, 20}}, []block{{10, 20}}, 10, 20},
		{"not reached", []block{{10, 20}}, []block{{10, 20}}, 9, 9},
		{"in order", []block{{10, 20}, {30, 40}}, []block{{10, 20}, {30, 40}}, 10, 20},
		{"out of order", []block{{30, 40}, {10, 20}}, []block{{10, 20}, {30, 40}}, 30, 40},
		{"touching", []block{{10, 20}, {30, 40}, {20, 30}}, []block{{10, 40}}, 15, 40},
		{"covering", []block{{10, 20}, {30, 40}, {50, 60}, {5, 55}}, []block{{5, 60}}, 5, 60},
		{"inside", []block{{10, 40}, {20, 30}}, []block{{10, 40}}, 12, 40},
		{"empty", []block{{10, 10}}, nil, 10, 10},
		{"reaching beyond", []block{{10, 20}}, []block{{10, 20}}, 25, 25},
		{"too many: the highest goes", []block{{2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}, {12, 13}, {14, 15}, {0, 1}},
			[]block{{0, 1}, {2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}, {12, 13}}, 0, 1},
		{"too many: the new one is the highest", []block{{2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}, {12, 13}, {14, 15}, {16, 17}},
			[]block{{2, 3}, {4, 5}, {6, 7}, {8, 9}, {10, 11}, {12, 13}, {14, 15}}, 2, 3},
	} {
		for _, base := range []seq.Num{1000, 0xfffffff0, 0x7ffffff0} {
			var rs ranges
			whole := true
			for _, b := range row.add {
				whole = rs.add(seq.Range{From: base.Add(b[0]), To: base.Add(b[1])}) && whole
			}
			if want := !strings.HasPrefix(row.name, "too many"); whole != want {
				t.Errorf("%s: whole is %v", row.name, whole)
			}
			if int(rs.n) != len(row.want) {
				t.Errorf("%s: got %v", row.name, rs)
				continue
			}
			for i, w := range row.want {
				if want := (seq.Range{From: base.Add(w[0]), To: base.Add(w[1])}); rs.held[i] != want {
					t.Errorf("%s: block %d: got %v, want %v", row.name, i, rs.held[i], want)
				}
			}
			if got := rs.advance(base.Add(row.fill)); got != base.Add(row.end) {
				t.Errorf("%s: the stream ends at +%d, want +%d", row.name, base.Size(got), row.end)
			}
			if problem := rs.unsound(base.Add(row.end)); problem != "" {
				t.Errorf("%s: %s", row.name, problem)
			}
		}
	}
}
