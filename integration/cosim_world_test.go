package integration

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/rules"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// hostSettings are the sysctls that a round gives a host, beyond those all have.
type hostSettings map[string]string

// fixedSettings let nothing but the round itself decide: no memory of earlier
// connections, no SYN cookies, which keep no state.
var fixedSettings = hostSettings{
	"tcp_no_metrics_save":    "1",
	"tcp_syncookies":         "0",
	"tcp_max_syn_backlog":    "4096",
	"net.core.somaxconn":     "4096",
	"tcp_congestion_control": "reno",
}

// randomSettings shorten many lives, so that endpoints also die in silence.
func randomSettings(r *rand.Rand) hostSettings {
	pick := func(values ...int) string { return strconv.Itoa(values[r.IntN(len(values))]) }
	s := hostSettings{
		"tcp_retries2":          pick(2, 3, 5, 15),
		"tcp_orphan_retries":    pick(0, 1, 2, 3),
		"tcp_syn_retries":       pick(1, 1, 2, 6),
		"tcp_synack_retries":    pick(0, 1, 5),
		"tcp_rto_min_us":        pick(200000, 200000, 50000, 20000),
		"tcp_rto_max_ms":        pick(120000, 2000, 1000),
		"tcp_fin_timeout":       pick(60, 1, 2, 70),
		"tcp_timestamps":        pick(1, 1, 0),
		"tcp_sack":              pick(1, 1, 0),
		"tcp_window_scaling":    pick(1, 1, 0),
		"tcp_rfc1337":           pick(0, 0, 1),
		"tcp_tw_reuse":          pick(0, 1, 2),
		"tcp_invalid_ratelimit": pick(500, 500, 50),
	}
	if r.IntN(6) == 0 {
		s["tcp_max_tw_buckets"] = "0"
	}
	return s
}

func (s hostSettings) stack() conntrack.Stack {
	return conntrack.Stack{RFC1337: s["tcp_rfc1337"] == "1", NoTimeWait: s["tcp_max_tw_buckets"] == "0"}
}

// A world is the ground that a round is played on, as it stands.
type world struct {
	t       *testing.T
	round   *round
	hosts   [2]*netns.NS
	devices [2]tunnel.Device
	addrs   [2]netip.Addr
	rules   *rules.Set
	engine  *engine.Engine
	judge   *judge
	stop    context.CancelFunc
	stopped chan error

	mu  sync.Mutex
	fds []int // open sockets that nobody has closed
}

// newWorld makes hosts, devices and the box. The test fails if it cannot.
func newWorld(t *testing.T, r *round) *world {
	t.Helper()
	w := &world{t: t, round: r, stopped: make(chan error, 1)}
	for i := range w.hosts {
		if err := w.newHost(i); err != nil {
			w.close()
			t.Fatalf("host %d: %v", i, err)
		}
	}
	w.judge = newJudge(w)
	var err error
	w.rules, err = rules.Parse("cosim.toml", r.rules)
	if err != nil {
		w.close()
		t.Fatalf("seed %d: %v", r.seed, err)
	}
	w.engine, err = engine.New(engine.Config{
		Devices: w.devices, Rules: w.rules, Seed: r.seed, OnEvent: w.judge.hear, AllEvents: true,
		Stacks: [2]conntrack.Stack{r.hosts[0].stack(), r.hosts[1].stack()},
	})
	if err != nil {
		w.close()
		t.Fatal(err)
	}
	return w
}

// newHost makes a namespace with a device, an address and the way to the other.
func (w *world) newHost(i int) (err error) {
	n, err := netns.New()
	if err != nil {
		return err
	}
	w.hosts[i] = n
	var addrs [2]netip.Prefix
	for j := range addrs {
		addrs[j] = hostAddr(w.round.ip, j)
	}
	w.addrs[i] = addrs[i].Addr()
	for _, settings := range []hostSettings{fixedSettings, w.round.hosts[i]} {
		for key, value := range settings {
			err := n.Sysctl(key, value)
			if err != nil && !errors.Is(err, netns.ErrUnknownSysctl) { // an older kernel has not all
				return err
			}
		}
	}
	err = n.Do(func() error {
		w.devices[i], err = tunnel.Open(tunnel.Config{Offload: w.round.offload})
		return err
	})
	if err != nil {
		return err
	}
	name := w.devices[i].Name()
	return errors.Join(n.LinkUp(name), n.AddAddr(name, addrs[i]), n.AddRoute(addrs[1-i], name))
}

func hostAddr(ip, i int) netip.Prefix {
	if ip == 6 {
		return netip.MustParsePrefix([]string{"fd77:1::1/128", "fd77:2::1/128"}[i])
	}
	return netip.MustParsePrefix([]string{"10.77.1.1/32", "10.77.2.1/32"}[i])
}

// start sets the box and the judge going.
func (w *world) start() {
	ctx, cancel := context.WithCancel(context.Background())
	w.stop = cancel
	go func() { w.stopped <- w.engine.Run(ctx) }()
	w.judge.start(ctx)
}

// act lets the couples of the round act, all at once, and waits for the last.
func (w *world) act() {
	ctx, cancel := context.WithTimeout(context.Background(), w.round.long)
	defer cancel()
	newStage(ctx, w).play(w.round.cast)
}

// close takes everything down; it may stand half built.
func (w *world) close() {
	if w.stop != nil {
		w.stop()
		if err := <-w.stopped; err != nil {
			w.t.Errorf("seed %d: engine: %v", w.round.seed, err)
		}
	}
	for _, fd := range w.fds { // the listeners among them: the judge has looked at their requests to the end
		unix.Close(fd)
	}
	for i := range w.hosts {
		if w.devices[i] != nil {
			w.devices[i].Close()
		}
		if w.hosts[i] != nil {
			w.hosts[i].Close()
		}
	}
}

// settle is how long the judge goes on after the last act.
const settle = 150 * time.Millisecond
