package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/script"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

// The reference is printed from the tables that files are read with, so that
// it cannot say anything else. docs/reference.md is the same text.

// A topic is a page of the reference: tcpmangle help rules.
type topic struct {
	name, short string
	write       func(io.Writer)
}

var topics = []topic{
	{"rules", "The keys of a rule", writeRuleKeys},
	{"lab", "The tables of a lab file", writeLabKeys},
	{"scripts", "The language of a lab's scripts", writeScripts},
	{"kinds", "The kinds of segments, and the states of endpoints", writeKinds},
	{"actions", "The actions and their parameters", writeActions},
}

// findTopic is the topic of that name, or nil.
func findTopic(name string) *topic {
	for i := range topics {
		if topics[i].name == name {
			return &topics[i]
		}
	}
	return nil
}

// findAction is a topic about one action alone, or nil.
func findAction(name string) *topic {
	for _, f := range rules.Faults() {
		if f.Name == name {
			return &topic{f.Name, f.Doc, func(w io.Writer) { writeAction(w, f) }}
		}
	}
	return nil
}

// writeReference writes all topics, as docs/reference.md has them.
func writeReference(w io.Writer) {
	fmt.Fprint(w, "# Reference\n\nWhat `tcpmangle help rules`, `lab`, `scripts`, `kinds` and `actions` print. A test keeps this page true.\n")
	for _, t := range topics {
		fmt.Fprintf(w, "\n## %s\n\n```\n", t.short)
		t.write(w)
		fmt.Fprint(w, "```\n")
	}
}

func writeRuleKeys(w io.Writer) {
	fmt.Fprint(w, "A rule is a [[rule]] table. All keys of match must hold; a list means any of.\n\n")
	for _, part := range []struct {
		title string
		keys  []rules.KeyDoc
	}{
		{"the rule", rules.RuleKeys()},
		{"match: which segments of which connections", rules.MatchKeys()},
		{"at = { ... }: acting at a moment of a connection, with keys of match that ask for no segment", rules.AtKeys()},
		{"how often", rules.LimitKeys()},
		{`probability = { model = "gilbert-elliott", ... }`, rules.GilbertElliottKeys()},
	} {
		writeKeys(w, part.title, part.keys)
	}
}

func writeLabKeys(w io.Writer) {
	fmt.Fprint(w, "A lab file is a rule file with two hosts and expectations. The language of scripts is in tcpmangle help scripts.\n\n")
	for _, t := range lab.Tables() {
		name := "[" + t.Name + "]"
		if t.List {
			name = "[" + name + "]"
		}
		writeKeys(w, name+": "+t.Doc, t.Keys)
	}
	writeKeys(w, "link = { ... } in [lab]", lab.LinkKeys())
	writeKeys(w, "when = { ... } in [[step]]", lab.WhenKeys())
}

// writeKeys writes the keys of a table under a title.
func writeKeys(w io.Writer, title string, keys []rules.KeyDoc) {
	fmt.Fprintf(w, "%s\n", title)
	for _, k := range keys {
		entry(w, k.Name, typeOf(k.Type, k.Values, k.Default, ""), k.Doc)
	}
	fmt.Fprintln(w)
}

func writeScripts(w io.Writer) {
	fmt.Fprint(w, "One command a line; # at the start of a line or after a blank begins a comment.\n\n")
	writeUsages(w, "commands", script.Commands())
	writeUsages(w, "options of set", script.Options())
	fmt.Fprint(w, `A number of bytes may have a unit, as in 64KiB. Quoted text knows \n \r \t \0 \\ \" and \xHH.

send, recv, recv-text and shutdown mean the latest connection that is not closed, accept the
latest listener, close, abort and set the latest socket of any kind. What a script leaves open
stays open when it ends.

A command fails with the name of the errno, as in ECONNRESET; EOF for a stream that ended too
early; MISMATCH for other bytes than expected; UNRESOLVED for a host nobody knows. A failure that
neither expect-error nor an expectation of the file names ends the script, and the lab fails.
`)
}

// writeUsages writes a part of the language under a title.
func writeUsages(w io.Writer, title string, docs []script.Doc) {
	fmt.Fprintf(w, "%s\n", title)
	for _, d := range docs {
		fmt.Fprintf(w, "  %-39s %s\n", d.Usage, d.Doc)
	}
	fmt.Fprintln(w)
}

// kindDocs says what each kind is, in the order of conntrack.KindNames.
var kindDocs = []string{
	"SYN without ACK",
	"SYN with ACK",
	"an ACK from the client that carries nothing and completes the handshake, again ones included",
	"carries payload",
	"carries nothing but an ACK",
	"acknowledges nothing new, same window",
	"acknowledges nothing new, other window",
	"carries FIN",
	"the FIN of the endpoint that closed first",
	"the FIN of the endpoint that closed second",
	"its acknowledgment covers the peer's FIN, also with data or a FIN of its own",
	"an ack-of-fin that covers the second FIN; in a simultaneous close one from each side",
	"carries RST",
	"a probe with the number before the next one (RFC 9293, section 3.8.4)",
	"the answer to such a probe",
	"sent into a closed window",
	"covers sequence space that this endpoint has sent before",
	"leaves a hole before it",
	"answers an unacceptable segment (RFC 5961)",
	"belongs to an earlier incarnation of the 4-tuple",
	"an ICMP error about the connection",
}

func writeKinds(w io.Writer) {
	fmt.Fprint(w, "segment kinds (retransmissions included in each)\n")
	for i, name := range conntrack.KindNames() {
		entry(w, name, "", kindDocs[i])
	}
	fmt.Fprint(w, "\n\"a+b\" is both, \"a+!b\" the first but not the second, \"!a\" in a list excludes.\n")
	fmt.Fprintf(w, "\nstates\n  %s\n", strings.Join(conntrack.StateNames(), ", "))
	fmt.Fprint(w, "  in any case, with - for _, and as ss and netstat write them\n")
}

func writeActions(w io.Writer) {
	fmt.Fprintf(w, "%s end a segment's walk through the rules.\n", actionNames(func(f rules.FaultDoc) bool { return f.Terminal }))
	fmt.Fprintf(w, "A rule with at may have %s.\n\n", actionNames(func(f rules.FaultDoc) bool { return f.Anytime }))
	for _, f := range rules.Faults() {
		writeAction(w, f)
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "* may stand alone: { delay = \"50ms\" } is { delay = { by = \"50ms\" } }.\n")
}

func writeAction(w io.Writer, f rules.FaultDoc) {
	fmt.Fprintf(w, "%s\n  %s\n", f.Name, f.Doc)
	for _, p := range f.Params {
		name := p.Name
		if p.Primary {
			name += "*"
		}
		value := p.Default
		if p.Required {
			value = "required"
		}
		entry(w, "  "+name, typeOf(p.Type, p.Values, value, bounds(p)), p.Doc)
	}
}

// actionNames lists the actions of a sort: "a, b and c".
func actionNames(is func(rules.FaultDoc) bool) string {
	var names []string
	for _, f := range rules.Faults() {
		if is(f) {
			names = append(names, f.Name)
		}
	}
	last := len(names) - 1
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// entry is one line, or two where the name is long.
func entry(w io.Writer, name, note, doc string) {
	if note != "" {
		doc += " (" + note + ")"
	}
	fmt.Fprintf(w, "  %-17s %s\n", name, doc)
}

// maxListed is how many words are spelt out; longer lists have a page.
const maxListed = 8

// typeOf says in brackets what may be written, and what holds by default.
func typeOf(typ string, values []string, def, bounds string) string {
	switch {
	case len(values) > maxListed:
		typ = "see help kinds"
	case len(values) > 0:
		typ = strings.Join(values, ", ")
	}
	switch {
	case def == "required":
		typ += "; required"
	case def != "":
		typ += "; default " + def
	}
	return typ + bounds
}

func bounds(p rules.ParamDoc) string {
	switch {
	case p.Min != "" && p.Max != "":
		return fmt.Sprintf("; %s to %s", p.Min, p.Max)
	case p.Min != "":
		return "; at least " + p.Min
	case p.Max != "":
		return "; at most " + p.Max
	}
	return ""
}
