package engine_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// An acknowledgment that is older than a FIN, and was read late because the worker stood
// still, says nothing of that FIN; one that comes so late by itself shows that it was
// refused.
func TestReadLate(t *testing.T) {
	old := segment{from: server, flags: wire.ACK, seq: 1, ack: 1}
	for _, row := range []struct {
		name string
		come func(r *rig)
		want conntrack.State
	}{
		{"read late", func(r *rig) {
			r.Call(func(*engine.Box, time.Duration) {
				data, h := old.packet()
				r.devices[server].Send(h, data)
				time.Sleep(50 * time.Millisecond)
			})
			synctest.Wait()
		}, conntrack.CloseWait},
		{"sent late", func(r *rig) {
			time.Sleep(50 * time.Millisecond)
			r.send(old)
		}, conntrack.Established},
	} {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := run(t, nil)
				defer r.end()
				r.send(handshake(0)...)
				r.send(segment{from: client, flags: wire.ACK | wire.FIN, seq: 1, ack: 1})
				row.come(r)
				r.wantServer(row.want)
			})
		})
	}
}

// Who calls a worker that has woken late finds a box that has caught up: nothing waits in it that
// should have left by then.
func TestCallFindsNothingOverdue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := run(t, mustParse(t, `
[[rule]]
match = { segment = "data" }
action = { delay = "10ms" }`))
		defer r.end()
		r.send(handshake(0)...)
		overdue := 0
		for i := range uint32(100) {
			r.send(segment{from: client, flags: wire.ACK, seq: 1 + 10*i, ack: 1, size: 10})
			synctest.Wait()
			time.Sleep(10 * time.Millisecond) // the worker and we wake at the same moment
			r.Call(func(b *engine.Box, now time.Duration) {
				overdue += b.Stats().Waiting
			})
		}
		if overdue > 0 {
			t.Errorf("%d times of 100 a segment that was due was in the box", overdue)
		}
	})
}

// wantServer wants the server of the one connection in a state.
func (r *rig) wantServer(want conntrack.State) {
	r.t.Helper()
	conns, err := r.Conns(func(*engine.ConnView) bool { return true })
	if err != nil || len(conns) != 1 {
		r.t.Fatalf("%d connections, %v", len(conns), err)
	}
	if got := conns[0].ServerState; got != want {
		r.t.Errorf("server: got %v, want %v", got, want)
	}
}
