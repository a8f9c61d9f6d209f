package integration

// The co-simulation: the states that conntrack infers, held against those that the
// kernels have.
//
//	host 0, a namespace            the box              host 1, a namespace
//	┌──────────────────┐     ┌─────────────────┐     ┌──────────────────┐
//	│ actors 10.77.1.1 │ TUN │ engine: random  │ TUN │ actors 10.77.2.1 │
//	│        fd77:1::1 ├─────┤ rules; conntrack├─────┤        fd77:2::1 │
//	└────────┬─────────┘     └────────┬────────┘     └────────┬─────────┘
//	         │ sock_diag              │ events                │ sock_diag
//	         └───────────────► judge: equal? ◄────────────────┘
//
// In each round some dozens of connections open, talk and end at random under random
// faults. Every few milliseconds the judge stops the box, lists both kernels' sockets,
// and compares each endpoint about which nothing was under way.

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

var (
	cosimSeed    = flag.Uint64("cosim.seed", 1, "seed of the first round; each further one counts it up")
	cosimFor     = flag.Duration("cosim.for", 0, "go on with further rounds for so long")
	cosimConns   = flag.Int("cosim.connections", 0, "go on until so many connections have been seen")
	cosimRounds  = flag.Int("cosim.rounds", 1, "rounds at least, for each backend and IP version")
	cosimGoOn    = flag.Bool("cosim.go-on", false, "go on after a round that has failed")
	cosimLadder  = flag.Int("cosim.ladder", 150, "how many lines of a ladder are printed, the last ones")
	cosimOffload = flag.String("cosim.offload", "both", "auto, off or both")
	cosimIP      = flag.String("cosim.ip", "both", "4, 6 or both")
)

// TestCosim plays rounds and fails with the first in which a model and a kernel disagree.
func TestCosim(t *testing.T) {
	nstest.NeedTUN(t)
	var total tally
	began := time.Now()
	seed := *cosimSeed
	enough := func(n int) bool {
		return n >= *cosimRounds && time.Since(began) >= *cosimFor && total.connections >= *cosimConns
	}
	for n := 0; !enough(n); n++ {
		for _, g := range grounds(t) {
			r := newRound(seed, g)
			failed := t.Failed()
			total.add(r.play(t))
			if t.Failed() && !failed {
				t.Logf("again: %s", r.again())
			}
			if t.Failed() && !*cosimGoOn {
				t.Log(&total)
				return
			}
			seed++
		}
	}
	t.Logf("%v, seeds %d to %d: %v", time.Since(began).Round(time.Second), *cosimSeed, seed-1, &total)
}

// again are the flags that play a round alone once more.
func (r *round) again() string {
	flags := fmt.Sprintf("-cosim.seed=%d -cosim.offload=%v -cosim.ip=%d", r.seed, r.offload, r.ip)
	if long() {
		flags += " -cosim.for=1ns"
	}
	return flags
}

// long tells that time is no matter.
func long() bool { return *cosimFor > 0 || *cosimConns > 0 }

// A ground is what a round is played on.
type ground struct {
	offload tunnel.OffloadMode
	ip      int
}

// grounds are those that the flags ask for.
func grounds(t *testing.T) (all []ground) {
	t.Helper()
	modes, ips := []tunnel.OffloadMode{tunnel.Auto, tunnel.Off}, []int{4, 6}
	if *cosimOffload != "both" {
		mode, err := tunnel.ParseOffload(*cosimOffload)
		if err != nil {
			t.Fatalf("-cosim.offload: %v", err)
		}
		modes = []tunnel.OffloadMode{mode}
	}
	switch *cosimIP {
	case "both":
	case "4":
		ips = ips[:1]
	case "6":
		ips = ips[1:]
	default:
		t.Fatalf("-cosim.ip: %q is not 4, 6 or both", *cosimIP)
	}
	for _, m := range modes {
		for _, ip := range ips {
			all = append(all, ground{m, ip})
		}
	}
	return all
}

// A round is one set of hosts, rules and connections, all from its seed.
type round struct {
	seed uint64
	ground
	rng   *rand.Rand
	long  time.Duration // how long its connections may act
	rules string
	hosts [2]hostSettings
	cast  []*couple
}

// newRound draws everything that the seed decides.
func newRound(seed uint64, g ground) *round {
	rng := rand.New(rand.NewPCG(seed, 0x636f73696d)) // "cosim"
	r := &round{seed: seed, ground: g, rng: rng}
	r.long = time.Duration(1500+rng.IntN(1500)) * time.Millisecond
	if patient := rng.IntN(3) == 0; patient && long() {
		r.long *= 4 // what dies by its timers takes its time
	}
	r.rules = randomRules(rng)
	for i := range r.hosts {
		r.hosts[i] = randomSettings(rng)
	}
	for i := range 20 + rng.IntN(30) {
		r.cast = append(r.cast, randomCouple(rng, i, r.long))
	}
	return r
}

// play lets the round happen and counts what was seen.
func (r *round) play(t *testing.T) *tally {
	t.Helper()
	w := newWorld(t, r)
	defer w.close()
	w.start()
	w.act()
	w.judge.finish()
	return &w.judge.tally
}
