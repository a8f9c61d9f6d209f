package integration

import (
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

var streamRules = []struct{ name, text string }{
	{"drop", loseSome},
	{"delay", delaySome},
	{"duplicate", doubleSome},
	{"hold", keepSome},
	{"all", loseSome + doubleSome + keepSome + delaySome},
}

// Nobody can tell from what becomes of a stream whether the kernels have handed over
// super-packets: the same piece of it, sent for the same time, meets the same fate.
func TestStreamFates(t *testing.T) {
	for _, ip := range []int{4, 6} {
		some := streamRules
		if ip == 6 {
			some = streamRules[len(streamRules)-1:] // all at once; the cut is another
		}
		for _, r := range some {
			t.Run(fmt.Sprintf("%s/IPv%d", r.name, ip), func(t *testing.T) {
				t.Parallel()
				plain := runStream(t, lineConfig{ip: ip, offload: tunnel.Off, rules: r.text})
				super := runStream(t, lineConfig{ip: ip, offload: tunnel.On, rules: r.text})
				plain.agreesWith(t, super)
				t.Logf("without super-packets %s; with them %s", plain.decided(), super.decided())
			})
		}
	}
}

// runStream has both sides send their streams in turn, and wants them to arrive.
func runStream(t *testing.T, c lineConfig) *history {
	t.Helper()
	var rec engine.Recorder
	c.box.Seed, c.box.AllEvents, c.box.OnEvent = 7, true, rec.Record
	l := newLine(t, c)
	ends := l.connect()
	if err := inTurn(ends); err != nil {
		t.Fatal(err)
	}
	var sent [2]int
	for side, fd := range ends {
		sent[side] = l.dataSent(fd)
		unix.Shutdown(fd, unix.SHUT_WR)
	}
	l.end()
	h := tellHistory(rec.Events())
	h.isConsistent(t, l.Stats())
	if h.data != sent {
		t.Errorf("the kernels have sent %v segments with data, the box has met %v", sent, h.data)
	}
	return h
}
