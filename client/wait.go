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

	// Within is how long is waited at most; 10 s by default.
	Within Duration `json:"within,omitempty"`
}

// A Wait is how a wait ended.
type Wait struct {
	Met  bool     `json:"met"`
	Took Duration `json:"took"`
	Seen uint64   `json:"seen"`          // firings, or connections, in the end
	Why  string   `json:"why,omitempty"` // not met: what came closest
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
