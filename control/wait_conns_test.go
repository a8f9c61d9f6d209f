package control

import (
	"net/netip"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

// What comes and goes while the connections of a large table are looked at is not missed.
func TestConnVigilHearsFromTheFirst(t *testing.T) {
	made, err := newConnVigil(nil, &client.Condition{Filter: client.Filter{ClientState: "FIN_WAIT_1"}}, newSpells(0, 100))
	if err != nil {
		t.Fatal(err)
	}
	v := made.(*connVigil)
	for i, state := range []conntrack.State{conntrack.Established, conntrack.FinWait1, conntrack.FinWait2} {
		v.hear(&engine.Event{
			Type: engine.EventState, Time: time.Duration(10 + i), Conn: 7, ClientState: state, ServerState: conntrack.Established,
			Client: netip.MustParseAddrPort("10.77.1.1:4000"), Server: netip.MustParseAddrPort("10.77.2.1:80"),
		})
	}
	var w client.Wait
	v.known.reach(20)
	if w.Met = v.known.met; !w.Met {
		t.Fatal("FIN_WAIT_1 was missed")
	}
	if v.tell(&w); w.Conn != 7 || v.known.at != 11 {
		t.Errorf("%+v, at %d", w, v.known.at)
	}
}
