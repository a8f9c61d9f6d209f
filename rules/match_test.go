package rules_test

import (
	"net/netip"
	"reflect"
	"testing"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

// matchOf is the match of a rule with these keys.
func matchOf(t *testing.T, keys string) rules.Match {
	t.Helper()
	return parse(t, "[[rule]]\nmatch = { "+keys+" }\naction = \"test-drop\"\n").Rules[0].Match
}

func TestEmptyMatch(t *testing.T) {
	if m := matchOf(t, ""); !reflect.DeepEqual(m, rules.Match{}) {
		t.Errorf("got %+v", m)
	}
	if set := parse(t, ""); len(set.Rules) != 0 || set.HasSeed {
		t.Errorf("got %+v", set)
	}
}

func TestSegmentMatch(t *testing.T) {
	of := conntrack.KindsOf
	fin, data, ack := of(conntrack.KindFin), of(conntrack.KindData), of(conntrack.KindAck)
	again := of(conntrack.KindRetransmission)
	for _, row := range []struct {
		segment string
		kinds   conntrack.Kinds
		want    bool
	}{
		{`"fin"`, fin | ack, true},
		{`"fin"`, data, false},
		{`["fin", "data"]`, data, true},
		{`["fin", "data"]`, ack, false},
		{`"fin+data"`, fin | data, true},
		{`"fin + data"`, fin, false},
		{`"data+!retransmission"`, data, true},
		{`"data+!retransmission"`, data | again, false},
		{`"!ack"`, fin, true},
		{`"!ack"`, ack, false},
		{`["!ack", "!data"]`, fin, true},
		{`["!ack", "!data"]`, data, false},
		{`["fin", "data", "!retransmission"]`, fin, true},
		{`["fin", "data", "!retransmission"]`, fin | again, false},
		{`["fin", "!retransmission"]`, data, false},
		{`["fin", "!ack+!data"]`, again, true},
		{`["fin", "!ack+!data"]`, ack, false},
	} {
		m := matchOf(t, "segment = "+row.segment).Segment
		if got := m.Match(row.kinds); got != row.want {
			t.Errorf("%s on %s: got %v, want %v", row.segment, row.kinds, got, row.want)
		}
	}
	if got := matchOf(t, `segment = ["data+!retransmission", "!stale"]`).Segment.String(); got != "data+!retransmission, !stale" {
		t.Errorf("string: got %s", got)
	}
}

func TestFlagMatch(t *testing.T) {
	const fin, syn, rst, psh, ack = 1, 2, 4, 8, 16
	for _, row := range []struct {
		flags string
		seg   uint16
		want  bool
	}{
		{"SA", syn | ack, true},
		{"SA", syn | ack | psh, true}, // P is not of FSRA
		{"SA", syn, false},
		{"SA", syn | ack | fin, false},
		{"PA", psh | ack, true},
		{"PA", ack, false},
		{"P", psh | ack, false},
		{"+F-R", fin | ack, true},
		{"+F-R", fin | rst, false},
		{"+F-R", ack, false},
		{"-PA", psh, false},
		{"-PA", syn, true},
	} {
		m, err := rules.ParseFlags(row.flags)
		if got := m.Match(row.seg); err != nil || got != row.want {
			t.Errorf("%s on %s: got %v, %v, want %v", row.flags, rules.Flags(row.seg), got, err, row.want)
		}
	}
	any := matchOf(t, `flags = ["S", "+F-R"]`).Flags
	if !any.Match(syn) || !any.Match(fin|ack) || any.Match(ack) || !(rules.Flagset)(nil).Match(ack) {
		t.Error("a list of flags is not any of")
	}
	if got, want := any.String(), "-F+S-R-A, +F-R"; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
}

func TestAddrs(t *testing.T) {
	for _, row := range []struct{ text, in, out, printed string }{
		{"10.0.0.1", "10.0.0.1:5", "10.0.0.2:5", "10.0.0.1"},
		{"10.0.0.0/8", "10.255.0.1:5", "11.0.0.1:5", "10.0.0.0/8"},
		{"10.0.0.1:80", "10.0.0.1:80", "10.0.0.1:81", "10.0.0.1:80"},
		{"10.0.0.0/8:1000-2000", "10.9.9.9:1000", "10.9.9.9:999", "10.0.0.0/8:1000-2000"},
		{"fd77::1", "[fd77::1]:5", "[fd77::2]:5", "fd77::1"},
		{"fd77::/64", "[fd77::9]:5", "[fd78::9]:5", "fd77::/64"},
		{"[fd77::1]", "[fd77::1]:5", "[fd77::2]:5", "fd77::1"},
		{"[fd77::1]:80", "[fd77::1]:80", "[fd77::1]:81", "[fd77::1]:80"},
		{"[fd77::/64]:80-90", "[fd77::5]:90", "[fd77::5]:91", "[fd77::/64]:80-90"},
		{"10.0.0.1:>1024", "10.0.0.1:1025", "10.0.0.1:1024", "10.0.0.1:1025-65535"},
	} {
		m, err := rules.ParseAddr(row.text)
		if err != nil || !m.Match(netip.MustParseAddrPort(row.in)) || m.Match(netip.MustParseAddrPort(row.out)) || m.String() != row.printed {
			t.Errorf("%q: got %v, %v", row.text, m, err)
		}
	}
	for _, text := range []string{"", ":80", "10.0.0.1:", "10.0.0.1:0", "10.0.0.1:!=80", "10.0.0.0/33", "[fd77::1", "[fd77::1]80", "fe80::1%eth0", "host:80"} {
		if m, err := rules.ParseAddr(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, m)
		}
	}
	as := matchOf(t, `client = ["10.0.0.1", "fd77::/64"]`).Client
	if !as.Match(netip.MustParseAddrPort("[fd77::1]:1")) || as.Match(netip.MustParseAddrPort("10.0.0.2:1")) || as.String() != "10.0.0.1, fd77::/64" {
		t.Errorf("a list is not any of: %s", as)
	}
}

func TestRolesAndStates(t *testing.T) {
	m := matchOf(t, `from = ["server", "active-closer"], client_state = ["fin-wait-2", "ESTAB"], tag = ["a", "b"], not_tag = "b"`)
	if m.From != rules.RoleServer|rules.RoleActiveCloser || m.From.String() != "server, active-closer" {
		t.Errorf("from: got %v", m.From)
	}
	for sender, want := range map[rules.Role]bool{
		rules.RoleClient: false,
		rules.RoleServer: true,
		rules.RoleClient | rules.RoleActiveCloser: true,
	} {
		if got := m.From.Match(sender); got != want {
			t.Errorf("from %v: got %v, want %v", sender, got, want)
		}
	}
	if !rules.Role(0).Match(rules.RoleClient) {
		t.Error("no role is not anyone")
	}
	if want := conntrack.StatesOf(conntrack.FinWait2, conntrack.Established); m.ClientState != want || m.ServerState != 0 {
		t.Errorf("states: got %v and %v", m.ClientState, m.ServerState)
	}
	if !reflect.DeepEqual(m.Tags, []string{"a", "b"}) || !reflect.DeepEqual(m.NotTags, []string{"b"}) {
		t.Errorf("tags: got %q, %q", m.Tags, m.NotTags)
	}
}

// The match methods stand on the path of every segment.
func TestMatchAllocatesNothing(t *testing.T) {
	m := matchOf(t, `port = [80, "8000-8099"], client = ["10.0.0.0/8", "fd77::/64"], from = "client",
		segment = ["fin+!stale", "!retransmission"], flags = "+F-R", connection = ["every 5", 1], length = ">=0", age = "<5s"`)
	client := netip.MustParseAddrPort("10.0.0.1:40000")
	allocs := testing.AllocsPerRun(100, func() {
		if !m.Port.Match(8050) || !m.Client.Match(client) || !m.From.Match(rules.RoleClient) ||
			!m.Segment.Match(conntrack.KindsOf(conntrack.KindFin)) || !m.Flags.Match(17) ||
			!m.Connection.Match(10) || !m.Length.Match(0) || !m.Age.Match(0) {
			t.Error("does not match")
		}
	})
	if allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
