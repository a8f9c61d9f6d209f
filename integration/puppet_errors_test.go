package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// processErrors are what a process is told after an exact RST. Each row goes on from where it says.
var processErrors = []struct{ before, says, then string }{
	{inSynSent, "RA", "error ECONNREFUSED"},
	{inSynRcvd, "R", "error ECONNRESET"},
	{listened, "R", "recv ECONNRESET, recv EOF, send 1 EPIPE"},
	{listened, "R", "send 1 ECONNRESET, send 1 EPIPE, recv EOF"},
	{listened, "R", "error ECONNRESET, recv EOF, send 1 EPIPE"},
	{listened + "say A len 10 honest\n", "R", "recv 10, recv ECONNRESET, recv EOF"},
	{inFinWait1, "R", "recv ECONNRESET, recv EOF"},
	{inFinWait2, "R", "recv ECONNRESET, recv EOF"},
	{closeWait, "R", "recv EOF, send 1 EPIPE, recv EOF"},
	{closeWait, "R", "send 1 EPIPE, recv EOF"},
	{closeWait, "R", "error EPIPE, recv EOF"},
	{listened + "say FA len 10 honest\n", "R", "recv 10, recv EOF, send 1 EPIPE"},
	{inClosing, "R", "recv EOF"},
	{inLastAck, "R", "recv EOF"},
}

// TestProcessErrors: what the kernel has told the process once a RST has ended its socket.
func TestProcessErrors(t *testing.T) {
	for _, ip := range []int{4, 6} {
		p := newPuppet(t, ip, nil)
		for _, row := range processErrors {
			t.Run(fmt.Sprintf("IPv%d %s: %s", ip, lastState(row.before), row.then), func(t *testing.T) {
				script := row.before + "say " + row.says + "\n= CLOSED\napp " + strings.ReplaceAll(row.then, ", ", "\napp ")
				if !p.agrees(func() bool { return p.runAll(script) }) {
					t.Error(p)
				}
			})
		}
	}
}

// TestRFC1337: with that setting neither a RST nor what provokes one ends TIME_WAIT.
func TestRFC1337(t *testing.T) {
	for _, ip := range []int{4, 6} {
		p := newPuppet(t, ip, hostSettings{"tcp_rfc1337": "1"})
		for _, says := range []string{"R", "R ts none", "R seq +1", "A seq -10 len 5", "S seq -100000 ts none"} {
			script := inTimeWait + "say " + says + "\n= TIME_WAIT"
			if !p.agrees(func() bool { return p.runAll(script) }) {
				t.Errorf("IPv%d, %s: %v", ip, says, p)
			}
		}
	}
}

// TestCookieRepeatsISN: a server that sends SYN cookies derives its initial number from the client's, so
// that two incarnations of one 4-tuple may have the same: a segment of the first one then belongs
// to the second byte for byte, and its application reads it.
func TestCookieRepeatsISN(t *testing.T) {
	for _, ip := range []int{4, 6} {
		p := newPuppet(t, ip, hostSettings{"tcp_syncookies": "2"})
		if !p.agrees(p.cookieRepeats) {
			t.Errorf("IPv%d: %v", ip, p)
		}
	}
}

// cookieRepeats plays two incarnations. The cookies of two minutes differ: the next try is in one.
func (p *puppet) cookieRepeats() bool {
	if !p.opens() {
		return false
	}
	p.say([]string{"PA", "len", "10", "honest"})
	said := p.segment([]string{"PA", "seq", "-10", "len", "10"}) // by the numbers of now
	p.app([]string{"recv", "10"})
	p.say([]string{"R", "honest"})
	p.close()
	p.hear()

	p.port-- // the same 4-tuple again
	p.begin()
	if !p.opens() {
		return false
	}
	nstest.Must(p.t, p.dev.Queue(0).Write(tunnel.Header{}, said.Append(nil), nil))
	p.app([]string{"recv", "10"})
	return len(p.wrong) == 0
}

// opens opens a connection without timestamps: those of the second one would be newer.
func (p *puppet) opens() bool {
	p.offers = nil
	p.say([]string{"S", "honest"})
	p.hear() // the cookie; there is no socket
	p.say([]string{"A", "honest"})
	return p.agree()
}
