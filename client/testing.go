package client

import (
	"context"
	"strings"
	"testing"
	"time"
)

// A Test is a client whose rules live no longer than a test. Its methods fail the test in
// place of returning an error.
type Test struct {
	*Client
	t     testing.TB
	lease string
}

// testTTL is how long the rules of a test outlive its process, and testRenewal how
// often that is put off.
const (
	testTTL     = 15 * time.Second
	testRenewal = testTTL / 5
)

// For gives a client of the instance at $TCPMANGLE_API (see New) to a test. What
// it installs is taken out of force when the test ends; if the process is killed, soon afterwards.
func For(t testing.TB) *Test {
	t.Helper()
	c, err := New("")
	if err != nil {
		t.Fatal(err)
	}
	return c.For(t)
}

// For is the function For with this client.
func (c *Client) For(t testing.TB) *Test {
	t.Helper()
	lease, err := c.NewLease(t.Context(), LeaseRequest{TTL: Duration(testTTL)})
	if err != nil {
		t.Fatalf("tcpmangle: %v", err)
	}
	x := &Test{c, t, lease.ID}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	renewing := make(chan struct{})
	go func() {
		defer close(renewing)
		x.renew(ctx)
	}()
	t.Cleanup(func() {
		defer c.Close()
		defer stop()
		within, cancel := context.WithTimeout(ctx, testTTL) // by then it ends by itself
		defer cancel()
		if err := c.EndLease(within, x.lease); err != nil {
			t.Errorf("tcpmangle: end the lease: %v", err)
		}
		stop()
		<-renewing
	})
	return x
}

// renew keeps the lease until ctx ends. A renewal that fails is tried again: the test
// will notice if its rules are gone.
func (x *Test) renew(ctx context.Context) {
	tick := time.NewTicker(testRenewal)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			_, _ = x.RenewLease(ctx, x.lease)
		case <-ctx.Done():
			return
		}
	}
}

// Install puts rules in force, in the place of those that this Test has installed before.
func (x *Test) Install(text string) {
	x.t.Helper()
	if _, err := x.SetLease(x.t.Context(), x.lease, LeaseRequest{Rules: text}); err != nil {
		x.t.Fatalf("tcpmangle: install rules: %v", indented(err))
	}
}

// Await waits for a condition, and fails the test if it is not met in time.
func (x *Test) Await(condition Condition) {
	x.t.Helper()
	w, err := x.Wait(x.t.Context(), condition)
	if err != nil {
		x.t.Fatalf("tcpmangle: %v", err)
	}
	if !w.Met {
		x.t.Fatalf("tcpmangle: after %v: %s", w.Took, w.Why)
	}
}

// Fired is how often a rule has fired.
func (x *Test) Fired(rule string) uint64 {
	x.t.Helper()
	r, err := x.Rule(x.t.Context(), rule)
	if err != nil {
		x.t.Fatalf("tcpmangle: %v", err)
	}
	return r.Fired
}

// indented moves the further lines of a message below its first.
func indented(err error) string { return strings.ReplaceAll(err.Error(), "\n", "\n\t") }
