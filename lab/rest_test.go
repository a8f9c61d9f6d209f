package lab

import (
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Each row is a lab in which for a long time nothing happens that a look at scripts, sockets
// and box would show, and then something does: its end has to wait for that.
func TestEndWaitsForWhatIsToCome(t *testing.T) {
	tests := map[string]string{
		"what is on a slow link": pingPong + `
			[lab]
			link = { delay = "1s" }
			[[rule]]
			name   = "fin"
			match  = { segment = "first-fin" }
			action = "pass"`,
		"a rule that has yet to fire": `
			[[rule]]
			name   = "lose"
			match  = { segment = "syn" }
			count  = 1
			action = "drop"
			[[rule]]
			name   = "again"
			match  = { segment = "syn+retransmission" }
			action = "pass"
			[server]
			script = "listen 8080"
			[client]
			script = "connect server:8080"`,
		"what the box concludes": `
			[lab]
			timeout = "1m"
			[[rule]]
			name   = "black"
			match  = { segment = "data", from = "client" }
			action = { blackhole = "client" }
			[[rule]]
			name   = "tell"
			at     = { state = "CLOSED", of = "client" }
			action = { reset = "server" }
			[server]
			script = """
			  listen 8080
			  accept
			  expect-error ECONNRESET
			  recv 4
			"""
			[client]
			script = """
			  set user-timeout 4s
			  connect server:8080
			  send ping
			  expect-error ETIMEDOUT
			  recv 4
			"""
			[[expect]]
			server = "CLOSED"
			[[expect]]
			rule  = "tell"
			fired = 1`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			passes(t, execute(t, text, Options{}))
		})
	}
}

// What is on its way may be once too often.
func TestEndWaitsForWhatMaySpoilIt(t *testing.T) {
	for name, link := range map[string]string{"slow": `delay = "1s"`, "narrow": `rate = "12kbit"`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fails(t, execute(t, `
				[lab]
				link = { `+link+` }
				[[rule]]
				name     = "fin"
				match    = { segment = "fin", from = "server" }
				action   = "pass"
				[server]
				script = """
				  listen 8080
				  accept
				  recv eof
				  close
				"""
				[client]
				script = """
				  connect server:8080
				  send 20000 bytes
				  close
				"""
				[[expect]]
				rule  = "fin"
				fired = 0`, Options{IP: 4}), "it fired ")
		})
	}
}

// What a host has sent without a timer, as a RST, and the box has not read yet, may still have
// something come of it.
func TestEndWaitsForWhatIsNotReadYet(t *testing.T) {
	const server = `
		[server]
		script = """
		  listen 8080
		  accept
		  expect-error ECONNRESET
		  recv 1
		  sleep 300ms
		  connect client:9
		"""
		[[expect]]
		error = "server: ECONNREFUSED"`
	tests := map[string]string{
		"of a script that slept": `
			[client]
			script = """
			  connect server:8080
			  sleep 3s
			  abort
			"""`,
		"of a host in a step": `
			[client]
			script = """
			  set linger 0s
			  connect server:8080
			  recv 1
			"""
			[[step]]
			at = "3s"
			do = "kill client"`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			passes(t, execute(t, server+text, Options{Through: func(_ int, d tunnel.Device) tunnel.Device { return lateDevice{d} }}))
		})
	}
}

// A lateDevice has packets read long after they were sent.
type lateDevice struct{ tunnel.Device }

func (d lateDevice) Queue(i int) tunnel.Queue { return lateQueue{d.Device.Queue(i)} }

type lateQueue struct{ tunnel.Queue }

func (q lateQueue) Unwrap() tunnel.Queue { return q.Queue }

func (q lateQueue) Read(b []byte) (n int, h tunnel.Header, err error) {
	if n, h, err = q.Queue.Read(b); err == nil {
		time.Sleep(5 * pollEvery)
	}
	return n, h, err
}
