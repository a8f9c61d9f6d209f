package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"time"
)

// The ports of the hosts. Where couples meet, nobody listens: both connect.
const (
	servePort  = 8080
	closedPort = 9
	meetPort   = 7000
	clientPort = 40000
)

// A couple is two endpoints on one 4-tuple, and the lives they have there one after
// the other. Ports and acts are by host.
type couple struct {
	name   string
	opener int // the host that connects; in a crossing both do
	cross  bool
	ports  [2]uint16
	lives  []life
}

// String is the couple with the socket options of its lives, by host.
func (c *couple) String() string {
	var text strings.Builder
	text.WriteString(c.name)
	for _, l := range c.lives {
		fmt.Fprintf(&text, " %v %v", l.acts[0].options, l.acts[1].options)
	}
	return text.String()
}

// A life is one incarnation.
type life struct {
	rest time.Duration // before it
	acts [2]act
}

// An act is what one endpoint does, from the moment it is connecting or accepted.
type act struct {
	late    time.Duration // before it connects
	reads   bool          // whenever it waits, it reads what has come
	options []option
	deeds   []deed
	end     ending
}

// A deed is one step of an act, after a pause.
type deed struct {
	pause time.Duration
	do    verb
	bytes int
}

type verb uint8

const (
	doSend verb = iota
	doRecv
	doShutdown
)

type ending uint8

const (
	endClose ending = iota
	endAbort        // SO_LINGER 0, which resets
	endStay         // closes when the round ends
)

func (d deed) String() string {
	return fmt.Sprintf("%s %d", [...]string{"send", "recv", "shutdown"}[d.do], d.bytes)
}

func (e ending) String() string { return [...]string{"close", "abort", "stay"}[e] }

// randomCouple draws who meets whom, how, and what they do then.
func randomCouple(r *rand.Rand, i int, long time.Duration) *couple {
	c := &couple{name: fmt.Sprintf("couple %d", i), opener: r.IntN(2)}
	c.ports[c.opener], c.ports[1-c.opener] = uint16(clientPort+i), servePort
	switch n := r.IntN(20); {
	case n == 0:
		c.ports[1-c.opener] = closedPort
	case n < 6:
		c.cross = true
		c.ports = [2]uint16{uint16(meetPort + i), uint16(meetPort + i)}
	}
	begin := time.Duration(r.Int64N(int64(long / 3)))
	for range 1 + r.IntN(3) {
		l := life{rest: begin}
		begin = time.Duration(r.IntN(60)) * time.Millisecond
		for h := range l.acts {
			l.acts[h] = randomAct(r)
		}
		c.lives = append(c.lives, l)
	}
	return c
}

func randomAct(r *rand.Rand) act {
	a := act{reads: r.IntN(4) > 0, options: randomOptions(r)}
	if r.IntN(2) == 0 {
		a.late = time.Duration(r.IntN(8)) * time.Millisecond
	}
	for range r.IntN(7) {
		a.deeds = append(a.deeds, randomDeed(r))
	}
	switch n := r.IntN(20); {
	case n < 3:
		a.end = endAbort
	case n < 6:
		a.end = endStay
	}
	a.deeds = append(a.deeds, deed{pause: randomPause(r), do: doRecv, bytes: r.IntN(2) * 1000})
	return a
}

func randomDeed(r *rand.Rand) deed {
	d := deed{pause: randomPause(r)}
	switch n := r.IntN(10); {
	case n < 6:
		d.do, d.bytes = doSend, randomSize(r)
	case n < 9:
		d.do, d.bytes = doRecv, randomSize(r)
	default:
		d.do = doShutdown
	}
	return d
}

// randomSize is 1 byte to 200 KiB, each order of magnitude as likely.
func randomSize(r *rand.Rand) int { return 1 + r.IntN(1<<(1+r.IntN(18)))*200/256 }

// randomPause is often none, so that segments merge and cross, and sometimes long
// enough for every timer.
func randomPause(r *rand.Rand) time.Duration {
	switch n := r.IntN(10); {
	case n < 4:
		return 0
	case n < 8:
		return time.Duration(r.IntN(20)) * time.Millisecond
	}
	return time.Duration(r.IntN(500)) * time.Millisecond
}
