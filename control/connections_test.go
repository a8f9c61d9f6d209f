package control_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

func TestConnection(t *testing.T) {
	r := newRig(t, holdAll+"[[rule]]\nname = \"mark\"\nmatch = { segment = \"syn-ack\", port = 80 }\naction = { tag = \"seen\" }\n", 1)
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK, "hello")
	r.dry(far)
	var c client.Connection
	r.call("GET", "/v1/connections/1", "").want(200).into(&c)
	if c.Age <= 0 || c.Idle < 0 || c.Age < c.Idle {
		t.Errorf("age %v, idle %v", c.Age, c.Idle)
	}
	got := fmt.Sprintln(c.Conn, c.Incarnation, c.Client, c.Server, c.ClientState, c.ServerState, c.PickedUp, c.Bytes, c.Lost, c.Held, c.Tags, c.Rules)
	if want := "1 1 10.77.1.1:4000 10.77.2.1:80 ESTABLISHED ESTABLISHED false {{5 0} {0 0}} [] 1 [seen] [keep mark]\n"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Filters select, and pages continue each other.
func TestListConnections(t *testing.T) {
	r := newRig(t, "[[rule]]\nname = \"mark\"\nmatch = { segment = \"syn\", port = 81 }\naction = { tag = \"odd\" }\n", 1)
	for i := range 6 {
		talk := r.open(uint16(4000+i), uint16(80+i%2))
		if i == 4 { // the client closes
			talk.send(near, wire.FIN|wire.ACK, "")
			r.drain(far, 1)
			talk.send(far, wire.ACK, "")
			r.drain(near, 1)
		}
		if i == 5 { // and here it aborts
			talk.send(near, wire.RST|wire.ACK, "")
			r.drain(far, 1)
		}
	}
	for _, row := range []struct {
		query string
		want  []uint64
		total int
	}{
		{"", []uint64{1, 2, 3, 4, 5}, 5},
		{"closed=true", []uint64{1, 2, 3, 4, 5, 6}, 6},
		{"state=CLOSED", nil, 0},
		{"state=closed&closed=true", []uint64{6}, 1},
		{"port=81", []uint64{2, 4}, 2},
		{"port=80,82-90", []uint64{1, 3, 5}, 3},
		{"state=fin-wait-2", []uint64{5}, 1},
		{"server_state=CLOSE_WAIT", []uint64{5}, 1},
		{"client_state=CLOSE_WAIT", nil, 0},
		{"client_state=ESTAB,FIN_WAIT_2&port=80", []uint64{1, 3, 5}, 3},
		{"client=10.77.1.0/24", []uint64{1, 2, 3, 4, 5}, 5},
		{"client=10.77.1.1:4002", []uint64{3}, 1},
		{"server=10.77.2.1:80", []uint64{1, 3, 5}, 3},
		{"server=fd77::/16", nil, 0},
		{"tag=odd", []uint64{2, 4}, 2},
		{"tag=even", nil, 0},
		{"limit=2", []uint64{1, 2}, 5},
		{"limit=2&after=2", []uint64{3, 4}, 3},
		{"limit=2&after=4", []uint64{5}, 1},
		{"limit=0", nil, 5},
	} {
		t.Run(row.query, func(t *testing.T) {
			var list client.Connections
			r.call("GET", "/v1/connections?"+row.query, "").want(200).into(&list)
			var got []uint64
			for _, c := range list.Connections {
				got = append(got, c.Conn)
			}
			if !slices.Equal(got, row.want) || list.Total != row.total {
				t.Errorf("got %v of %d, want %v of %d", got, list.Total, row.want, row.total)
			}
		})
	}
}

// All connections are met, also those of several workers and pages.
func TestListManyConnections(t *testing.T) {
	r := newRig(t, noRules, 2)
	const conns = 5000
	for i := range conns {
		s := wire.Build{Src: addr("10.77.1.1", i), Dst: addr("10.77.2.1", 80), Flags: wire.SYN}
		r.put(near, s.Append(nil))
		r.drain(far, 1)
	}
	seen := map[uint64]bool{}
	after := uint64(0)
	for {
		var page client.Connections
		r.call("GET", fmt.Sprintf("/v1/connections?after=%d", after), "").want(200).into(&page)
		for _, c := range page.Connections {
			if c.Conn <= after || seen[c.Conn] {
				t.Fatalf("%d comes after %d", c.Conn, after)
			}
			after = c.Conn
			seen[after] = true
		}
		if len(page.Connections) == page.Total {
			break
		}
	}
	if len(seen) != conns {
		t.Errorf("%d connections were listed, want %d", len(seen), conns)
	}
}

func TestAct(t *testing.T) {
	flagsOf := func(packet []byte) wire.Flags {
		var p wire.Packet
		if why := p.Parse(packet, 0, false); why != wire.OK {
			t.Fatalf("%v", why)
		}
		return p.Flags()
	}
	t.Run("reset", func(t *testing.T) {
		r := newRig(t, noRules, 1)
		r.open(4000, 80)
		var c client.Connection
		r.call("POST", "/v1/connections/1/reset", `{"to":"client"}`).want(200).into(&c)
		if f := flagsOf(r.drain(near, 1)); !f.Has(wire.RST) {
			t.Errorf("the client got %v, want a RST", f)
		}
		r.dry(far)
		if c.ClientState != "CLOSED" || c.ServerState != "ESTABLISHED" {
			t.Errorf("states %s and %s", c.ClientState, c.ServerState)
		}
	})
	t.Run("blackhole and heal", func(t *testing.T) {
		r := newRig(t, noRules, 1)
		talk := r.open(4000, 80)
		var c client.Connection
		r.call("POST", "/v1/connections/1/blackhole", `{"from":"client"}`).want(200).into(&c)
		if !slices.Equal(c.Lost, []string{"client"}) {
			t.Errorf("lost %v", c.Lost)
		}
		talk.send(near, wire.ACK, "lost")
		r.dry(far)
		talk.send(far, wire.ACK, "passes")
		r.drain(near, 1)
		r.call("PUT", "/v1/rules", dropFin).want(200) // a change of rules leaves alone what was done by hand
		talk.send(near, wire.ACK, "lost")
		r.dry(far)
		r.call("POST", "/v1/heal", "").want(204)
		talk.send(near, wire.ACK, "passes")
		r.drain(far, 1)
	})
	t.Run("the second worker's", func(t *testing.T) {
		r := newRig(t, noRules, 4)
		for i := range 20 {
			r.open(uint16(4000+i), 80)
		}
		for i := range 20 {
			r.call("POST", fmt.Sprintf("/v1/connections/%d/reset", i+1), "").want(200)
		}
		r.drain(near, 20)
		r.drain(far, 20)
		var list client.Connections
		r.call("GET", "/v1/connections", "").want(200).into(&list)
		if list.Total != 0 {
			t.Errorf("%d connections are left", list.Total)
		}
	})
}
