package netns

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
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

// A Rule of policy routing: packets that it matches are looked up in a table, or go on at a
// later rule. Zero values match everything.
type Rule struct {
	V6       bool
	Priority int
	IIF      string       // where it came in; "lo" is what this host sends itself
	Dst      netip.Prefix `json:",omitzero"` // where it goes to
	TCP      bool         // TCP only
	Sport    [2]uint16    // from, to; both included
	Dport    [2]uint16
	Table    int
	Goto     int `json:",omitempty"` // the priority at which the walk goes on; then there is no Table
}

// AddRule adds a rule, behind those of its priority. It passes for the kernel's own, for those are all that
// systemd-networkd lets be when it is started again. The error is fs.ErrExist if it is there.
func (n *NS) AddRule(r Rule) error {
	return n.onRule(r, "add", func(h *netlink.Handle, rule *netlink.Rule) error {
		rule.Protocol = unix.RTPROT_KERNEL
		return h.RuleAdd(rule)
	})
}

// DelRule takes a rule away. The error is fs.ErrNotExist if there is none.
func (n *NS) DelRule(r Rule) error { return n.onRule(r, "delete", (*netlink.Handle).RuleDel) }

// LocalPriority is where the table of local addresses is looked up first for whatever packets: at 0, unless
// somebody has moved it.
func (n *NS) LocalPriority(v6 bool) (priority int, err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.route == nil {
		return 0, os.ErrClosed
	}
	rules, err := n.route.RuleList(family(v6))
	if i := slices.IndexFunc(rules, forAllToLocal); i >= 0 {
		return rules[i].Priority, err
	}
	return 0, err
}

// forAllToLocal tells whether a rule is the kernel's own of the table of local addresses, wherever it stands.
func forAllToLocal(r netlink.Rule) bool {
	all := netlink.NewRule()
	all.Family, all.Priority, all.Table, all.Protocol, all.Type = r.Family, r.Priority, TableLocal, r.Protocol, r.Type
	return reflect.DeepEqual(r, *all)
}

// DelRulesTo takes away all rules of an IP version that lead TCP to a table.
func (n *NS) DelRulesTo(table int, v6 bool) error {
	any := Rule{V6: v6, Priority: -1, TCP: true, Table: table} // the kernel looks at what is given only
	for {
		err := n.onRule(any, "delete", (*netlink.Handle).RuleDel)
		if errors.Is(err, unix.ENOENT) {
			return nil
		}
		if err != nil {
			return err
		}
	}
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

// frActGoto is FR_ACT_GOTO of linux/fib_rules.h.
const frActGoto = 2

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
	if r.Dst.IsValid() {
		rule.Dst = ipNet(r.Dst)
	}
	if r.Goto != 0 {
		rule.Type, rule.Goto = frActGoto, r.Goto
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
