package inline

import (
	"errors"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// Our devices have nothing to say of their own: no address of the link from which they would look for
// routers, no group that they would report. What is counted as other is others'.
func TestDevicesAreQuiet(t *testing.T) {
	for _, forwards := range []string{"0", "1"} {
		host := newHost(t)
		must(t, host.Sysctl("net.ipv6.conf.default.addr_gen_mode", "0"))
		must(t, host.Sysctl(forward6, forwards))
		c, err := NewCell(host, &Names{}, tunnel.Config{})
		must(t, err)
		p, err := NewProxy(host, tunnel.Config{})
		must(t, err)
		put(t, p, onLoopback6)
		w, err := Attach(host, service, tunnel.Config{})
		must(t, err)
		t.Cleanup(func() { must(t, w.Close()); must(t, p.Close()); must(t, c.Close()) })
		for _, ns := range []*netns.NS{host, c.NS()} {
			for _, dev := range []string{gatewayOf(c), virtualName, upstreamName, outerName, localName} {
				for _, line := range linesOf(t, ns, "dev_snmp6/"+dev, "Icmp6OutMsgs") {
					if strings.Fields(line)[1] != "0" {
						t.Errorf("forwarding %s: %s: %s", forwards, dev, line)
					}
				}
			}
			talk := append(linesOf(t, ns, "if_inet6", "fe80.*mangle"), linesOf(t, ns, "igmp6", "mangle.*ff")...)
			for _, line := range talk {
				if !strings.Contains(line, "ff020000000000000000000000000001") && !strings.Contains(line, "ff010000000000000000000000000001") {
					t.Errorf("forwarding %s: %s", forwards, line)
				}
			}
		}
		wants(t, host, "net/ipv6/conf/"+virtualName+"/forwarding", "1")
	}
}

func gatewayOf(c *Cell) string { return c.Devices()[1].Name() }

// linesOf are those of a file in /proc/net that match; none if it is not there.
func linesOf(t *testing.T, ns *netns.NS, file, what string) (all []string) {
	t.Helper()
	must(t, ns.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/" + file)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		all = regexp.MustCompile("(?m)^.*"+what+".*$").FindAllString(string(text), -1)
		return err
	}))
	return all
}
