package client

import (
	"context"
	"net/http"
	"time"
)

// A Condition is what may be waited for, in the words of a lab's expectations: that a
// rule has fired, or that there are connections.
type Condition struct {
	// Rule is the name of one that is to fire so often: 2, ">= 2"; the default is ">= 1".
	Rule  string `json:"rule,omitempty"`
	Fired string `json:"fired,omitempty"`

	// Connections that the filter selects, and how many: the default is ">= 1".
	Filter
	Connections string `json:"connections,omitempty"`

	// Within is how long is waited for it to begin to hold, at most; 10 s by default, also if it is 0.
	Within Duration `json:"within,omitempty"`
	// Lasts is how long it has to hold from then on, without a break: of the count, or, if there is
	// none, of one and the same connection.
	Lasts Duration `json:"lasts,omitempty"`
}

// A Wait is how a wait ended.
type Wait struct {
	Met  bool     `json:"met"`
	Took Duration `json:"took"`
	Seen uint64   `json:"seen"` // firings, or connections, in the end

	// Of a condition that was met:
	At   Duration `json:"at,omitempty"`   // since when it holds, on the instance's clock, as the times of events
	Conn uint64   `json:"conn,omitempty"` // the connection that has met it, where one was enough

	// Of one that was not:
	Why     string       `json:"why,omitempty"`     // what came closest, in words
	Longest Duration     `json:"longest,omitempty"` // it held so long without a break, at most
	Instead []Connection `json:"instead,omitempty"` // up to 10 that have other states, but all else that was asked for

	Most uint64 `json:"most,omitempty"` // connections that there were at once, at most
}

// Wait waits until a condition holds, or its time is over: then Met is false.
func (c *Client) Wait(ctx context.Context, condition Condition) (*Wait, error) {
	var out Wait
	if err := c.call(ctx, http.MethodPost, "/v1/wait", condition, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// DefaultWithin is how long a wait lasts whose condition does not say.
const DefaultWithin = 10 * time.Second
