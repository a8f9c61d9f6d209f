package lab

import (
	"fmt"
	"strings"
	"testing"
)

// The names stand on one line, the numbers on the next.
func TestCounters(t *testing.T) {
	got := parseCounters("TcpExt: SyncookiesSent ListenOverflows\nTcpExt: 3 14\nIpExt: InOctets\nIpExt: 9\nMPTcpExt: ListenOverflows\nMPTcpExt: 5\n")
	if len(got) != 2 || got["SyncookiesSent"] != 3 || got["ListenOverflows"] != 14 {
		t.Errorf("got %v", got)
	}
}

// A listener that takes less of a handshake than was delivered is no difference: its
// kernel has counted that, and the report says why.
func TestRefusals(t *testing.T) {
	tests := []struct {
		name, text string
		why        string // as "server SYN_RCVD for ESTABLISHED: because", each once
	}{
		{"a full accept queue drops the SYN", `
			[server]
			script = "listen 8080 backlog 0"
			[client]
			script = """
			  connect server:8080
			  connect server:8080
			"""`,
			"server CLOSED for SYN_RCVD: its accept queue was full"},
		{"a full queue of requests drops the SYN", `
			[[rule]]
			name   = "lose"
			match  = { segment = "handshake-ack" }
			action = "drop"
			[server]
			script = """
			  listen 8080 backlog 0
			  sleep 2s
			"""
			sysctl = { tcp_syncookies = 0 }
			[client]
			script = """
			  connect server:8080
			  connect server:8080
			"""`,
			"server CLOSED for SYN_RCVD: its queue of requests was full"},
		{"a queue that is full by then drops the last ACK", `
			[[rule]]
			name   = "late"
			match  = { segment = "handshake-ack", connection = 1 }
			count  = 1
			action = { delay = { by = "300ms", keep_order = false } }
			[server]
			script = """
			  listen 8080 backlog 0
			  sleep 700ms
			  accept
			  accept
			"""
			[client]
			script  = """
			  connect server:8080
			  connect server:8080
			  sleep 3s
			"""
			[[expect]]
			server = "ESTABLISHED"
			connections = 2`,
			"server SYN_RCVD for ESTABLISHED: its accept queue was full"},
		{"a listener that waits for data drops the last ACK", `
			[server]
			script = """
			  set defer-accept 5s
			  listen 8080
			  accept
			  recv 1
			"""
			[client]
			script = """
			  connect server:8080
			  sleep 2s
			  send x
			"""`,
			"server SYN_RCVD for ESTABLISHED: it waits for data (TCP_DEFER_ACCEPT)"},
		{"a SYN cookie is no memory", `
			[[rule]]
			name   = "lose"
			match  = { segment = "handshake-ack" }
			action = "drop"
			[server]
			script = """
			  listen 8080
			  sleep 2s
			"""
			sysctl = { tcp_syncookies = 2 }
			[client]
			script = "connect server:8080"`,
			"server CLOSED for SYN_RCVD: it has sent a SYN cookie, and keeps nothing until the ACK"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := execute(t, tt.text, Options{})
			passes(t, res)
			var why []string
			for _, r := range res.Agreement.Refused {
				line := fmt.Sprintf("%s %v for %v: %s", r.Host, r.Kernel, r.Inferred, r.Why)
				if len(why) == 0 || why[len(why)-1] != line {
					why = append(why, line)
				}
			}
			if n := strings.Count(render(res), " has not taken what was delivered: "); n != len(why) {
				t.Errorf("%d lines tell of it, want %d\n%s", n, len(why), render(res))
			}
			if got := strings.Join(why, "\n"); got != tt.why {
				t.Errorf("got %q, want %q\n%s", got, tt.why, render(res))
			}
		})
	}
}
