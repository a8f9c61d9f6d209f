package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// faultKinds are the segments that random rules aim at; none means all.
var faultKinds = []string{
	"", "", "syn", "syn-ack", "handshake-ack", "data", "ack", "dup-ack", "fin", "first-fin", "second-fin",
	"ack-of-fin", "last-ack", "rst", "retransmission", "challenge-ack", "window-update", "window-probe", "keepalive",
	"keepalive-ack", "out-of-order", "stale", "icmp",
}

// randomRules writes a rule file. Crossing SYNs need help, so the first rule makes some.
func randomRules(r *rand.Rand) string {
	var text strings.Builder
	fmt.Fprintf(&text, "[[rule]]\nname = \"cross-syns\"\noptional = true\nmatch = { port = \"%d-%d\", segment = \"syn\" }\n",
		meetPort, meetPort+999)
	fmt.Fprintf(&text, "share = %.1f\naction = { hold = { until = \"peer-syn\", timeout = \"300ms\" } }\n", 0.8)
	for i := range 1 + r.IntN(12) {
		text.WriteString(randomRule(r, i))
	}
	return text.String()
}

// randomRule writes one that looks at segments or, more rarely, at moments.
func randomRule(r *rand.Rand, i int) string {
	var text strings.Builder
	fmt.Fprintf(&text, "\n[[rule]]\nname = \"fault-%d\"\noptional = true\nshare = %.2f\n", i+1, 0.3+0.7*r.Float64())
	if r.IntN(6) == 0 {
		m := anytime[r.IntN(len(anytime))]
		fmt.Fprintf(&text, "at = { %s }\ncount = %d\n", moments[r.IntN(len(moments))](r), 1+r.IntN(3))
		fmt.Fprintf(&text, "action = %s\n", m.write(r))
		return text.String()
	}
	makers := onSegments
	if r.IntN(4) == 0 {
		makers = anytime
	}
	m := makers[r.IntN(len(makers))]
	match := randomMatch(r)
	if match != "" {
		fmt.Fprintf(&text, "match = { %s }\n", match)
	}
	if match != "" && r.IntN(3) == 0 {
		fmt.Fprintf(&text, "count = %d\n", 1+r.IntN(5))
	} else {
		fmt.Fprintf(&text, "probability = %.3f\n", m.chance*r.Float64())
	}
	fmt.Fprintf(&text, "action = %s\n", m.write(r))
	return text.String()
}

// neverFrom is who sends no such segment; a rule that asked for one would be refused.
var neverFrom = map[string]string{"handshake-ack": "server", "first-fin": "passive-closer", "second-fin": "active-closer"}

// randomMatch says which segments are meant; all of them if it is empty.
func randomMatch(r *rand.Rand) string {
	var keys []string
	kind := faultKinds[r.IntN(len(faultKinds))]
	if kind != "" {
		keys = append(keys, fmt.Sprintf("segment = %q", kind))
	}
	if from := pick(r, "client", "server", "active-closer", "passive-closer"); r.IntN(3) == 0 && from != neverFrom[kind] {
		keys = append(keys, fmt.Sprintf("from = %q", from))
	}
	if r.IntN(8) == 0 {
		keys = append(keys, fmt.Sprintf("%s = %q", pick(r, "tag", "not_tag"), randomTag(r)))
	}
	return strings.Join(keys, ", ")
}
