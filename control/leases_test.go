package control_test

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

const dropData = `{"ttl":"10s","rules":"[[rule]]\nmatch = { segment = \"data\" }\naction = { blackhole = \"client\" }\n"}`

// Rules of a lease stand before the files', and end with it.
func TestLease(t *testing.T) {
	r := newRig(t, holdAll, 1)
	var l client.Lease
	r.call("POST", "/v1/leases", dropData).want(201).into(&l)
	if l.ID != "lease-1" || time.Duration(l.TTL) != 10*time.Second || l.Left <= 0 || l.Left > l.TTL || !slices.Equal(l.Rules, []string{"lease-1.rule-1"}) {
		t.Errorf("%+v", l)
	}
	list := r.rules()
	if got := names(list); !slices.Equal(got, []string{"lease-1.rule-1", "keep"}) || list.Rules[0].Layer != "lease-1" || list.Rules[1].Layer != "files" {
		t.Errorf("%+v", list)
	}
	talk := r.open(4000, 80)
	talk.send(near, wire.ACK, "lost")
	r.dry(far)
	r.call("PUT", "/v1/rules", dropFin).want(200) // leases survive that
	r.call("DELETE", "/v1/leases/lease-1", "").want(204)
	talk.send(near, wire.ACK, "passes: the black hole went with the rule that dug it")
	r.drain(far, 1)
	if got := names(r.rules()); !slices.Equal(got, []string{"drop-fin"}) {
		t.Errorf("%v are in force", got)
	}
	r.call("GET", "/v1/leases/lease-1", "").want(404)
}

// A lease that is over has nothing left, also before it is gone.
func TestNothingLeft(t *testing.T) {
	r := newRig(t, noRules, 1)
	var l client.Lease
	r.call("POST", "/v1/leases", `{"ttl":1e-9}`).want(201).into(&l)
	if l.Left != 0 {
		t.Errorf("%+v", l)
	}
}

// An id of one's own makes a lease, changes its rules, and is free afterwards.
func TestLeaseByID(t *testing.T) {
	r := newRig(t, noRules, 1)
	var l client.Lease
	r.call("PUT", "/v1/leases/mine", `{"ttl":60,"rules":"[[rule]]\nname = \"a\"\naction = \"drop\""}`).want(201).into(&l)
	r.call("PUT", "/v1/leases/mine", `{"rules":"[[rule]]\nname = \"b\"\naction = \"drop\""}`).want(200).into(&l)
	if l.Renewed != 1 || time.Duration(l.TTL) != time.Minute || !slices.Equal(names(r.rules()), []string{"b"}) {
		t.Errorf("%+v, %v", l, names(r.rules()))
	}
	r.call("PUT", "/v1/leases/mine", `{}`).want(200).into(&l) // no text: the rules stay
	r.call("POST", "/v1/leases/mine/renew", "").want(200).into(&l)
	if l.Renewed != 3 || !slices.Equal(l.Rules, []string{"b"}) {
		t.Errorf("%+v", l)
	}
	var e client.Error
	r.call("PUT", "/v1/leases/mine", `{"rules":"[[rule]]\n"}`).want(422).into(&e)
	r.call("PUT", "/v1/leases/other", `{"rules":"[[rule]]\n"}`).want(422).into(&e)
	r.call("PUT", "/v1/leases/other", `{"rules":"[[rule]]\nname = \"b\"\naction = \"pass\""}`).want(409).
		is(`{"error":"\"b\" is already the name of a rule of mine","status":409,"hint":"give the rule another name"}`)
	if got := names(r.rules()); !slices.Equal(got, []string{"b"}) {
		t.Errorf("%v are in force", got)
	}
	var all client.Leases
	r.call("GET", "/v1/leases", "").want(200).into(&all)
	if len(all.Leases) != 1 || all.Leases[0].ID != "mine" {
		t.Errorf("%+v", all)
	}
	r.call("DELETE", "/v1/leases/mine", "").want(204)
	r.call("PUT", "/v1/leases/mine", `{}`).want(201)
}

// What is made up is nobody's id, even where a lease has no rules yet.
func TestLeaseIDsAreFree(t *testing.T) {
	r := newRig(t, noRules, 1)
	r.call("PUT", "/v1/leases/lease-1", `{}`).want(201)
	var l client.Lease
	if r.call("POST", "/v1/leases", `{}`).want(201).into(&l); l.ID != "lease-2" {
		t.Errorf("got %q", l.ID)
	}
}

// What an instance cannot do with rules of its files it cannot do with those of a lease.
func TestLeaseIsRead(t *testing.T) {
	r := newRig(t, noRules, 1)
	r.refuses = errors.New("port 81 does not go through the box")
	r.call("POST", "/v1/leases", dropData).want(422).is(`{"error":"port 81 does not go through the box","status":422}`)
	if got := names(r.rules()); len(got) > 0 {
		t.Errorf("%v are in force", got)
	}
}

// A lease that nobody renews ends by itself, to the moment; one that somebody renews does not.
func TestLeaseLapses(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, noRules, 1)
		r.call("PUT", "/v1/leases/forgotten", dropData).want(201)
		r.call("PUT", "/v1/leases/renewed", dropData).want(201)
		inForce := func(want ...string) {
			t.Helper()
			if got := names(r.rules()); !slices.Equal(got, want) {
				t.Errorf("%v are in force, want %v", got, want)
			}
		}
		time.Sleep(6 * time.Second)
		r.call("POST", "/v1/leases/renewed/renew", "").want(200)
		time.Sleep(4*time.Second - 1)
		synctest.Wait()
		inForce("forgotten.rule-1", "renewed.rule-1")
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		inForce("renewed.rule-1")
		r.call("POST", "/v1/leases/forgotten/renew", "").want(404)
		time.Sleep(6 * time.Second)
		synctest.Wait()
		inForce()
	})
}
