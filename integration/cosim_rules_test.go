package integration

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// faultKinds are the segments that random rules aim at; none means all.
var faultKinds = []string{
	"", "", "syn", "syn-ack", "handshake-ack", "data", "ack", "dup-ack", "fin", "first-fin", "second-fin",
	"ack-of-fin", "last-ack", "rst", "retransmission", "challenge-ack", "window-update",
}

// A faultMaker writes an action, and says how often it should fire: a drop of half of
// all segments is interesting, a reset on each is not.
type faultMaker struct {
	chance float64
	write  func(r *rand.Rand) string
}

var faultMakers = []faultMaker{
	{0.4, func(*rand.Rand) string { return `"drop"` }},
	{0.4, func(*rand.Rand) string { return `"drop"` }},
	{0.9, func(*rand.Rand) string { return `"drop"` }},
	{0.5, func(r *rand.Rand) string {
		return fmt.Sprintf(`{ delay = { by = "%dms", jitter = "%dms", keep_order = %v } }`, r.IntN(150), r.IntN(150), r.IntN(2) == 0)
	}},
	{0.5, func(r *rand.Rand) string {
		return fmt.Sprintf(`{ duplicate = { copies = %d, after = "%dms" } }`, 1+r.IntN(2), r.IntN(1<<(1+r.IntN(11))))
	}},
	{0.7, func(r *rand.Rand) string {
		until := []string{"peer-fin", "peer-syn", "peer-data", "next"}[r.IntN(4)]
		end := []string{"release", "drop"}[r.IntN(2)]
		return fmt.Sprintf(`{ hold = { until = "%s", timeout = "%dms", on_timeout = "%s", behind = %v } }`,
			until, 50+r.IntN(900), end, r.IntN(4) == 0)
	}},
	{0.8, func(r *rand.Rand) string {
		return fmt.Sprintf(`{ hold = { timeout = "%dms", behind = %v } }`, 20+r.IntN(900), r.IntN(3) == 0)
	}},
	{0.15, func(r *rand.Rand) string {
		to := []string{"client", "server", "both"}[r.IntN(3)]
		seq := []string{"exact", "in-window", "in-window", "out-of-window"}[r.IntN(4)]
		return fmt.Sprintf(`{ reset = { to = "%s", seq = "%s", hide = %v } }`, to, seq, r.IntN(4) == 0)
	}},
	{0.02, func(r *rand.Rand) string {
		from := []string{"client", "server", "both"}[r.IntN(3)]
		return fmt.Sprintf(`{ blackhole = { from = "%s", for = "%dms" } }`, from, 50+r.IntN(3000))
	}},
	{0.3, func(r *rand.Rand) string { return fmt.Sprintf(`{ record = "tape-%d" }`, r.IntN(3)) }},
	{0.2, func(r *rand.Rand) string {
		return fmt.Sprintf(`{ replay = { name = "tape-%d", after = "%dms", times = %d, into_window = %v } }`,
			r.IntN(3), r.IntN(500), 1+r.IntN(3), r.IntN(3) == 0)
	}},
	{0.5, func(r *rand.Rand) string {
		return fmt.Sprintf(`{ reorder = { behind = %d, timeout = "%dms" } }`, 1+r.IntN(4), 1+r.IntN(400))
	}},
	{0.02, func(r *rand.Rand) string {
		then := []string{"drop", "rst", "rst-both"}[r.IntN(3)]
		notify := []string{"none", "rst-client", "rst-server", "rst-both"}[r.IntN(4)]
		return fmt.Sprintf(`{ forget = { then = "%s", notify = "%s" } }`, then, notify)
	}},
	{0.5, func(r *rand.Rand) string {
		names := wire.ICMPKindNames()
		to := []string{"sender", "client", "server", "both"}[r.IntN(4)]
		return fmt.Sprintf(`{ icmp = { kind = "%s", to = "%s" } }`, names[r.IntN(len(names))], to)
	}},
	{0.5, func(r *rand.Rand) string { return fmt.Sprintf(`{ rewrite = { %s } }`, randomEdit(r)) }},
	{0.5, func(r *rand.Rand) string { return fmt.Sprintf(`{ rewrite = { %s } }`, randomEdit(r)) }},
	{0.9, func(r *rand.Rand) string { return fmt.Sprintf(`{ split = %d }`, 1+r.IntN(1000)) }},
	{0.4, func(r *rand.Rand) string {
		where := []string{"payload", "header"}[r.IntN(2)]
		return fmt.Sprintf(`{ corrupt = { bytes = %d, where = "%s", checksum = "keep" } }`, 1+r.IntN(5), where)
	}},
	{1, func(r *rand.Rand) string {
		with := strings.Repeat("with", r.IntN(4))
		return fmt.Sprintf(`{ replace = { find = "%c", with = "%s" } }`, 'a'+r.IntN(26), with)
	}},
	{0.1, func(r *rand.Rand) string {
		return fmt.Sprintf(`{ fin = "%s" }`, []string{"client", "server", "both"}[r.IntN(3)])
	}},
	{0.2, randomInjection},
}

// randomEdit writes an edit of the header.
func randomEdit(r *rand.Rand) string {
	flags := []string{"F", "P", "R", "FP", "E", "S"}
	switch r.IntN(9) {
	case 0:
		return fmt.Sprintf("window = %d", r.IntN(1<<r.IntN(17)))
	case 1:
		return fmt.Sprintf("ttl = %d", 1+r.IntN(255))
	case 2:
		return fmt.Sprintf("mss = %d", 100+r.IntN(1400))
	case 3:
		options := []string{"timestamps", "sack-permitted", "sack", "wscale", "mss"}
		return fmt.Sprintf("strip = [%q]", options[r.IntN(len(options))])
	case 4:
		return fmt.Sprintf("clear = %q", flags[r.IntN(len(flags))])
	case 5:
		return fmt.Sprintf("set = %q", flags[r.IntN(3)])
	case 6:
		return fmt.Sprintf("truncate = %d", r.IntN(1000))
	case 7:
		return fmt.Sprintf("shift_timestamp = %d", r.Int32()-1<<30)
	}
	return fmt.Sprintf("shift_seq = %d", r.Int32()-1<<30)
}

func randomInjection(r *rand.Rand) string {
	to := []string{"client", "server", "both"}[r.IntN(3)]
	flags := []string{"A", "PA", "FA", "FPA", "SA", "S", "R", "RA"}[r.IntN(8)]
	offset := func() int { return []int{0, 0, 0, 1, -1, 10, -10, 1 << 20}[r.IntN(8)] }
	data := strings.Repeat("data", r.IntN(3))
	return fmt.Sprintf(`{ inject = { to = "%s", flags = "%s", seq = %d, ack = %d, data = "%s", after = "%dms" } }`,
		to, flags, offset(), offset(), data, r.IntN(50))
}

// randomRules writes a rule file. Crossing SYNs need help, so the first rule makes some.
func randomRules(r *rand.Rand) string {
	var text strings.Builder
	fmt.Fprintf(&text, "[[rule]]\nname = \"cross-syns\"\noptional = true\nmatch = { port = \"%d-%d\", segment = \"syn\" }\n",
		meetPort, meetPort+999)
	fmt.Fprintf(&text, "share = %.1f\naction = { hold = { until = \"peer-syn\", timeout = \"300ms\" } }\n", 0.8)
	for i := range 1 + r.IntN(6) {
		text.WriteString(randomRule(r, i))
	}
	return text.String()
}

func randomRule(r *rand.Rand, i int) string {
	var text strings.Builder
	m := faultMakers[r.IntN(len(faultMakers))]
	fmt.Fprintf(&text, "\n[[rule]]\nname = \"fault-%d\"\noptional = true\n", i+1)
	var match []string
	if kind := faultKinds[r.IntN(len(faultKinds))]; kind != "" {
		match = append(match, fmt.Sprintf("segment = %q", kind))
	}
	if r.IntN(3) == 0 {
		match = append(match, fmt.Sprintf("from = %q", []string{"client", "server", "active-closer", "passive-closer"}[r.IntN(4)]))
	}
	if len(match) > 0 {
		fmt.Fprintf(&text, "match = { %s }\n", strings.Join(match, ", "))
	}
	fmt.Fprintf(&text, "share = %.2f\n", 0.3+0.7*r.Float64())
	switch {
	case match != nil && r.IntN(3) == 0:
		fmt.Fprintf(&text, "count = %d\n", 1+r.IntN(5))
	default:
		fmt.Fprintf(&text, "probability = %.3f\n", m.chance*r.Float64())
	}
	fmt.Fprintf(&text, "action = %s\n", m.write(r))
	return text.String()
}
