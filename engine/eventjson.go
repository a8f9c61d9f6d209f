package engine

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"time"
)

// AppendJSON appends the event as one line of the events file, with its
// newline. The keys of each type are stable, and their order too.
func (e *Event) AppendJSON(dst []byte) []byte {
	j := line{append(dst, `{"t":`...)}
	j.b = appendSeconds(j.b, e.Time)
	j.text("type", string(e.Type))
	if e.Conn != 0 {
		j.uint("conn", e.Conn)
		j.uint("incarnation", uint64(e.Incarnation))
		j.addr("client", e.Client)
		j.addr("server", e.Server)
	}
	switch e.Type {
	case EventSegment, EventDeliver:
		e.appendSegment(&j)
	case EventState, EventDesync:
		j.text("endpoint", e.Endpoint.String())
		j.text("from_state", e.FromState.String())
		j.text("cause", e.Cause)
	case EventExpect:
		j.text("verdict", e.Action)
	case EventReload:
		j.uint("seed", e.Seed)
	case EventRule:
		j.list("rules", e.Rules)
		j.text("action", e.Action)
	}
	j.optional("detail", e.Detail)
	j.optional("reason", e.Reason)
	if e.Conn != 0 {
		j.text("client_state", e.ClientState.String())
		j.text("server_state", e.ServerState.String())
	}
	return append(j.b, '}', '\n')
}

func (e *Event) appendSegment(j *line) {
	j.text("from", e.From.String())
	j.text("flags", e.Flags)
	j.uint("seq", uint64(e.Seq))
	j.uint("ack", uint64(e.Ack))
	j.uint("len", uint64(e.Len))
	j.uint("win", uint64(e.Win))
	j.list("kinds", e.Kinds.Append(nil))
	j.text("verdict", e.Verdict.String())
	j.list("rules", e.Rules)
}

// A line is a JSON object under construction.
type line struct{ b []byte }

func (j *line) key(name string) {
	j.b = append(j.b, `,"`...)
	j.b = append(append(j.b, name...), `":`...)
}

func (j *line) text(name, value string) {
	j.key(name)
	j.b = appendString(j.b, value)
}

func (j *line) optional(name, value string) {
	if value != "" {
		j.text(name, value)
	}
}

func (j *line) uint(name string, v uint64) {
	j.key(name)
	j.b = strconv.AppendUint(j.b, v, 10)
}

func (j *line) addr(name string, a netip.AddrPort) {
	j.key(name)
	j.b = append(a.AppendTo(append(j.b, '"')), '"')
}

func (j *line) list(name string, items []string) {
	j.key(name)
	j.b = append(j.b, '[')
	for i, item := range items {
		if i > 0 {
			j.b = append(j.b, ',')
		}
		j.b = appendString(j.b, item)
	}
	j.b = append(j.b, ']')
}

// appendString quotes s. Names and flags need no escapes; the rest is left to
// the standard library.
func appendString(dst []byte, s string) []byte {
	for i := range len(s) {
		if c := s[i]; c < ' ' || c > '~' || c == '"' || c == '\\' {
			quoted, _ := json.Marshal(s) // a string always marshals
			return append(dst, quoted...)
		}
	}
	return append(append(append(dst, '"'), s...), '"')
}

// appendSeconds writes a duration as seconds with six decimals.
func appendSeconds(dst []byte, d time.Duration) []byte {
	return strconv.AppendFloat(dst, d.Seconds(), 'f', 6, 64)
}
