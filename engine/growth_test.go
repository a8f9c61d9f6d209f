package engine_test

import (
	"runtime"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// What a Box keeps of segments that wait is not copied when there are more of them: no
// packet waits for that. So hardly more is allocated on the way than is kept.
func TestGrowthCopiesNothing(t *testing.T) {
	const n = 20_000
	s := newStream(mustParse(t, "[[rule]]\nmatch = { segment = \"data\" }\naction = { delay = \"1h\" }\n"), 10, 0)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.GC() // what pools keep for one round more is not ours
	runtime.ReadMemStats(&before)
	for range n {
		s.receive(client, tunnel.Header{}, s.data)
		s.packet.SetSeq(s.packet.Seq() + seq.Num(s.packet.PayloadLen()))
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if got := s.box.Stats().Waiting; got != n {
		t.Fatalf("%d segments wait, want %d", got, n)
	}
	allocated, kept := after.TotalAlloc-before.TotalAlloc, after.HeapAlloc-before.HeapAlloc
	if allocated > kept*6/5 {
		t.Errorf("%d bytes were allocated to keep %d", allocated, kept)
	}
	runtime.KeepAlive(s)
}
