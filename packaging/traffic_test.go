package packaging

import (
	"errors"
	"io"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// Where the unit is inline as it is packaged.
const (
	upstream = "127.0.0.1:6379"
	rulesIn  = "/etc/tcpmangle/rules.toml"
)

var proxied = netip.MustParseAddrPort("198.18.0.2:6379")

// refusing is a rule file whose effect is seen at once.
const refusing = `
[[rule]]
name   = "refuse"
match  = { port = 6379, segment = "syn" }
actions = [{ reset = { to = "client" } }, "drop"]
`

// echo is a service of the machine that says what it hears.
func echo(t *testing.T, m *machine, address string) {
	t.Helper()
	l := nstest.Listen(t, m.net, address)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

// dial connects through the box.
func dial(t *testing.T, m *machine) *net.TCPConn {
	t.Helper()
	c, err := nstest.Dial(m.net, proxied)
	nstest.Must(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

// exchange says something, and hears it.
func exchange(t *testing.T, c *net.TCPConn, words string) {
	t.Helper()
	nstest.Must(t, c.SetDeadline(time.Now().Add(patience)))
	_, err := io.WriteString(c, words)
	nstest.Must(t, err)
	heard := make([]byte, len(words))
	if _, err := io.ReadFull(c, heard); err != nil || string(heard) != words {
		t.Fatalf("%q comes back as %q: %v", words, heard, err)
	}
}

// wantRefused fails unless the rule of refusing is in force.
func wantRefused(t *testing.T, m *machine) {
	t.Helper()
	c, err := nstest.Dial(m.net, proxied)
	if err == nil {
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("connect: %v, want %v", err, syscall.ECONNREFUSED)
	}
}
