package control_test

import (
	"bufio"
	"context"
	"fmt"
	"iter"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/control"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// serve serves a rig on a unix socket, and gives a client of it.
func (r *rig) serve() *client.Client {
	r.t.Helper()
	path := nstest.Socket(r.t)
	l, err := control.Listen(path)
	if err != nil {
		r.t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- r.Serve(l) }()
	r.t.Cleanup(func() {
		r.Close()
		if err := <-done; err != nil {
			r.t.Errorf("Serve: %v", err)
		}
	})
	c, err := client.New(path)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(c.Close)
	return c
}

// follow subscribes to events; next gives one after the other.
func follow(t *testing.T, c *client.Client, f client.EventFilter) (next func() client.Event) {
	t.Helper()
	events, err := c.Events(t.Context(), f)
	if err != nil {
		t.Fatal(err)
	}
	pull, stop := iter.Pull2(events)
	t.Cleanup(stop)
	return func() client.Event {
		t.Helper()
		e, err, ok := pull()
		if err != nil || !ok {
			t.Fatalf("no event came: %v", err)
		}
		return e
	}
}

// Each hears what it has asked for, in order, and nobody hears of what was before.
func TestEvents(t *testing.T) {
	r := newRig(t, dropFin, 1)
	c := r.serve()
	r.open(3999, 80)
	all := follow(t, c, client.EventFilter{All: true})
	fins := follow(t, c, client.EventFilter{Types: []string{"segment"}, Rule: "drop-fin"})
	second := follow(t, c, client.EventFilter{Conn: 2, Types: []string{"open", "state"}, All: true})
	selected := follow(t, c, client.EventFilter{Types: []string{"open"}})
	r.open(4000, 81) // no rule can concern it
	talk := r.open(4001, 80)
	talk.send(near, wire.FIN|wire.ACK, "")
	r.dry(far)

	if e := all(); e.Type != "open" || e.Conn != 2 || e.Client != addr("10.77.1.1", 4000) || e.Incarnation != 1 {
		t.Errorf("%+v", e)
	}
	e := fins()
	got := fmt.Sprintln(e.Type, e.Conn, e.From, e.Flags, e.Seq, e.Ack, e.Kinds, e.Verdict, e.Rules, e.Reason, e.ClientState, e.ServerState)
	if want := "segment 3 client FA 1 1 [fin first-fin] drop [drop-fin] rule:drop-fin FIN_WAIT_1 ESTABLISHED\n"; got != want {
		t.Errorf("got  %s want %s", got, want)
	}
	var types []string
	for range 4 {
		e := second()
		types = append(types, e.Type+" "+e.ClientState)
	}
	if want := []string{"open CLOSED", "state SYN_SENT", "state SYN_SENT", "state ESTABLISHED"}; !slices.Equal(types, want) {
		t.Errorf("got %q, want %q", types, want)
	}
	if e := selected(); e.Conn != 3 {
		t.Errorf("%+v, want the connection that a rule can concern", e)
	}
}

// What is done by hand is told, also of a connection that no rule can concern.
func TestEventsByHand(t *testing.T) {
	r := newRig(t, noRules, 1)
	c := r.serve()
	next := follow(t, c, client.EventFilter{Types: []string{"rule", "segment"}})
	talk := r.open(4000, 80)
	for _, action := range []client.Action{client.Reset("client"), client.Blackhole("server")} {
		if _, err := c.Act(t.Context(), 1, action); err != nil {
			t.Fatal(err)
		}
		if e := next(); e.Type != "rule" || e.Conn != 1 || e.Action != action.Name || !slices.Equal(e.Rules, []string{"by-hand"}) {
			t.Errorf("%s", e.Line)
		}
	}
	talk.send(far, wire.ACK, "lost")
	if e := next(); e.Verdict != "drop" || e.Reason != "rule:by-hand" {
		t.Errorf("%s", e.Line)
	}
}

// Server-sent events, for browsers and curl.
func TestServerSentEvents(t *testing.T) {
	r := newRig(t, dropFin, 1)
	path := nstest.Socket(t)
	l, err := control.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	go r.Serve(l)
	web := http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
	req, _ := http.NewRequestWithContext(t.Context(), "GET", "http://localhost/v1/events?type=open", nil)
	req.Header.Set("Accept", "text/event-stream")
	resp, err := web.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if kind := resp.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("Content-Type: %s", kind)
	}
	r.open(4000, 80)
	in := bufio.NewReader(resp.Body)
	line, _ := in.ReadString('\n')
	blank, err := in.ReadString('\n')
	if !strings.HasPrefix(line, `data: {"t":`) || !strings.Contains(line, `"type":"open","conn":1`) || blank != "\n" || err != nil {
		t.Errorf("got %q and %q, %v", line, blank, err)
	}
	web.CloseIdleConnections()
}

// A reader that reads nothing holds up neither packets nor other readers, and is told
// how much it has missed.
func TestSlowReader(t *testing.T) {
	r := newRig(t, dropFin, 1)
	c := r.serve()
	slow := follow(t, c, client.EventFilter{Types: []string{"segment", "overflow"}})
	talk := r.open(4000, 80)
	const segments = 20_000 // more than its buffer and the socket's hold
	for range segments {
		talk.send(near, wire.ACK, "x")
		r.drain(far, 1)
	}
	got, lost := 0, 0
	for lost == 0 {
		e := slow()
		if e.Type == "segment" {
			got++
			continue
		}
		if e.Reason != "reader" {
			t.Fatalf("%s", e.Line)
		}
		if _, err := fmt.Sscanf(e.Detail, "%d events are lost: their reader is too slow", &lost); err != nil {
			t.Fatalf("%s", e.Line)
		}
	}
	talk.send(near, wire.ACK, "y")
	r.drain(far, 1)
	for e := slow(); ; e = slow() { // what comes later is complete again
		if e.Type == "overflow" {
			t.Fatalf("%s after all", e.Line)
		}
		got++
		if e.Seq == segments+1 {
			break
		}
	}
	if want := segments + 3 + 1; got+lost != want {
		t.Errorf("%d events came and %d were lost, want %d in all", got, lost, want)
	}
}

// While nobody listens, the engine makes no events.
func TestListenersLeave(t *testing.T) {
	r := newRig(t, dropFin, 1)
	c := r.serve()
	ctx, cancel := context.WithCancel(t.Context())
	events, err := c.Events(ctx, client.EventFilter{All: true})
	if err != nil {
		t.Fatal(err)
	}
	if r.Listeners() != 1 {
		t.Errorf("%d listen, want 1", r.Listeners())
	}
	cancel()
	for range events {
		t.Error("an event came")
	}
	for end := time.Now().Add(patience); r.Listeners() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	if r.Listeners() != 0 {
		t.Error("who has gone listens still")
	}
}

// The end of the server is the end of a stream, not an error.
func TestEventsEndWithServer(t *testing.T) {
	r := newRig(t, dropFin, 1)
	c := r.serve()
	events, err := c.Events(t.Context(), client.EventFilter{})
	if err != nil {
		t.Fatal(err)
	}
	r.Close()
	for e, err := range events {
		t.Errorf("%+v, %v", e, err)
	}
}
