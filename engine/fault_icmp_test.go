package engine_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/rules"
)

// The mistakes that only these actions know, each in the words of the reader.
func TestBadParameters(t *testing.T) {
	for _, tt := range []struct{ action, want string }{
		{`{ icmp = "host-unreachabel" }`, `icmp: unknown value "host-unreachabel"; did you mean "host-unreachable"?`},
		{`{ icmp = { to = "client" } }`, `icmp: missing "kind"`},
		{`{ icmp = { kind = "port-unreachable", mtu = 1000 } }`, `icmp.mtu: only frag-needed tells an "mtu"`},
		{`{ icmp = { kind = "frag-needed", mtu = 67 } }`, `icmp.mtu: must be at least 68`},
		{`{ icmp = { kind = "frag-needed", to = "peer" } }`, `icmp.to: unknown value "peer"`},
		{`{ forget = "rst-client" }`, `forget: unknown value "rst-client"`},
		{`{ forget = { notify = "both" } }`, `forget.notify: unknown value "both"`},
		{`{ reorder = 0 }`, `reorder: must be at least 1`},
		{`{ reorder = { timeout = "0s" } }`, `reorder.timeout: must be at least 1us`},
	} {
		_, err := rules.Parse("bad.toml", "[[rule]]\nname = \"r\"\naction = "+tt.action)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %q", tt.action, err, tt.want)
		}
	}
}

// An error quotes the very segment, headers first and as much of it as fits.
func TestICMPQuotes(t *testing.T) {
	w := newWorld(engine.BoxConfig{Rules: mustParse(t, `
[[rule]]
match = { segment = "data" }
actions = [{ icmp = "host-unreachable" }, "drop"]`)})
	w.send(handshake(0)...)
	w.left = nil
	sent := segment{from: client, flags: wire.ACK | wire.PSH, seq: 1, ack: 1, size: 1400, id: 77}
	w.send(sent)
	if len(w.left) != 1 || w.left[0].side != client {
		t.Fatalf("%d left, want the error alone", len(w.left))
	}
	data, _ := sent.packet()
	if got := w.left[0].data; len(got) != 576 || !bytes.Equal(got[28:], data[:548]) {
		t.Errorf("%d bytes, want 576 of which all but 28 are the segment's\n%x", len(got), got)
	}
}
