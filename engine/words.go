package engine

import (
	"fmt"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// What people are told of a predicate that failed: in the answer why a rule never
// fired, and where each segment is explained.

// words are a failed predicate for people.
type words struct {
	predicate string // as the file has it: "segment = fin"
	key       string
	want, saw string // what the key asks for, and what there was; saw is empty if that says nothing
}

// no says that the predicate fails.
func (w words) no() string {
	if w.saw == "" {
		return "no: " + w.predicate
	}
	return fmt.Sprintf("no: %s is %s, not %s", w.key, w.saw, w.want)
}

// key is the words for one of a rule's keys.
func key(name string, want, saw any) words {
	w := words{predicate: fmt.Sprintf("%s = %v", name, want), key: name, want: fmt.Sprint(want)}
	if saw != nil {
		w.saw = fmt.Sprint(saw)
	}
	return w
}

// words names the predicate that failed, and what it saw.
func (r *rule) words(failed predicate, saw int64) words {
	if failed < byMoment {
		return r.connWords(failed, saw)
	}
	if failed >= byWindow {
		return r.limitWords(failed, saw)
	}
	m := &r.Match
	switch failed {
	case byEnabled:
		return key("enabled", false, nil)
	case byFrom:
		return key("from", m.From, conntrack.Dir(saw))
	case bySegment:
		return key("segment", m.Segment, conntrack.Kinds(saw))
	case byFlags:
		return key("flags", m.Flags, wire.Flags(saw))
	case byLength:
		return key("length", m.Length, saw)
	case byOffset:
		return key("offset", m.Offset, offsetWords(saw))
	case byOption:
		return key("option", m.Option, optionWords(saw))
	case byClientState:
		return key("client_state", m.ClientState, conntrack.State(saw))
	case byServerState:
		return key("server_state", m.ServerState, conntrack.State(saw))
	case byAge:
		return key("age", m.Age, time.Duration(saw))
	case byIdle:
		return key("idle", m.Idle, time.Duration(saw))
	case byOpened:
		return key("opened", m.Opened, time.Duration(saw))
	case byTag:
		return key("tag", fmt.Sprintf("%q", m.Tags), nil)
	case byNotTag:
		return key("not_tag", fmt.Sprintf("%q", m.NotTags), nil)
	case byPayloadHex:
		return key("payload_hex", m.PayloadHex, payloadWords(saw))
	}
	return key("payload", m.Payload, payloadWords(saw))
}

// connWords are words for what is asked of a connection once, as it opens.
func (r *rule) connWords(failed predicate, saw int64) words {
	m := &r.Match
	switch failed {
	case byPort:
		return key("port", m.Port, saw)
	case byClient:
		return key("client", m.Client, nil)
	case byServer:
		return key("server", m.Server, nil)
	case byConnection:
		return key("connection", m.Connection, saw)
	case byIncarnation:
		return key("incarnation", m.Incarnation, saw)
	}
	return key("share", r.Share, nil)
}

// limitWords are words for how often a rule fires.
func (r *rule) limitWords(failed predicate, saw int64) words {
	switch failed {
	case byWindow:
		times := words{predicate: fmt.Sprintf("after = %q", r.After), key: "time", want: fmt.Sprintf("after %v", r.After)}
		if r.For > 0 {
			times.predicate += fmt.Sprintf(", for = %q", r.For)
			times.want += fmt.Sprintf(" for %v", r.For)
		}
		times.saw = time.Duration(saw).String()
		return times
	case byNth:
		return words{fmt.Sprintf("nth = %s", r.Nth), "number", r.Nth.String(), fmt.Sprint(saw)}
	case byEvery:
		return words{fmt.Sprintf("every = %d", r.Every), "number", fmt.Sprintf("every %d", r.Every), fmt.Sprint(saw)}
	case byCount:
		return key("count", r.Count, nil)
	case byProbability:
		if g := r.GilbertElliott; g != nil {
			return key("probability", fmt.Sprintf("gilbert-elliott with p = %v, r = %v", g.P, g.R), nil)
		}
		return key("probability", r.Probability, nil)
	}
	return key("total", r.Total, nil)
}
