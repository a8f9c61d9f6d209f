package inline

import (
	"errors"
	"os"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// attachSwitches are the sysctls that an attachment needs. Those of conf.default are what our
// devices begin with, for where their own cannot be written either.
var attachSwitches = []assignment{
	{"net.ipv4.tcp_early_demux", "0"},
	{"net.ipv4.ip_forward", "1"},
	{"net.ipv4.conf.all.rp_filter", "0"},
	{"net.ipv4.conf.default.rp_filter", "0"},
	{"net.ipv4.conf.default.send_redirects", "0"},
	{"net.ipv4.conf.default.accept_local", "1"},
}

var attachSwitches6 = []assignment{{"net.ipv6.conf.all.forwarding", "1"}}

// CheckAttach tells whether a namespace has the sysctls that an attachment needs, or lets them be
// written, which most containers do not. The error is a *netns.MissingError; its hint is what
// the container's runtime is to be told.
func CheckAttach(ns *netns.NS) error {
	switches := attachSwitches
	if hasIPv6(ns) {
		switches = append(switches[:len(switches):len(switches)], attachSwitches6...)
	}
	var options []string
	for _, s := range switches {
		if is, err := ns.SysctlGet(s.Key); err != nil || is != s.Value && !writable(ns, s.Key) {
			options = append(options, "--sysctl "+s.Key+"="+s.Value)
		}
	}
	if len(options) == 0 {
		return nil
	}
	return &netns.MissingError{
		What: "sysctls", Err: errors.New("those that an attachment needs cannot be written here"),
		Hint: netns.SysctlHint + "; or start what shares its network with it with " + strings.Join(options, " "),
	}
}

// writable tells whether a sysctl may be written.
func writable(ns *netns.NS, key string) bool {
	return ns.Do(func() error {
		f, err := os.OpenFile("/proc/sys/"+strings.ReplaceAll(key, ".", "/"), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		return f.Close()
	}) == nil
}
