package integration

import (
	"flag"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

var (
	puppetSeed  = flag.Uint64("puppet.seed", 1, "seed of the first life; each further one counts it up")
	puppetLives = flag.Int("puppet.lives", 150, "how many lives, with each IP version")
	puppetSteps = flag.Int("puppet.steps", 12, "how many steps a life has at most, after its opening")
)

// sysctls of the host: it answers each segment that asks for an answer.
var talkative = hostSettings{"tcp_no_metrics_save": "1", "tcp_invalid_ratelimit": "0"}

// TestPuppet plays random segments to sockets in random states, and wants the model to
// know what the kernel makes of each. Its message is the script that does it again.
func TestPuppet(t *testing.T) {
	for _, ip := range []int{4, 6} {
		p := newPuppet(t, ip, talkative)
		seed := *puppetSeed
		for range *puppetLives {
			play := func() bool {
				l := &puppetLife{puppet: p, r: rand.New(rand.NewPCG(seed, uint64(ip)))}
				return l.play()
			}
			if !p.agrees(play) {
				t.Errorf("IPv%d, -puppet.seed=%d: %v", ip, seed, p)
			}
			seed++
		}
	}
}

// A puppetLife draws the steps of one life.
type puppetLife struct {
	*puppet
	r *rand.Rand
}

// play tells whether both agreed in all that the wire can tell of.
func (l *puppetLife) play() bool {
	for _, step := range l.opening() {
		if !l.run(step) {
			return l.excused()
		}
	}
	for range 1 + l.r.IntN(*puppetSteps) {
		if step := l.draw(); !l.run(step) {
			return l.excused()
		}
		if l.cannotTell() {
			break
		}
	}
	return true
}

// cannotTell: FIN_WAIT_2 without a process is no socket any more, and judges otherwise
// (tcp_timewait_state_process); shutdown looks the same on the wire.
func (l *puppetLife) cannotTell() bool { return l.closed && l.model() == conntrack.FinWait2 }

// excused tells whether no segment can have told of the difference.
func (l *puppetLife) excused() bool {
	kernel, model := l.state(), l.model()
	last := strings.Fields(l.steps[len(l.steps)-1])
	switch {
	case l.shut && kernel == conntrack.Closed && model == conntrack.SynSent:
		return true // closed in silence
	case last[0] == "app" && last[1] == "abort" && kernel == conntrack.Closed && (model == conntrack.LastAck || model == conntrack.Closing):
		return true
	case l.shut && l.keepsFin(kernel, model):
		return true
	case l.kernel.Port() != servePort && model == conntrack.TimeWait && kernel == model:
		return true // it would have taken the SYN, but nobody listens
	}
	return false
}

// keepsFin: the process has closed, and its FIN waits for an answer or for room. It
// leaves, if at all, with the answer.
func (l *puppetLife) keepsFin(kernel, model conntrack.State) bool {
	opening := kernel == conntrack.FinWait1 && model == conntrack.SynRcvd
	late := slices.ContainsFunc(l.wrong, func(w string) bool { return strings.Contains(w, "evidence") }) && kernel == model
	return withoutFin[kernel] == model || opening || late && l.opensClosed()
}

// opensClosed tells whether the process had closed before the connection was open.
func (l *puppetLife) opensClosed() bool {
	shut := slices.IndexFunc(l.did, func(line string) bool { return line == "app shutdown" || line == "app close" })
	open := slices.IndexFunc(l.did, func(line string) bool { return strings.Contains(line, "> ESTABLISHED") })
	return 0 <= shut && shut < open
}

// opening is how the connection begins, and how far.
func (l *puppetLife) opening() (steps []string) {
	offers := []string{"timestamps", "wscale", "sack"}
	l.r.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
	steps = append(steps, "offer "+strings.Join(offers[:l.r.IntN(4)], " "))
	switch l.r.IntN(5) {
	case 0:
		steps = append(steps, "app connect", "say SA honest", "say A honest")
	case 1:
		steps = append(steps, "app connect", "say S honest", "say A honest")
	default:
		steps = append(steps, "say S honest", "say A honest")
	}
	if l.r.IntN(6) == 0 {
		steps = steps[:len(steps)-1]
	}
	return steps
}

// draw is a step that fits in where the life stands.
func (l *puppetLife) draw() string {
	if l.fd < 0 || l.closed || l.r.IntN(12) > 4 {
		return l.drawSegment()
	}
	return pick(l.r, "app send 1", "app send 100", "app send 3000", "app recv", "app recv", "app recv",
		"app shutdown", "app shutdown", "app close", "app close", "app abort")
}

// drawSegment leaves out what the wire cannot tell the verdict on: data across the edge
// of the window is taken by a socket that has nothing to read; in order, with an old
// acknowledgment and just the window of the segment before, so is what
// tcp_rcv_established does not look at twice.
func (l *puppetLife) drawSegment() string {
	words := []string{"say", pick(l.r, "A", "A", "A", "PA", "FA", "FA", "FA", "R", "RA", "S", "SA", "-", "F", "SF", "SR", "AU", "AE", "AC", "SEC")}
	add := func(chance int, word string, values ...string) (drawn string) {
		if l.r.IntN(chance) == 0 {
			drawn = pick(l.r, values...)
			words = append(words, word, drawn)
		}
		return drawn
	}
	at := add(2, "seq", "-1", "+1", "-2", "+2", "-10", "+10", "+100", "-1000", "edge", "edge-1", "highest", "isn", "+200000", "-200000", "+1048576", "-1048576")
	ack := add(2, "ack", "-1", "+1", "-2", "-10", "+10", "+1000", "-1000", "-200000", "+1048576", "-1048576", "una", "una+1", "una-1", "iss", "iss+1")
	if at != "highest" && !strings.HasPrefix(at, "edge") {
		add(2, "len", "1", "2", "10", "100", "1000", "1400", "9000")
	}
	if win := add(8, "win", "0", "1", "100", "64000"); win == "" && ack != "" {
		words = append(words, "win", "63999")
	}
	if slices.Contains(l.offers, "timestamps") {
		add(3, "ts", "+1", "+1", "-1", "-2", "-3", "-1000", "+1000", "none")
		add(10, "ecr", "zero", "+1", "-1", "-1000000")
	}
	if words[1] != "SA" && l.r.IntN(2) == 0 {
		words = append(words, "honest")
	}
	return strings.Join(words, " ")
}
