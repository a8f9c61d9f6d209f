package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func inodeOf(info fs.FileInfo) uint64 { return info.Sys().(*syscall.Stat_t).Ino }

// The routing tables that a namespace has from the start.
const (
	TableLocal   = unix.RT_TABLE_LOCAL
	TableMain    = unix.RT_TABLE_MAIN
	TableDefault = unix.RT_TABLE_DEFAULT
)

// A Rule of policy routing: packets that it matches are looked up in a table.
// Zero values match everything.
type Rule struct {
	V6       bool
	Priority int
	IIF      string    // where it came in; "lo" is what this host sends itself
	TCP      bool      // TCP only
	Sport    [2]uint16 // from, to; both included
	Dport    [2]uint16
	Table    int // 0: unreachable
}

// AddRule adds a rule.
func (n *NS) AddRule(r Rule) error { return n.onRule(r, "add", (*netlink.Handle).RuleAdd) }

// DelRule takes a rule away. There being none is no error.
func (n *NS) DelRule(r Rule) error {
	err := n.onRule(r, "delete", (*netlink.Handle).RuleDel)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

func (n *NS) onRule(r Rule, verb string, do func(*netlink.Handle, *netlink.Rule) error) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return os.ErrClosed
	}
	if err := do(n.route, r.netlink()); err != nil {
		return fmt.Errorf("%s rule %d: %w", verb, r.Priority, err)
	}
	return nil
}

// frActUnreachable is FR_ACT_UNREACHABLE of linux/fib_rules.h.
const frActUnreachable = 7

func (r Rule) netlink() *netlink.Rule {
	rule := netlink.NewRule()
	rule.Family = family(r.V6)
	rule.Priority, rule.IifName, rule.Table = r.Priority, r.IIF, r.Table
	if r.TCP {
		rule.IPProto = unix.IPPROTO_TCP
	}
	if r.Sport[1] != 0 {
		rule.Sport = netlink.NewRulePortRange(r.Sport[0], r.Sport[1])
	}
	if r.Dport[1] != 0 {
		rule.Dport = netlink.NewRulePortRange(r.Dport[0], r.Dport[1])
	}
	if r.Table == 0 {
		rule.Type = frActUnreachable
	}
	return rule
}

func family(v6 bool) int {
	if v6 {
		return unix.AF_INET6
	}
	return unix.AF_INET
}

// DefaultRoute sends everything that is looked up in a table through a device, which
// has to be up. The route goes with the device.
func (n *NS) DefaultRoute(v6 bool, dev string, table int) error {
	err := n.onLink(dev, func(l netlink.Link) error {
		return n.route.RouteAdd(&netlink.Route{
			Dst: everywhere(v6), LinkIndex: l.Attrs().Index, Table: table, Scope: netlink.SCOPE_LINK,
		})
	})
	if err != nil {
		return fmt.Errorf("default route through %q in table %d: %w", dev, table, err)
	}
	return nil
}

// everywhere is the destination of a default route.
func everywhere(v6 bool) *net.IPNet {
	if v6 {
		return ipNet(netip.PrefixFrom(netip.IPv6Unspecified(), 0))
	}
	return ipNet(netip.PrefixFrom(netip.IPv4Unspecified(), 0))
}

// Links lists the names of the namespace's devices.
func (n *NS) Links() (names []string, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return nil, os.ErrClosed
	}
	links, err := n.route.LinkList()
	for _, l := range links {
		names = append(names, l.Attrs().Name)
	}
	return names, err
}
