package integration

import (
	"bytes"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A language is what rules do to streams, and what has to arrive of them.
var languages = []struct {
	name, rules string
	with        [2]string // in place of each needle, by sender
	fin         bool      // the client is told of an end that the server has not made
}{
	{"reorder", reorderSome, [2]string{}, false},
	{"split", splitSome, [2]string{}, false},
	{"rate", limitAll, [2]string{}, false},
	{"shorter", shorten, [2]string{"pin", "pin"}, false},
	{"longer", lengthen, [2]string{"", "knitting-needle"}, false},
	{"late-fin", "", [2]string{}, true},
	{"all", shorten + doubleSome + splitSome + limitAll + loseSome + reorderSome + delaySome, [2]string{"pin", "pin"}, true},
}

// Through whatever rules, a stream arrives: every byte once and in order, or changed
// exactly as they say.
func TestStreamThroughTheLanguage(t *testing.T) {
	for _, g := range []ground{{tunnel.Off, 4}, {tunnel.On, 4}, {tunnel.Off, 6}, {tunnel.On, 6}} {
		for _, row := range languages {
			t.Run(fmt.Sprintf("%s/IPv%d/offload-%v", row.name, g.ip, g.offload), func(t *testing.T) {
				t.Parallel()
				l := newLine(t, lineConfig{ip: g.ip, offload: g.offload, rules: row.rules, box: engine.Config{Seed: 7}})
				ends := l.connect()
				for from := range 2 {
					if err := sendNeedles(ends, from, row.with[from]); err != nil {
						t.Fatal(err)
					}
				}
				l.close(ends, row.fin)
				l.end()
				for _, rep := range l.Report() {
					if rep.Fired == 0 {
						t.Errorf("rule %q has never fired; %s", rep.Name, rep.WhyNot)
					}
				}
			})
		}
	}
}

// sendNeedles sends a stream with needles in it, and wants it to arrive with something
// else in their place, if that is not empty.
func sendNeedles(ends [2]int, from int, with string) error {
	data := streamData(from, streamLen)
	// Each is in the middle of a segment, in one of IPv4's as in one of IPv6's.
	for i, mss := 0, []int{1448, 1428}; i < len(data); i += 50 * 1448 {
		if at := i + 700; at%mss[0] > 100 && at%mss[0] < 1300 && at%mss[1] > 100 && at%mss[1] < 1300 {
			copy(data[at:], needle)
		}
	}
	want := data
	if with != "" {
		want = bytes.ReplaceAll(data, []byte(needle), []byte(with))
	}
	return carry(ends, from, data, want)
}

const needle = "needle"

// close ends both directions; with forged, the client reads the end of the server's
// stream before the server has ended it.
func (l *line) close(ends [2]int, forged bool) {
	l.t.Helper()
	if forged {
		l.dataSent(ends[1])
		fin := mustParse(l.t, "[[rule]]\naction = { fin = 'client' }").Rules[0].Actions[0]
		all := func(*engine.ConnView) bool { return true }
		if n, err := l.Act(all, fin); n != 1 || err != nil {
			l.t.Errorf("a FIN was forged on %d connections, %v", n, err)
		}
		wantEnd(l.t, "client", ends[0])
	}
	unix.Shutdown(ends[0], unix.SHUT_WR)
	wantEnd(l.t, "server", ends[1])
	unix.Shutdown(ends[1], unix.SHUT_WR)
	wantEnd(l.t, "client", ends[0])
}

// wantEnd wants nothing more to come but the end.
func wantEnd(t *testing.T, who string, fd int) {
	t.Helper()
	r := receiver{fd: fd}
	if err := r.receive(-1); err != nil || r.total > 0 {
		t.Errorf("the %s got %d bytes more, and %v", who, r.total, err)
	}
}
