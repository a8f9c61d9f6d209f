package integration

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

var (
	soakFor  = flag.Duration("soak.for", 8*time.Second, "how long the soak goes on, over all its parts")
	soakSeed = flag.Uint64("soak.seed", 1, "seed of what its connections do")
)

// The soak: many connections open, talk, end and are aborted under faults of all kinds, while
// rules are reloaded, put to sleep, woken and made to release. Then nothing is left: no
// goroutine, no buffer, no connection; memory has not grown, every byte was intact.
func TestSoak(t *testing.T) {
	for _, workers := range []int{1, 2} {
		t.Run(fmt.Sprintf("workers=%d", workers), func(t *testing.T) { soak(t, workers, *soakFor/2) })
	}
}

// gentle are faults that no stream is hurt by: what is lost is sent again. Many
// rules are alike in both of the sets that take turns, and go on counting.
const gentle = `
[[rule]]
name = "free"
match = { port = 8080, segment = "fin", from = "client" }
every = 3
action = { release = "keep" }
[[rule]]
name = "keep"
match = { port = 8080, segment = "data" }
every = 90
action = { hold = { until = "release", timeout = "30ms" } }
[[rule]]
name = "lose"
match = { port = 8080 }
probability = "0.5%"
action = "drop"
[[rule]]
name = "twice"
match = { port = 8080 }
probability = "2%"
action = { duplicate = { copies = 2, after = "2ms" } }
[[rule]]
name = "crossing"
match = { port = 8080, segment = "first-fin" }
share = 0.3
count = 1
action = { hold = { until = "peer-fin", timeout = "20ms" } }
`

// The sets that take turns.
const (
	soakOneWay = gentle + `
[[rule]]
name = "late"
match = { port = 8080, segment = "data" }
probability = "10%"
action = { delay = { by = "1ms", jitter = "1ms" } }
[[rule]]
name = "behind"
match = { port = 8080, segment = "data" }
every = 200
action = { hold = { until = "next", timeout = "5ms", behind = true } }
[[rule]]
name = "bottleneck"
match = { port = 8080, from = "server", connection = "every 7" }
action = { rate = { limit = "200mbit", queue = "1MiB" } }
`
	soakOtherWay = `
[[rule]]
name = "mark"
match = { port = 8080, segment = "syn", connection = "every 2" }
action = { tag = "marked" }
` + gentle + `
[[rule]]
name = "astray"
match = { port = 8080, segment = "data", tag = "marked" }
probability = "5%"
action = { delay = { by = "1ms", jitter = "1ms", keep_order = false } }
[[rule]]
name = "reset"
match = { port = 8081, segment = "data", connection = "every 3" }
nth = "5"
action = { reset = { to = "both", seq = "in-window" } }
[[rule]]
name = "hole"
match = { port = 8081, segment = "data", connection = "every 5" }
nth = "9"
action = { blackhole = { from = "server", for = "50ms" } }
`
)

// soak lets the hosts of a line loose.
func soak(t *testing.T, workers int, howLong time.Duration) {
	before := runtime.NumGoroutine()
	t.Run("run", func(t *testing.T) {
		l := newLine(t, lineConfig{
			ip: 4, offload: tunnel.On, rules: soakOneWay, sysctls: soakSysctls,
			box: engine.Config{Workers: workers, BusyPoll: workers > 1, Seed: *soakSeed},
		})
		if l.Workers() != workers {
			t.Fatalf("%d workers, want %d", l.Workers(), workers)
		}
		s := newCrowd(t, l)
		m := new(memory)
		l.meddle(howLong, m)
		s.end()
		m.isFlat(t, howLong)
		l.isEmpty(workers)
		if n := s.refused.Load(); n > 2+s.opened.Load()/1000 {
			t.Errorf("%d connections were refused", n)
		}
		if s.whole.Load() < int64(20*howLong.Seconds()) {
			t.Errorf("only %d streams in %v have come back whole", s.whole.Load(), howLong)
		}
		t.Logf("%d connections and %d refused, %d of them whole, %d MB echoed; %v",
			s.opened.Load(), s.refused.Load(), s.whole.Load(), s.bytes.Load()>>20, m)
		t.Logf("%+v", l.Stats())
	})
	for end := time.Now().Add(longest); runtime.NumGoroutine() > before; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			stacks := make([]byte, 1<<20)
			t.Fatalf("%d goroutines, %d before\n%s", runtime.NumGoroutine(), before, stacks[:runtime.Stack(stacks, true)])
		}
	}
}

// soakSysctls let a port be used again while the connection before it is in TIME_WAIT.
var soakSysctls = hostSettings{"tcp_tw_reuse": "1"}

// meddle changes the rules under the connections until the time is over, and
// watches the memory.
func (l *line) meddle(howLong time.Duration, m *memory) {
	l.t.Helper()
	begin := time.Now()
	r := rand.New(rand.NewPCG(*soakSeed, 2))
	for turn := 0; time.Since(begin) < howLong; turn++ {
		if err := l.Reload(mustParse(l.t, []string{soakOtherWay, soakOneWay, ""}[turn%3])); err != nil {
			l.t.Fatal(err)
		}
		for range 10 {
			time.Sleep(min(100*time.Millisecond, howLong/20))
			name := []string{"keep", "late", "crossing", "behind", "astray"}[r.IntN(5)]
			on := r.IntN(2) == 0
			if err := l.Call(func(b *engine.Box, now time.Duration) {
				b.Release(now, name)
				b.Enable(name, on)
			}); err != nil {
				l.t.Fatal(err)
			}
		}
		m.look(turn > 0 && time.Since(begin) > howLong/2) // a first look there is, however slow the machine
	}
}

// isEmpty lets the time of everything that the box remembers run out, and
// wants nothing to be left, and the counts to add up.
func (l *line) isEmpty(workers int) {
	l.t.Helper()
	l.settle()
	if lost, err := l.RingDrops(); lost != 0 || err != nil {
		l.t.Errorf("the rings have lost %d packets: %v", lost, err)
	}
	if err := l.Reload(nil); err != nil {
		l.t.Error(err)
	}
	if err := l.Call(func(b *engine.Box, now time.Duration) {
		for at, ok := b.Next(); ok; at, ok = b.Next() {
			b.Advance(max(at, now))
		}
	}); err != nil {
		l.t.Error(err)
	}
	s := l.Stats()
	if n := s.WaitBytes - workers*tunnel.MaxPacket; n > 0 || s.Waiting > 0 { // each has a buffer to read into
		l.t.Errorf("%d segments and %d bytes are kept in the end", s.Waiting, n)
	}
	judged := s.Untracked
	for v := range engine.Forged {
		judged += s.Verdicts[v]
	}
	if judged != s.Segments {
		l.t.Errorf("%d segments came in, %d had a fate", s.Segments, judged)
	}
	for _, loss := range []engine.Loss{engine.LossQueue, engine.LossShutdown, engine.LossWrite, engine.LossMuted} {
		if n := s.Losses[loss]; n > 0 {
			l.t.Errorf("%d segments were lost: %v", n, loss)
		}
	}
	for side, ns := range l.hosts {
		// The kernel's count of what it gave to us may be ahead by what nobody has read.
		if sent := transmitted(l.t, ns.Do, l.devices[side].Name()); sent != s.Packets[side] {
			l.t.Errorf("kernel %d has handed over %d packets, the box has read %d", side, sent, s.Packets[side])
		}
	}
	conns, err := l.Conns(func(*engine.ConnView) bool { return true })
	if len(conns) > 0 || err != nil {
		l.t.Errorf("%d connections are tracked in the end, %v", len(conns), err)
	}
}

// transmitted is the kernel's count of packets that were read from a device.
func transmitted(t *testing.T, in func(func() error) error, dev string) uint64 {
	t.Helper()
	var n uint64
	err := in(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/dev")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(text)) {
			name, numbers, _ := strings.Cut(line, ":")
			if fields := strings.Fields(numbers); strings.TrimSpace(name) == dev && len(fields) > 9 {
				n, err = strconv.ParseUint(fields[9], 10, 64)
			}
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

// A memory is what the process took, in bytes, in each half of the time.
type memory struct {
	heap, resident [2]uint64 // at most
	looks          int
}

// look notes what is in use once the garbage is gone.
func (m *memory) look(second bool) {
	m.looks++
	debug.FreeOSMemory()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	half := 0
	if second {
		half = 1
	}
	m.heap[half] = max(m.heap[half], s.HeapInuse)
	m.resident[half] = max(m.resident[half], resident())
}

// resident is the memory of the process that is in use, in bytes.
func resident() uint64 {
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(text))
	pages, _ := strconv.ParseUint(fields[1], 10, 64)
	return pages * uint64(os.Getpagesize())
}

// isFlat wants the second half to take no more than the first, but for some slack: buffers of
// connections that happen to be open. A short run is not past its beginning, in which
// the process still comes to its size, and the race detector's shadow of it.
func (m *memory) isFlat(t *testing.T, howLong time.Duration) {
	t.Helper()
	slack := uint64(32 << 20)
	if howLong < time.Minute {
		slack *= 8
	}
	if m.heap[1] > m.heap[0]*5/4+slack {
		t.Errorf("the heap has grown: %v", m)
	}
	if m.resident[1] > m.resident[0]*5/4+slack {
		t.Errorf("the process has grown: %v", m)
	}
}

// String is the most of both halves.
func (m *memory) String() string {
	return fmt.Sprintf("heap %d then %d MB, resident %d then %d MB at most (%d looks)",
		m.heap[0]>>20, m.heap[1]>>20, m.resident[0]>>20, m.resident[1]>>20, m.looks)
}
