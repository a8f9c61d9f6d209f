package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"time"
)

// A Client talks to one instance.
type Client struct {
	address string
	base    string // of URLs
	token   string
	http    *http.Client
}

// New makes a client of the instance that listens at an address (see SplitAddress);
// an empty one is $TCPMANGLE_API, or else DefaultAddress, or else, if there is no socket, that of the
// systemd unit. The token for an instance that wants one is $TCPMANGLE_TOKEN. Nothing is sent yet.
func New(address string) (*Client, error) {
	address = cmp.Or(address, os.Getenv(EnvAddress), instanceAddress())
	network, where, err := SplitAddress(address)
	if err != nil {
		return nil, err
	}
	c := &Client{address: address, base: "http://" + where, token: os.Getenv(EnvToken)}
	if network == "unix" {
		c.base = "http://localhost"
	}
	var dialer net.Dialer
	c.http = &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, where)
		},
		IdleConnTimeout: time.Minute,
	}}
	return c, nil
}

// WithToken is the same client with another token.
func (c *Client) WithToken(token string) *Client {
	other := *c
	other.token = token
	return &other
}

// Address is where the instance listens.
func (c *Client) Address() string { return c.address }

// Close gives back idle connections to the instance.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// NotRunning is the error of a call that has reached no instance, or one that has ended
// before it answered.
type NotRunning struct {
	Address string
	Err     error
}

func (e *NotRunning) Error() string {
	if hasEnded(e.Err) {
		return fmt.Sprintf("the instance of tcpmangle at %s has ended before it answered", e.Address)
	}
	return fmt.Sprintf("no instance of tcpmangle answers at %s: %v", e.Address, e.Err)
}

// Unwrap is what the connection has met.
func (e *NotRunning) Unwrap() error { return e.Err }

// send makes a call and returns the answer, an *Error if it is none of success.
func (c *Client) send(ctx context.Context, method, path string, body io.Reader, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.base+path, body)
	if err != nil {
		return nil, err
	}
	maps.Copy(req.Header, header)
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		return nil, &NotRunning{c.address, bareError(err)}
	}
	if resp.StatusCode >= 300 {
		defer resp.Body.Close()
		return nil, readError(resp)
	}
	return resp, nil
}

// call sends in as JSON, unless it is nil, and reads the answer into out, unless that is nil.
func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	header := http.Header{}
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(text)
		header.Set("Content-Type", "application/json")
	}
	resp, err := c.send(ctx, method, path, body, header)
	if err != nil {
		return err
	}
	return decode(resp, out)
}

// decode reads an answer into out, unless that is nil.
func decode(resp *http.Response, out any) error {
	defer resp.Body.Close()
	if out == nil {
		_, err := io.Copy(io.Discard, resp.Body)
		return err
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	_, err := io.Copy(io.Discard, resp.Body) // up to the end, so that the connection serves the next call
	return err
}
