package client

import (
	"context"
	"net/http"
)

// A Version is what the instance is.
type Version struct {
	Version string `json:"version"`
	Go      string `json:"go"`
	API     int    `json:"api"` // 1
}

// Version asks the instance what it is.
func (c *Client) Version(ctx context.Context) (*Version, error) {
	var out Version
	if err := c.call(ctx, http.MethodGet, "/v1/version", nil, &out); err != nil {
		return nil, err
	}
	return &out, nil
}
