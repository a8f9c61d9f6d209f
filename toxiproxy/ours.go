package toxiproxy

import (
	"errors"
	"fmt"
)

// The toxics that Toxiproxy, which ends TCP, cannot have.

// lastAck loses the last ACK of a close: the passive closer stays in LAST_ACK.
type lastAck struct{}

func (*lastAck) check() error { return nil }

func (*lastAck) drafts(*toxic) []draft {
	return []draft{{step: losing, either: true, match: `segment = "last-ack"`, action: `"drop"`}}
}

// halfOpen makes the receiver of the direction forget the connection, as by a loss of
// power, once data is on its way to it. The sender believes that it lives.
type halfOpen struct{}

func (*halfOpen) check() error { return nil }

func (*halfOpen) drafts(t *toxic) []draft {
	action := fmt.Sprintf(`[{ reset = { to = %q, hide = true } }, "drop"]`, t.to())
	return []draft{{step: losing, match: data, limit: "count = 1", action: action}}
}

// slowConnect delays the handshake.
type slowConnect struct {
	Delay  int64 `json:"delay"`  // ms
	Jitter int64 `json:"jitter"` // ms, to either side
}

func (a *slowConnect) check() error { return positive("delay jitter", a.Delay, a.Jitter) }

func (a *slowConnect) drafts(*toxic) []draft {
	return []draft{{step: losing, either: true, match: `segment = "syn"`, action: delay(latency{a.Delay, a.Jitter})}}
}

// refuse refuses connections, as a host does on whose port nobody listens.
type refuse struct{}

func (*refuse) check() error { return nil }

func (*refuse) drafts(*toxic) []draft {
	return []draft{{step: losing, either: true, match: `segment = "syn"`, action: `[{ reset = "client" }, "drop"]`}}
}

// blackhole loses everything that is sent in the direction, SYNs too. It heals when the toxic goes.
type blackhole struct{}

func (*blackhole) check() error { return nil }

func (*blackhole) drafts(t *toxic) []draft { return []draft{{step: losing, action: hole(t, 0)}} }

// idleForget makes the box lose a connection that is silent for long enough, as NATs do.
type idleForget struct {
	Idle  int64 `json:"idle"`  // ms
	Reset bool  `json:"reset"` // what is sent afterwards is answered by RST; else it is lost
}

func (a *idleForget) check() error {
	if a.Idle <= 0 {
		return errors.New("idle must be more than 0")
	}
	return nil
}

func (a *idleForget) drafts(*toxic) []draft {
	then := "drop"
	if a.Reset {
		then = "rst"
	}
	return []draft{{step: losing, either: true, limit: silent(a.Idle), action: fmt.Sprintf("{ forget = %q }", then)}}
}
