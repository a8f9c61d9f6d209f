package toxiproxy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/tcpmangle/tcpmangle/rules"
)

// A draft is a rule in the making: what the toxic knows of it.
type draft struct {
	step   step
	either bool   // both directions, not only the toxic's
	match  string // keys of match
	limit  string // a key of the rule
	action string
	late   latency // the action, of delaying and closing

	toxic *toxic
}

// A step is a place in the walk of a segment through the rules of its proxy: all toxics
// act, though some actions end the walk. What loses a segment comes first; what
// shapes lets it go on; what delays it comes last.
type step int

const (
	losing step = iota
	shaping
	closing
	delaying
)

// compile makes the rules of all proxies.
func (s *Server) compile() (*rules.Set, error) {
	w := writer{names: make(map[string]bool)}
	for _, p := range s.sorted() {
		switch {
		case p.open && p.Enabled:
			w.toxics(p)
		case p.open:
			w.rule(p.Name+".disabled", p.way.Server, draft{
				either: true, match: `segment = "syn"`, action: `[{ reset = "client" }, "drop"]`,
			}, 1)
		}
	}
	return rules.Parse(Layer, w.text.String())
}

// A writer writes rules as a file has them.
type writer struct {
	text  strings.Builder
	names map[string]bool
}

// toxics writes the rules of an enabled proxy.
func (w *writer) toxics(p *proxy) {
	var all []draft
	for _, t := range p.Toxics {
		if t.Toxicity == 0 {
			continue
		}
		for _, d := range t.Attributes.drafts(t) {
			d.toxic = t
			all = append(all, d)
		}
	}
	slices.SortStableFunc(all, func(a, b draft) int { return int(a.step - b.step) })
	for _, d := range addUp(all) {
		w.rule(p.Name+"."+d.toxic.Name, p.way.Server, d, d.toxic.Toxicity)
	}
}

// addUp adds delays, since the first that acts on a segment is the only one. Latencies for all
// connections are added to each other, and to every other delay of their direction; of those
// for a share of the connections the one that was made first counts.
func addUp(all []draft) (out []draft) {
	var always [2]latency
	var first [2]*draft
	for i := range all {
		d := &all[i]
		if side := sideOf(d.toxic); d.step == delaying && d.toxic.Toxicity == 1 {
			always[side].Latency += d.late.Latency
			always[side].Jitter += d.late.Jitter
			if first[side] == nil {
				first[side] = d
			}
		}
	}
	for _, d := range all {
		if d.step < closing {
			out = append(out, d)
			continue
		}
		if d.step == delaying && d.toxic.Toxicity == 1 {
			continue // it is part of the sum, which comes last
		}
		sum := always[sideOf(d.toxic)]
		d.action = delay(latency{d.late.Latency + sum.Latency, d.late.Jitter + sum.Jitter})
		out = append(out, d)
	}
	for side, d := range first {
		if d != nil {
			d.action = delay(always[side])
			out = append(out, *d)
		}
	}
	return out
}

// sideOf numbers the directions.
func sideOf(t *toxic) int {
	if t.upstream() {
		return 0
	}
	return 1
}

func delay(l latency) string {
	return fmt.Sprintf(`{ delay = { by = %q, jitter = %q } }`, millis(l.Latency), millis(l.Jitter))
}

// rule writes one rule.
func (w *writer) rule(name string, server netip.AddrPort, d draft, share float32) {
	match := []string{fmt.Sprintf("server = %q", server)}
	if !d.either {
		match = append(match, fmt.Sprintf("from = %q", d.toxic.from()))
	}
	if d.match != "" {
		match = append(match, d.match)
	}
	key := "action"
	if strings.HasPrefix(d.action, "[") {
		key = "actions"
	}
	fmt.Fprintf(&w.text, "[[rule]]\nname = %q\noptional = true\nshare = %v\nmatch = { %s }\n%s = %s\n%s\n",
		w.name(name), share, strings.Join(match, ", "), key, d.action, d.limit)
}

// name makes a name of a rule, another one each time.
func (w *writer) name(text string) string {
	name := strings.Map(func(r rune) rune {
		if r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '_' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, text)
	unique := name
	for i := 2; w.names[unique]; i++ {
		unique = fmt.Sprintf("%s.%d", name, i)
	}
	w.names[unique] = true
	return unique
}
