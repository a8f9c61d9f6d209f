package inline

import (
	"errors"
	"net/netip"
	"testing"
)

var (
	aClient  = netip.MustParseAddrPort("192.0.2.9:40000")
	aClient6 = netip.MustParseAddrPort("[2001:db8::9]:40000")
	redis6   = Service{Address: netip.MustParseAddrPort("[fd79:0:0:18::2]:6379"), Upstream: netip.MustParseAddrPort("[2001:db8::6]:6379")}
)

func newTestBook(t *testing.T, services ...Service) *book {
	t.Helper()
	b := newBook(netip.MustParsePrefix("198.19.0.0/30"), pool6)
	for _, s := range services {
		must(t, b.add(s))
	}
	return b
}

func TestBookTranslatesThereAndBack(t *testing.T) {
	b := newTestBook(t, redis, redis6)
	for _, row := range []struct {
		client netip.AddrPort
		Service
		pool netip.Prefix
	}{{aClient, redis, pool4}, {aClient6, redis6, pool6}} {
		from, to, ok := b.toUpstream(row.client, row.Address)
		if !ok || to != row.Upstream || from.Port() != row.client.Port() || !row.pool.Contains(from.Addr()) {
			t.Fatalf("to the upstream: %v to %v, %v", from, to, ok)
		}
		again, _, _ := b.toUpstream(row.client, row.Address)
		if again != from {
			t.Errorf("the same client is %v, then %v", from, again)
		}
		src, dst, ok := b.toClient(row.Upstream, from)
		if !ok || src != row.Address || dst != row.client {
			t.Errorf("back: %v to %v, %v", src, dst, ok)
		}
		if _, _, ok := b.toClient(row.client, from); ok {
			t.Error("a stranger's segment was taken for the upstream's")
		}
	}
	if _, _, ok := b.toUpstream(aClient, aClient); ok {
		t.Error("a segment to nobody was translated")
	}
}

// Two clients, and one client of two services, are told apart by the upstream's side.
func TestBookKeepsVisitorsApart(t *testing.T) {
	second := redis
	second.Address = netip.AddrPortFrom(redis.Address.Addr(), 6380)
	b := newBook(pool4, pool6)
	must(t, errors.Join(b.add(redis), b.add(second)))
	other := netip.AddrPortFrom(aClient.Addr().Next(), aClient.Port())
	seen := map[netip.AddrPort]bool{}
	for _, v := range [][2]netip.AddrPort{{aClient, redis.Address}, {other, redis.Address}, {aClient, second.Address}} {
		from, _, _ := b.toUpstream(v[0], v[1])
		if seen[from] {
			t.Errorf("%v has the address of another one, %v", v, from)
		}
		seen[from] = true
	}
	must(t, remove(b, second.Address))
	if from, _, _ := b.toUpstream(aClient, redis.Address); !seen[from] {
		t.Error("with a service its neighbour's clients have been forgotten")
	}
}

func remove(b *book, address netip.AddrPort) error {
	b.remove(address)
	if _, _, ok := b.toUpstream(aClient, address); ok {
		return errors.New("a service that was removed is known still")
	}
	return nil
}

// When the pool is used up, who came first gives up the address.
func TestBookBeginsAgain(t *testing.T) {
	b := newTestBook(t, redis) // two addresses: all but the network's and our own
	client := func(n byte) netip.AddrPort { return netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, n}), 1) }
	var given []netip.AddrPort
	for n := range byte(3) {
		from, _, _ := b.toUpstream(client(n), redis.Address)
		given = append(given, from)
	}
	if given[0] != given[2] || given[0] == given[1] {
		t.Errorf("given: %v", given)
	}
	if _, to, ok := b.toClient(redis.Upstream, given[2]); !ok || to != client(2) {
		t.Errorf("what comes back is for %v, %v", to, ok)
	}
	if from, _, _ := b.toUpstream(client(0), redis.Address); from != given[1] {
		t.Errorf("who came first has %v now", from)
	}
}
