package rules_test

import (
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/rules"
)

func TestOffsets(t *testing.T) {
	for _, row := range []struct {
		offset    string
		off, size int64
		want      bool
		printed   string
	}{
		{`"contains 4096"`, 4000, 97, true, "contains 4096"},
		{`"contains 4096"`, 4000, 96, false, "contains 4096"},
		{`"contains 4096"`, 4096, 1, true, "contains 4096"},
		{`"contains 4096"`, 4096, 0, false, "contains 4096"},
		{`"contains 4096"`, 4097, 100, false, "contains 4096"},
		{`">=10000"`, 9999, 100, false, ">=10000"},
		{`">=10000"`, 10000, 0, true, ">=10000"},
		{`"<10"`, -1, 0, false, "<=9"}, // a SYN stands before the stream
		{`0`, 0, 10, true, "0"},
		{`"5000000000-5000000100"`, 5000000050, 1, true, "5000000000-5000000100"},
		{`["contains 7", "100-200"]`, 0, 8, true, "contains 7, 100-200"},
		{`["contains 7", "100-200"]`, 150, 8, true, "contains 7, 100-200"},
		{`["contains 7", "100-200"]`, 50, 8, false, "contains 7, 100-200"},
	} {
		m := matchOf(t, "offset = "+row.offset).Offset
		if got := m.Match(row.off, row.size); got != row.want || m.String() != row.printed {
			t.Errorf("%s on %d of %d bytes: got %v, want %v; prints %s", row.offset, row.off, row.size, got, row.want, m)
		}
	}
}

// set is the options that a segment carries.
func set(kinds ...uint8) (s rules.OptionSet) {
	for _, kind := range kinds {
		s.Add(kind)
	}
	return s
}

func TestOptionSet(t *testing.T) {
	for _, row := range []struct {
		option  string
		carried rules.OptionSet
		want    bool
		printed string
	}{
		{`"timestamps"`, set(8), true, "timestamps"},
		{`"timestamps"`, set(2, 3, 4), false, "timestamps"},
		{`8`, set(8), true, "timestamps"},
		{`["sack", 254]`, set(8, 254), true, "sack, 254"},
		{`["sack", 254]`, set(8, 5), true, "sack, 254"},
		{`["sack", 254]`, set(), false, "sack, 254"},
		{`["mss", "wscale", "sack-permitted", "fastopen", "mptcp", "md5"]`, set(19), true,
			"mss, wscale, sack-permitted, md5, mptcp, fastopen"},
	} {
		m := matchOf(t, "option = "+row.option).Option
		if got := m.Match(row.carried); got != row.want || m.String() != row.printed {
			t.Errorf("%s on %s: got %v, want %v; prints %s", row.option, row.carried, got, row.want, m)
		}
	}
	if any := (rules.OptionSet{}); !any.Match(set()) || !any.Match(set(8)) {
		t.Error("no option does not match everything")
	}
}

func TestPayload(t *testing.T) {
	for _, row := range []struct {
		keys, payload string
		want          bool
	}{
		{`payload = "^GET /"`, "GET / HTTP/1.1", true},
		{`payload = "^GET /"`, "xGET / HTTP/1.1", false},
		{`payload = ["^PING", "(?i)quit\r\n$"]`, "Quit\r\n", true},
		{`payload = "^$"`, "", true},
		{`payload = "."`, "", false},
		{`payload = "a.b"`, "a\xffb", true},
		{`payload_hex = "16 03 01"`, "x\x16\x03\x01", true},
		{`payload_hex = "160301"`, "\x16\x03\x02", false},
		{`payload_hex = ["ff", "DE ad"]`, "\xde\xad", true},
		{`payload_hex = "00"`, "", false},
		{`payload = "b", payload_hex = "61"`, "ab", true},
		{`payload = "b", payload_hex = "61"`, "b", false},
	} {
		m := matchOf(t, row.keys)
		if got := m.Payload.Match([]byte(row.payload)) && m.PayloadHex.Match([]byte(row.payload)); got != row.want {
			t.Errorf("%s on %q: got %v, want %v", row.keys, row.payload, got, row.want)
		}
	}
	m := matchOf(t, `payload = ["^a", "b"], payload_hex = ["16 03", "ff"]`)
	if got := m.Payload.String() + "; " + m.PayloadHex.String(); got != `"^a", "b"; 16 03, ff` {
		t.Errorf("they print as %s", got)
	}
}

// What matches no payload stands on the path of every segment.
func TestPayloadAllocatesNothing(t *testing.T) {
	if poolsForget() {
		t.Skip("pools forget, so regular expressions allocate")
	}
	m := matchOf(t, `payload = ["^GET /[a-z]+", "(?i)quit", "x[0-9]{3}y"], payload_hex = "16 03 01", option = "sack", offset = "contains 9"`)
	payload := make([]byte, 1400)
	carried := set(8)
	if n := testing.AllocsPerRun(100, func() {
		if m.Payload.Match(payload) || m.PayloadHex.Match(payload) || m.Option.Match(carried) || m.Offset.Match(100, 1400) {
			t.Error("it matches")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAt(t *testing.T) {
	fw2 := conntrack.StatesOf(conntrack.FinWait2)
	for _, row := range []struct {
		at      string
		want    rules.At
		printed string
	}{
		{`{ idle = "30s" }`, rules.At{Idle: 30 * time.Second, Of: rules.SideBoth}, "idle = 30s"},
		{`{ age = "1m30s" }`, rules.At{Age: 90 * time.Second, Of: rules.SideBoth}, "age = 1m30s"},
		{`{ state = "FIN_WAIT_2" }`, rules.At{State: fw2, Of: rules.SideBoth}, "state = FIN_WAIT_2"},
		{`{ state = "fin-wait-2", of = "client", for = "5s" }`,
			rules.At{State: fw2, Of: rules.SideClient, For: 5 * time.Second}, "state = FIN_WAIT_2, of = client, for = 5s"},
		{`{ state = ["FIN_WAIT_2", "CLOSE_WAIT"], of = "any" }`,
			rules.At{State: fw2 | conntrack.StatesOf(conntrack.CloseWait), Of: rules.SideBoth}, "state = FIN_WAIT_2, CLOSE_WAIT"},
	} {
		r := parse(t, "[[rule]]\nat = "+row.at+"\nmatch = { port = 80, client_state = \"ESTABLISHED\", idle = \">1s\", tag = \"a\" }\n"+
			"count = 2\ntotal = 3\nprobability = 0.5\nshare = 0.5\nafter = \"1s\"\nfor = \"1s\"\noptional = true\nactions = [\"test-reset\", { test-tag = \"b\" }]\n").Rules[0]
		if r.At == nil || !reflect.DeepEqual(*r.At, row.want) || r.At.String() != row.printed {
			t.Errorf("%s: got %+v, prints %s", row.at, r.At, r.At)
		}
	}
	if r := parse(t, "[[rule]]\naction = \"test-drop\"\n").Rules[0]; r.At != nil {
		t.Errorf("without at: got %+v", r.At)
	}
}

// poolsForget tells whether a sync.Pool loses much of what it is given, as it does on
// purpose under the race detector. Regular expressions allocate then.
func poolsForget() bool {
	made := 0
	pool := sync.Pool{New: func() any { made++; return new(int) }}
	for range 1000 {
		pool.Put(pool.Get())
	}
	return made > 100
}
