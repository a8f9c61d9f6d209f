package integration

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A faultMaker writes the parameters of an action, and says how often it should fire: a
// drop of half of all segments is interesting, a reset on each is not.
type faultMaker struct {
	action string
	chance float64
	params func(r *rand.Rand) string
}

// write is the action with its parameters, as a rule file has it.
func (m *faultMaker) write(r *rand.Rand) string {
	if m.params == nil {
		return fmt.Sprintf("%q", m.action)
	}
	return fmt.Sprintf("{ %s = { %s } }", m.action, m.params(r))
}

// onSegments are the actions of rules that look at segments; some are drawn more often.
var onSegments = []faultMaker{
	{"pass", 0.4, nil},
	{"drop", 0.4, nil},
	{"drop", 0.4, nil},
	{"drop", 0.9, nil},
	{"delay", 0.5, randomDelay},
	{"delay", 0.5, randomDelay},
	{"duplicate", 0.5, func(r *rand.Rand) string {
		return fmt.Sprintf(`copies = %d, after = "%dms"`, 1+r.IntN(2), r.IntN(1<<(1+r.IntN(11))))
	}},
	{"hold", 0.7, randomHold},
	{"hold", 0.7, randomHold},
	{"hold", 0.8, func(r *rand.Rand) string {
		return fmt.Sprintf(`timeout = "%dms", behind = %v`, 20+r.IntN(900), r.IntN(3) == 0)
	}},
	{"reorder", 0.5, func(r *rand.Rand) string {
		return fmt.Sprintf(`behind = %d, timeout = "%dms"`, 1+r.IntN(4), 1+r.IntN(400))
	}},
	{"rate", 1, func(r *rand.Rand) string {
		return fmt.Sprintf(`limit = "%dkbit", burst = %d, queue = %d, shared = %v`,
			20<<r.IntN(10), 100<<r.IntN(9), 200<<r.IntN(11), r.IntN(4) == 0)
	}},
	{"record", 0.6, func(r *rand.Rand) string { return fmt.Sprintf(`as = "tape-%d"`, r.IntN(3)) }},
	{"replay", 0.5, func(r *rand.Rand) string {
		return fmt.Sprintf(`name = "tape-%d", after = "%dms", times = %d, into_window = %v`,
			r.IntN(3), r.IntN(500), 1+r.IntN(3), r.IntN(3) == 0)
	}},
	{"icmp", 0.5, func(r *rand.Rand) string {
		kind := pick(r, wire.ICMPKindNames()...)
		params := fmt.Sprintf(`kind = "%s", to = "%s"`, kind, pick(r, "sender", "client", "server", "both"))
		if kind == "frag-needed" && r.IntN(2) == 0 {
			params += fmt.Sprintf(", mtu = %d", 68+r.IntN(1400))
		}
		return params
	}},
	{"rewrite", 0.5, randomEdits},
	{"rewrite", 0.5, randomEdits},
	{"split", 0.9, func(r *rand.Rand) string {
		return fmt.Sprintf(`size = %d, apart = "%dus"`, 1+r.IntN(1000), max(0, r.IntN(100)-50))
	}},
	{"corrupt", 0.4, func(r *rand.Rand) string {
		return fmt.Sprintf(`bytes = %d, where = "%s", checksum = "%s"`, 1+r.IntN(3), pick(r, "payload", "header"), pick(r, "fix", "keep"))
	}},
	{"replace", 1, func(r *rand.Rand) string {
		return fmt.Sprintf(`find = "%c%c", with = "%s"`, randomLetter(r), randomLetter(r), strings.Repeat("w", r.IntN(6)))
	}},
}

// anytime are the actions that need no segment.
var anytime = []faultMaker{
	{"reset", 0.2, func(r *rand.Rand) string {
		return fmt.Sprintf(`to = "%s", seq = "%s", hide = %v`,
			randomSide(r), pick(r, "exact", "in-window", "in-window", "out-of-window"), r.IntN(4) == 0)
	}},
	{"fin", 0.2, func(r *rand.Rand) string { return fmt.Sprintf(`to = "%s"`, randomSide(r)) }},
	{"inject", 0.4, randomInjection},
	{"inject", 0.4, randomInjection},
	{"blackhole", 0.05, func(r *rand.Rand) string {
		return fmt.Sprintf(`from = "%s", for = "%dms", heal = "%s"`, randomSide(r), 50+r.IntN(3000), pick(r, "resume", "reset"))
	}},
	{"forget", 0.03, func(r *rand.Rand) string {
		return fmt.Sprintf(`then = "%s", notify = "%s"`,
			pick(r, "drop", "rst", "rst-both"), pick(r, "none", "rst-client", "rst-server", "rst-both"))
	}},
	{"tag", 0.3, func(r *rand.Rand) string { return fmt.Sprintf(`name = "%s"`, randomTag(r)) }},
	{"untag", 0.3, func(r *rand.Rand) string { return fmt.Sprintf(`name = "%s"`, randomTag(r)) }},
	{"release", 0.3, func(r *rand.Rand) string {
		return pick(r, "", fmt.Sprintf(`rule = "fault-%d"`, 1+r.IntN(6)), fmt.Sprintf(`tag = "%s"`, randomTag(r)))
	}},
}

func pick(r *rand.Rand, of ...string) string { return of[r.IntN(len(of))] }

func randomSide(r *rand.Rand) string { return pick(r, "client", "server", "both") }

func randomTag(r *rand.Rand) string { return pick(r, "red", "green") }

func randomLetter(r *rand.Rand) byte { return letters[r.IntN(len(letters))] }

func randomDelay(r *rand.Rand) string {
	return fmt.Sprintf(`by = "%dms", jitter = "%dms", distribution = "%s", keep_order = %v`,
		r.IntN(150), r.IntN(150), pick(r, "uniform", "normal", "pareto", "lognormal"), r.IntN(2) == 0)
}

func randomHold(r *rand.Rand) string {
	return fmt.Sprintf(`until = "%s", timeout = "%dms", on_timeout = "%s", behind = %v`,
		pick(r, "peer-fin", "peer-syn", "peer-data", "next", "release", "tag:"+randomTag(r)),
		50+r.IntN(900), pick(r, "release", "drop"), r.IntN(4) == 0)
}

// randomEdits writes one edit of the header or, more rarely, two.
func randomEdits(r *rand.Rand) string {
	first, second := r.IntN(len(edits)), flagEdits+r.IntN(len(edits)-flagEdits)
	text := edits[first](r)
	if second != first && r.IntN(3) == 0 {
		text += ", " + edits[second](r)
	}
	return text
}

// edits are those of rewrite; the first two, of flags, could exclude each other.
var edits = []func(r *rand.Rand) string{
	func(r *rand.Rand) string { return fmt.Sprintf("clear = %q", pick(r, "F", "P", "A", "FP", "C", "S")) },
	func(r *rand.Rand) string { return fmt.Sprintf("set = %q", pick(r, "F", "P", "R", "S", "U", "E")) },
	func(r *rand.Rand) string { return fmt.Sprintf("window = %d", r.IntN(1<<r.IntN(17))) },
	func(r *rand.Rand) string { return fmt.Sprintf("ttl = %d", 1+r.IntN(255)) },
	func(r *rand.Rand) string { return fmt.Sprintf("mss = %d", 100+r.IntN(1400)) },
	func(r *rand.Rand) string {
		return fmt.Sprintf("strip = [%q]", pick(r, "timestamps", "sack-permitted", "sack", "wscale", "mss"))
	},
	func(r *rand.Rand) string { return fmt.Sprintf("truncate = %d", r.IntN(1000)) },
	func(r *rand.Rand) string { return fmt.Sprintf("truncate_at = %d", r.IntN(1<<r.IntN(18))) },
	func(r *rand.Rand) string { return fmt.Sprintf("shift_seq = %d", randomShift(r)) },
	func(r *rand.Rand) string { return fmt.Sprintf("shift_timestamp = %d", randomShift(r)) },
}

const flagEdits = 2

// randomShift is anything but 0, each order of magnitude as likely.
func randomShift(r *rand.Rand) int32 { return (r.Int32()>>r.IntN(31) | 1) * int32(1-2*r.IntN(2)) }

func randomInjection(r *rand.Rand) string {
	text := fmt.Sprintf(`to = "%s", flags = "%s", seq = %d, ack = %d, after = "%dms"`, randomSide(r),
		pick(r, "A", "A", "PA", "FA", "FPA", "SA", "S", "R", "RA", "F", "SFA", "UA"), randomOffset(r), randomOffset(r), r.IntN(50))
	if r.IntN(2) == 0 {
		text += fmt.Sprintf(`, data = "%s"`, strings.Repeat("data", 1+r.IntN(3)))
	}
	if r.IntN(3) == 0 {
		text += fmt.Sprintf(`, window = %d`, r.IntN(1<<r.IntN(17)))
	}
	if r.IntN(2) == 0 {
		text += fmt.Sprintf(`, options = [%q]`, pick(r, "timestamps", "timestamps", "mss=536", "wscale=3", "sack-permitted", "nop"))
	}
	return text
}

func randomOffset(r *rand.Rand) int {
	return []int{0, 0, 0, 1, -1, 10, -10, 1000, -1000, 1 << 20}[r.IntN(10)]
}

// moments are those at which a rule acts without a segment.
var moments = []func(r *rand.Rand) string{
	func(r *rand.Rand) string { return fmt.Sprintf(`idle = "%dms"`, 20+r.IntN(800)) },
	func(r *rand.Rand) string { return fmt.Sprintf(`age = "%dms"`, 1+r.IntN(1<<(1+r.IntN(11)))) },
	func(r *rand.Rand) string {
		return fmt.Sprintf(`state = "%s", of = "%s", for = "%dms"`,
			pick(r, conntrack.StateNames()...), pick(r, "client", "server", "any"), r.IntN(1<<r.IntN(10)))
	},
}

// TestCosimDrawsAll: no action, and no parameter of one, is left out, and all rules are good.
func TestCosimDrawsAll(t *testing.T) {
	drawn := make(map[string]string)
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		for _, m := range slices.Concat(onSegments, anytime) {
			drawn[m.action] += m.write(r) + "\n"
		}
	}
	for _, f := range rules.Faults() {
		if drawn[f.Name] == "" {
			t.Errorf("%s is never drawn", f.Name)
		}
		for _, p := range f.Params {
			if !strings.Contains(drawn[f.Name], p.Name+" = ") {
				t.Errorf("%s.%s is never drawn", f.Name, p.Name)
			}
		}
	}
	for range 500 {
		if _, err := rules.Parse("cosim.toml", randomRules(r)); err != nil {
			t.Error(err)
		}
	}
}
