package client

import (
	"context"
	"net/http"
	"net/url"
)

// A Lease is rules that are in force for as long as somebody renews them. They stand
// before those of the files.
type Lease struct {
	ID      string   `json:"id"`
	TTL     Duration `json:"ttl"`        // from a renewal to the end
	Left    Duration `json:"expires_in"` // of it
	Rules   []string `json:"rules"`      // their names
	Renewed uint64   `json:"renewed"`    // how often
}

// A LeaseRequest asks for a lease, or for a change of one.
type LeaseRequest struct {
	// Rules is the text of a rule file. A change without it leaves the rules as they are.
	Rules string `json:"rules,omitempty"`
	// TTL is 30 s by default, at most a day.
	TTL Duration `json:"ttl,omitempty"`
}

// NewLease puts rules in force until the lease is ended, or not renewed in time.
func (c *Client) NewLease(ctx context.Context, r LeaseRequest) (*Lease, error) {
	return c.lease(ctx, http.MethodPost, "", r)
}

// SetLease makes a lease with an id of one's own choice, or puts other rules in
// the place of its rules. It is renewed by that.
func (c *Client) SetLease(ctx context.Context, id string, r LeaseRequest) (*Lease, error) {
	return c.lease(ctx, http.MethodPut, "/"+url.PathEscape(id), r)
}

// RenewLease begins the time of a lease anew.
func (c *Client) RenewLease(ctx context.Context, id string) (*Lease, error) {
	return c.lease(ctx, http.MethodPost, "/"+url.PathEscape(id)+"/renew", nil)
}

// Lease is the one of an id.
func (c *Client) Lease(ctx context.Context, id string) (*Lease, error) {
	return c.lease(ctx, http.MethodGet, "/"+url.PathEscape(id), nil)
}

func (c *Client) lease(ctx context.Context, method, path string, in any) (*Lease, error) {
	var out Lease
	if err := c.call(ctx, method, "/v1/leases"+path, in, &out); err != nil {
		return nil, err
	}
	return &out, nil
}

// Leases are all leases, by their ids.
type Leases struct {
	Leases []Lease `json:"leases"`
}

// Leases lists the leases by their ids.
func (c *Client) Leases(ctx context.Context) ([]Lease, error) {
	var out Leases
	err := c.call(ctx, http.MethodGet, "/v1/leases", nil, &out)
	return out.Leases, err
}

// EndLease takes the rules of a lease out of force, with all that they have left behind.
func (c *Client) EndLease(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/leases/"+url.PathEscape(id), nil, nil)
}
