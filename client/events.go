package client

import (
	"bufio"
	"context"
	"encoding/json"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
)

// An Event is one thing that happened; docs/events.md tells which keys belong to which type.
type Event struct {
	Time        float64        `json:"t"` // seconds since the instance's start
	Type        string         `json:"type"`
	Conn        uint64         `json:"conn"`
	Incarnation int            `json:"incarnation"`
	Client      netip.AddrPort `json:"client"`
	Server      netip.AddrPort `json:"server"`
	ClientState string         `json:"client_state"`
	ServerState string         `json:"server_state"`

	From    string   `json:"from"`
	Flags   string   `json:"flags"`
	Seq     uint32   `json:"seq"`
	Ack     uint32   `json:"ack"`
	Len     int      `json:"len"`
	Win     int      `json:"win"`
	Kinds   []string `json:"kinds"`
	Verdict string   `json:"verdict"`
	Rules   []string `json:"rules"`
	Reason  string   `json:"reason"`

	Endpoint  string `json:"endpoint"`
	FromState string `json:"from_state"`
	Cause     string `json:"cause"`
	Seed      uint64 `json:"seed"`
	Action    string `json:"action"`
	Detail    string `json:"detail"`

	Line []byte `json:"-"` // as it came, without its newline
}

// An EventFilter selects events; what is empty selects all.
type EventFilter struct {
	Types []string // segment, state, rule ...
	Conn  uint64   // of this connection
	Rule  string   // on which this rule has fired
	All   bool     // also of connections that no rule can concern
}

func (f EventFilter) query() string {
	q := url.Values{"type": f.Types}
	if f.Conn != 0 {
		q.Set("conn", strconv.FormatUint(f.Conn, 10))
	}
	if f.Rule != "" {
		q.Set("rule", f.Rule)
	}
	if f.All {
		q.Set("all", "true")
	}
	return q.Encode()
}

// Events follows what happens from the moment it returns, until ctx ends, the caller stops
// or the instance does, in whatever way; none of these is an error. A reader that is too slow gets an
// event of the type overflow in the place of what it has missed. Who does not
// range over the events ends ctx.
func (c *Client) Events(ctx context.Context, f EventFilter) (iter.Seq2[Event, error], error) {
	header := http.Header{"Accept": {"application/x-ndjson"}}
	resp, err := c.send(ctx, http.MethodGet, "/v1/events?"+f.query(), nil, header)
	if err != nil {
		return nil, err
	}
	return func(yield func(Event, error) bool) {
		defer resp.Body.Close()
		lines := bufio.NewReader(resp.Body)
		for {
			e, err := readEvent(lines)
			if hasEnded(err) || ctx.Err() != nil {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}, nil
}

// readEvent reads one line.
func readEvent(lines *bufio.Reader) (e Event, err error) {
	line, err := lines.ReadBytes('\n')
	if err != nil {
		return e, err
	}
	e.Line = line[:len(line)-1]
	return e, json.Unmarshal(line, &e)
}
