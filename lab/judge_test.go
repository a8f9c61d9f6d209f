package lab

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// A scene is a made-up moment: which connections are in which states.
type scene struct {
	at    string            // since the start
	conns map[string]string // client's and server's state by name: "a": "ESTABLISHED CLOSED"
}

// tupleNamed is a 4-tuple that differs by its name.
func tupleNamed(name string) tuple {
	port := 40000 + uint16(name[0])
	return tuple{netip.AddrPortFrom(addresses[4][0], port), netip.AddrPortFrom(addresses[4][1], 8080)}
}

// stage plays scenes to a check and returns what it found at last.
func stage(t *testing.T, c check, scenes []scene) finding {
	t.Helper()
	s := &sample{conns: map[tuple]*[2]end{}}
	seen := map[string]bool{}
	for i, sc := range scenes {
		at, err := time.ParseDuration(sc.at)
		if err != nil {
			t.Fatal(err)
		}
		clear(s.conns)
		for name, states := range sc.conns {
			if !seen[name] {
				seen[name] = true
				s.known = append(s.known, tupleNamed(name))
			}
			s.conns[tupleNamed(name)] = endsNamed(t, states)
		}
		f := c.look(&moment{at: at, sample: s, last: i == len(scenes)-1})
		if f.ruling >= pass {
			return f
		}
	}
	t.Fatal("undecided at the last moment")
	return finding{}
}

func endsNamed(t *testing.T, states string) *[2]end {
	t.Helper()
	var ends [2]end
	for side, name := range strings.Fields(states) {
		if name == listenName {
			ends[side].listening = true
			continue
		}
		state, ok := conntrack.ParseState(name)
		if !ok {
			t.Fatalf("no state %q", name)
		}
		ends[side] = end{state: state, present: state != conntrack.Closed}
	}
	return &ends
}

func one(at, states string) scene { return scene{at, map[string]string{"a": states}} }

func TestStateExpectations(t *testing.T) {
	tests := []struct {
		name, expect string
		scenes       []scene
		ruling       ruling
		at, why      string
	}{
		{"it comes", `client = "TIME_WAIT"`,
			[]scene{one("0s", "ESTABLISHED ESTABLISHED"), one("1s", "TIME_WAIT CLOSED"), one("2s", "CLOSED CLOSED")}, pass, "1s", ""},
		{"both at once", `client = "FIN_WAIT_1"` + "\n" + `server = "FIN_WAIT_1"`,
			[]scene{one("0s", "FIN_WAIT_1 ESTABLISHED"), one("1s", "CLOSING FIN_WAIT_1")}, fail, "", "client CLOSING, server FIN_WAIT_1"},
		{"both at once, but on different connections", `client = "FIN_WAIT_1"` + "\n" + `server = "LAST_ACK"`,
			[]scene{{"0s", map[string]string{"a": "FIN_WAIT_1 CLOSE_WAIT", "b": "FIN_WAIT_2 LAST_ACK"}}}, fail, "", "FIN_WAIT_2, server LAST_ACK"},
		{"one of a list", `client = ["FIN_WAIT_1", "fin-wait-2"]`,
			[]scene{one("1s", "FIN_WAIT_2 CLOSE_WAIT")}, pass, "1s", ""},
		{"too late", "client = 'TIME_WAIT'\nwithin = '1s'",
			[]scene{one("1s", "ESTABLISHED CLOSED"), one("1001ms", "TIME_WAIT CLOSED"), one("2s", "TIME_WAIT CLOSED")}, fail, "", "at 1.001s"},
		{"in time, and it lasts", "client = 'TIME_WAIT'\nwithin = '1s'\nlasts = '3s'",
			[]scene{one("1s", "TIME_WAIT CLOSED"), one("2s", "TIME_WAIT CLOSED"), one("4s", "TIME_WAIT CLOSED"), one("5s", "CLOSED CLOSED")}, pass, "1s", ""},
		{"a break", "client = 'TIME_WAIT'\nwithin = '1s'\nlasts = '3s'",
			[]scene{one("1s", "TIME_WAIT CLOSED"), one("3s", "TIME_WAIT CLOSED"), one("3010ms", "CLOSED CLOSED"), one("5s", "TIME_WAIT CLOSED"), one("9s", "TIME_WAIT CLOSED")}, fail, "", "it held for 2s at the longest"},
		{"a break, but time for another try", "client = 'TIME_WAIT'\nlasts = '3s'",
			[]scene{one("1s", "TIME_WAIT CLOSED"), one("2s", "CLOSED CLOSED"), one("3s", "TIME_WAIT CLOSED"), one("6s", "TIME_WAIT CLOSED")}, pass, "3s", ""},
		{"lasting is of one connection", "client = 'TIME_WAIT'\nlasts = '2s'",
			[]scene{one("0s", "TIME_WAIT CLOSED"), {"1s", map[string]string{"a": "CLOSED CLOSED", "b": "TIME_WAIT CLOSED"}}, {"2s", map[string]string{"b": "TIME_WAIT CLOSED"}}}, fail, "", "it held for 1s"},
		{"a gap between samples is no break", "client = 'TIME_WAIT'\nlasts = '2s'",
			[]scene{one("0s", "TIME_WAIT CLOSED"), one("2s", "TIME_WAIT CLOSED"), one("3s", "CLOSED CLOSED")}, pass, "0s", ""},
		{"no socket and no listener is CLOSED", "server = 'CLOSED'",
			[]scene{one("0s", "SYN_SENT CLOSED"), one("1s", "SYN_SENT SYN_RCVD")}, pass, "0s", ""},
		{"CLOSED wants a connection to be closed", "server = 'CLOSED'",
			[]scene{{"0s", nil}}, fail, "", "there is no connection"},
		{"a listener alone is LISTEN", "client = 'SYN_SENT'\nserver = 'LISTEN'",
			[]scene{one("0s", "SYN_SENT LISTEN"), one("1s", "SYN_SENT SYN_RCVD")}, pass, "0s", ""},
		{"a listener alone is CLOSED, too", "client = 'SYN_SENT'\nserver = 'CLOSED'",
			[]scene{one("0s", "SYN_SENT LISTEN"), one("1s", "SYN_SENT SYN_RCVD")}, pass, "0s", ""},
		{"so many", "client = 'TIME_WAIT'\nconnections = '>= 2'",
			[]scene{one("0s", "TIME_WAIT CLOSED"), {"1s", map[string]string{"a": "TIME_WAIT CLOSED", "b": "TIME_WAIT CLOSED"}}, one("2s", "CLOSED CLOSED")}, pass, "1s", ""},
		{"not so many", "client = 'TIME_WAIT'\nconnections = 2",
			[]scene{one("0s", "TIME_WAIT CLOSED"), one("1s", "CLOSED CLOSED")}, fail, "", "0 connections, at most 1"},
		{"none before there are any", "server = 'CLOSE_WAIT'\nconnections = 0",
			[]scene{{"0s", nil}, one("1s", "FIN_WAIT_2 CLOSE_WAIT"), one("2s", "FIN_WAIT_2 CLOSE_WAIT")}, fail, "", "1 connection, at most 1"},
		{"none any more", "server = 'CLOSE_WAIT'\nconnections = 0",
			[]scene{{"0s", nil}, one("1s", "FIN_WAIT_2 CLOSE_WAIT"), one("2s", "CLOSED CLOSED")}, pass, "2s", ""},
		{"none in time", "server = 'CLOSE_WAIT'\nconnections = 0\nwithin = '2s'",
			[]scene{{"0s", nil}, one("1s", "FIN_WAIT_2 CLOSE_WAIT"), one("3s", "CLOSED CLOSED"), one("4s", "CLOSED CLOSED")}, fail, "", "at 3.000s 0 connections"},
		{"none in time, whatever comes", "server = 'CLOSE_WAIT'\nconnections = 0\nwithin = '2s'",
			[]scene{{"0s", nil}, one("1s", "FIN_WAIT_2 ESTABLISHED"), one("3s", "CLOSED CLOSED"), one("4s", "FIN_WAIT_2 CLOSE_WAIT")}, pass, "0s", ""},
		{"none for a while", "server = 'CLOSE_WAIT'\nconnections = 0\nlasts = '1s'",
			[]scene{one("0s", "FIN_WAIT_2 CLOSE_WAIT"), one("1s", "CLOSED CLOSED"), one("2s", "CLOSED CLOSED"), one("3s", "CLOSED CLOSED")}, pass, "1s", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f := parse(t, "[client]\nscript = 'sleep 1ms'\n[[expect]]\n"+tt.expect)
			got := stage(t, f.expects[0].check(), tt.scenes)
			if got.ruling != tt.ruling || !strings.Contains(got.why, tt.why) {
				t.Errorf("got ruling %d because of %q, want %d because of %q", got.ruling, got.why, tt.ruling, tt.why)
			}
			if at, _ := time.ParseDuration(tt.at); tt.at != "" && got.at != at {
				t.Errorf("it came true at %v, want %v", got.at, at)
			}
		})
	}
}

func TestFiredExpectations(t *testing.T) {
	tests := []struct {
		fired  string
		counts []uint64 // moment by moment
		want   ruling
		after  int // moments it took
	}{
		{"'>= 2'", []uint64{0, 1, 2, 2}, pass, 4}, // judged at the end: more may come
		{"'>= 2'", []uint64{0, 1}, fail, 2},
		{"1", []uint64{1, 2, 2}, fail, 2}, // it cannot become less
		{"'<= 1'", []uint64{0, 1}, pass, 2},
		{"0", []uint64{0, 1, 1}, fail, 2},
	}
	for _, tt := range tests {
		f := parse(t, `
			[[rule]]
			name = "r"
			action = "drop"
			[client]
			script = "sleep 1ms"
			[[expect]]
			rule = "r"
			fired = `+tt.fired)
		c := f.expects[0].check()
		for i, n := range tt.counts {
			got := c.look(&moment{fired: func(string) uint64 { return n }, last: i == len(tt.counts)-1})
			if got.ruling < pass {
				continue
			}
			if got.ruling != tt.want || i+1 != tt.after {
				t.Errorf("fired = %s, %v: got %d after %d moments, want %d after %d", tt.fired, tt.counts, got.ruling, i+1, tt.want, tt.after)
			}
			break
		}
	}
}

// Waiting for more firings than there have been keeps a run going; enough of them do not.
func TestFiredExpectationWaits(t *testing.T) {
	s := &firedSpec{rule: "r"}
	s.fired = append(s.fired, parse(t, "[[rule]]\nname='r'\naction='drop'\n[client]\nscript='sleep 1ms'\n[[expect]]\nrule='r'\nfired='>= 2'").expects[0].(*firedSpec).fired...)
	for n, want := range []ruling{open, open, enough, enough} {
		if got := s.look(&moment{fired: func(string) uint64 { return uint64(n) }}); got.ruling != want {
			t.Errorf("after %d firings: got %d, want %d", n, got.ruling, want)
		}
	}
}
