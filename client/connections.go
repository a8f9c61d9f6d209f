package client

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
)

// A Connection is what is known of one incarnation of a 4-tuple at one moment.
type Connection struct {
	Conn        uint64         `json:"conn"`        // its ordinal, which is its id, here and in events
	Incarnation int            `json:"incarnation"` // on its 4-tuple
	Client      netip.AddrPort `json:"client"`      // who has sent the first SYN
	Server      netip.AddrPort `json:"server"`
	ClientState string         `json:"client_state"` // inferred: FIN_WAIT_2
	ServerState string         `json:"server_state"`
	PickedUp    bool           `json:"picked_up"` // its first SYN was not seen: roles are guesses
	Age         Duration       `json:"age"`       // since its first segment
	Idle        Duration       `json:"idle"`      // since an endpoint has last sent one
	Bytes       Bytes          `json:"bytes"`
	Lost        []string       `json:"lost"`      // whose segments a black hole takes: client, server
	Forgotten   bool           `json:"forgotten"` // the box was made to forget it, as a NAT does
	Held        int            `json:"held"`      // segments that are held
	Tags        []string       `json:"tags"`
	Rules       []string       `json:"rules"` // that can concern it
}

// Bytes are those of a connection's two streams.
type Bytes struct {
	Client Stream `json:"client"` // from the client to the server
	Server Stream `json:"server"`
}

// A Stream is how far one direction of a connection has come, in bytes of payload, as sequence
// numbers tell it: what was sent again counts once. What was sent but not delivered is under way,
// held, or was lost and comes again. A connection that was picked up mid-stream is
// counted from there. Beyond 1 TiB the numbers stay behind.
type Stream struct {
	Sent      uint64 `json:"sent"`
	Delivered uint64 `json:"delivered"` // without a hole
}

// A Filter selects connections: all that is set must hold.
type Filter struct {
	State       string `json:"state,omitempty"` // of one of the endpoints, as ours or as ss writes it
	ClientState string `json:"client_state,omitempty"`
	ServerState string `json:"server_state,omitempty"`
	Port        string `json:"port,omitempty"`   // the server's: "80", "8000-8099", "80,443"
	Client      string `json:"client,omitempty"` // address or CIDR, with optional port
	Server      string `json:"server,omitempty"`
	Tag         string `json:"tag,omitempty"`
	Closed      bool   `json:"closed,omitempty"` // also those that both endpoints have closed
}

// Values is the filter as the query of a URL.
func (f Filter) Values() url.Values {
	q := url.Values{}
	for key, value := range map[string]string{
		"state": f.State, "client_state": f.ClientState, "server_state": f.ServerState,
		"port": f.Port, "client": f.Client, "server": f.Server, "tag": f.Tag,
	} {
		if value != "" {
			q.Set(key, value)
		}
	}
	if f.Closed {
		q.Set("closed", "true")
	}
	return q
}

// Connections is a page of the answer to GET /v1/connections.
type Connections struct {
	Connections []Connection `json:"connections"` // in the order of their SYNs
	Total       int          `json:"total"`       // how many the filter selects, on this page and later ones
}

// Connections lists the connections that a filter selects, in the order of their SYNs.
func (c *Client) Connections(ctx context.Context, f Filter) (all []Connection, err error) {
	q := f.Values()
	for {
		var page Connections
		if err := c.call(ctx, http.MethodGet, "/v1/connections?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Connections...)
		n := len(page.Connections)
		if n == 0 || n == page.Total {
			return all, nil
		}
		q.Set("after", strconv.FormatUint(page.Connections[n-1].Conn, 10))
	}
}

// Connection is the one of an ordinal.
func (c *Client) Connection(ctx context.Context, conn uint64) (*Connection, error) {
	var out Connection
	if err := c.call(ctx, http.MethodGet, fmt.Sprintf("/v1/connections/%d", conn), nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// An Action is what is to be done to a connection at once: the name and the parameters
// of one of the actions of rule files that need no segment (tcpmangle help actions).
type Action struct {
	Name   string
	Params map[string]any // strings, numbers, booleans and lists of strings
}

// Reset forges RSTs to an endpoint: client, server or both.
func Reset(to string) Action { return Action{"reset", map[string]any{"to": to}} }

// Fin forges a FIN to an endpoint: client or server.
func Fin(to string) Action { return Action{"fin", map[string]any{"to": to}} }

// Blackhole loses from now on what an endpoint sends, or both; Heal ends it.
func Blackhole(from string) Action { return Action{"blackhole", map[string]any{"from": from}} }

// Forget makes the box lose the connection, as a NAT does: drop, rst or rst-both is
// what becomes of later segments. Heal ends it.
func Forget(then string) Action { return Action{"forget", map[string]any{"then": then}} }

// Act does an action on a connection, and returns what is known of it then.
func (c *Client) Act(ctx context.Context, conn uint64, a Action) (*Connection, error) {
	params := a.Params
	if params == nil {
		params = map[string]any{}
	}
	var out Connection
	path := fmt.Sprintf("/v1/connections/%d/%s", conn, url.PathEscape(a.Name))
	if err := c.call(ctx, http.MethodPost, path, params, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
