package inline

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"

	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The devices of a cell: the inner one in the namespace of its own, the outer one on the
// host, whose number is that of the cell's network.
const (
	innerName   = "mangle0"
	gatewayName = "manglex%d"
	maxCells    = 256
)

// A Cell is a namespace for a command, which reaches everything that the host reaches,
// through the box:
//
//	command ── mangle0 ── box ── manglex0 ── host ──► masqueraded, elsewhere
//	10.78.0.2                    10.78.0.1   │
//	                                         └──────► 127.0.0.1, ::1: what listens on the host's loopback
//
// If the process is killed, the devices and the table of nftables vanish with it.
type Cell struct {
	Way
	ns   *netns.NS
	host *netns.NS
	nets [2]netip.Prefix // of the two devices, in IPv4 and IPv6
}

// NewCell makes a cell on a host. The host's names become those that the command shall see.
func NewCell(host *netns.NS, names *Names, c tunnel.Config) (*Cell, error) {
	cell := &Cell{Way: Way{setup: newSetup(host)}, host: host}
	err := cell.setup.begin("cell")
	if err == nil {
		err = cell.begin(c, names)
	}
	if err != nil {
		return nil, fmt.Errorf("a namespace for the command: %w", errors.Join(err, cell.Close()))
	}
	return cell, nil
}

// NS is the namespace of the command. It is the Cell's, which closes it.
func (c *Cell) NS() *netns.NS { return c.ns }

// Gateway is the host's address as the command sees it.
func (c *Cell) Gateway(v6 bool) netip.Addr { return own(c.net(v6)) }

// Address is the command's own.
func (c *Cell) Address(v6 bool) netip.Addr { return c.Gateway(v6).Next() }

func (c *Cell) net(v6 bool) netip.Prefix {
	if v6 {
		return c.nets[1]
	}
	return c.nets[0]
}

// Close takes the cell down. Whatever runs in it has no network any more.
func (c *Cell) Close() error {
	err := c.Way.Close()
	if c.ns != nil {
		err = errors.Join(err, c.ns.Close(), c.unlearn())
	}
	return err
}

func (c *Cell) begin(config tunnel.Config, names *Names) (err error) {
	if c.ns, err = netns.New(); err != nil {
		return err
	}
	config = sized(config, c.host.DefaultMTU())
	config.Name = innerName
	if err := c.open(c.ns, 0, config); err != nil {
		return err
	}
	config.Name = gatewayName
	if err := c.open(c.host, 1, config); err != nil {
		return err
	}
	if err := c.number(); err != nil {
		return err
	}
	for _, d := range c.devices {
		if err := tunnel.Up(d); err != nil {
			return err
		}
	}
	if err := c.addresses(); err != nil {
		return err
	}
	gateway6 := netip.Addr{}
	if c.hasIPv6() {
		gateway6 = c.Gateway(true)
	}
	return c.connect(names.in(c.Gateway(false), gateway6))
}

// number gives the cell its networks. The kernel has chosen the number of the device, so no
// other cell has it.
func (c *Cell) number() error {
	var n int
	if _, err := fmt.Sscanf(c.devices[1].Name(), gatewayName, &n); err != nil || n >= maxCells {
		return fmt.Errorf("there are %d cells already", maxCells)
	}
	c.nets = [2]netip.Prefix{
		netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 78, byte(n), 0}), 30),
		netip.PrefixFrom(netip.AddrFrom16([16]byte{0: 0xfd, 1: 0x78, 7: byte(n)}), 126),
	}
	return nil
}

func (c *Cell) hasIPv6() bool { return hasIPv6(c.host) && hasIPv6(c.ns) }

// addresses gives both devices theirs, and the command a way to everywhere.
func (c *Cell) addresses() error {
	for _, v6 := range []bool{false, true} {
		if v6 && !c.hasIPv6() {
			continue
		}
		if v6 {
			if err := errors.Join(enableIPv6(c.ns, innerName), enableIPv6(c.host, c.devices[1].Name())); err != nil {
				return err
			}
		}
		if err := c.ns.AddAddr(innerName, netip.PrefixFrom(c.Address(v6), c.net(v6).Bits())); err != nil {
			return err
		}
		outer := c.devices[1].Name()
		if err := errors.Join(c.host.AddAddr(outer, single(c.Gateway(v6))), c.host.Claim(c.net(v6), outer)); err != nil {
			return err
		}
		if v6 && !c.host.HasDefaultRoute(true) {
			continue // connecting there fails at once, as it does on the host
		}
		if err := c.ns.AddRoute(all(v6), innerName); err != nil {
			return err
		}
	}
	return nil
}

// connect lets packets of the cell out into the world, and those to the gateway to what
// listens on the host's loopback, its resolver first.
func (c *Cell) connect(resolver netip.Addr) error {
	v6, dev := c.hasIPv6(), c.devices[1].Name()
	if err := c.setup.forwarding(v6 && c.host.HasDefaultRoute(true)); err != nil {
		return err
	}
	for _, h := range []netns.Hook{netns.Forwarded, netns.Delivered} {
		if err := c.setup.admit(h, dev); err != nil {
			return err
		}
	}
	if err := c.setup.ownSysctl(dev, "route_localnet=1"); err != nil {
		return err
	}
	rules := c.dns(c.toLoopback(false), resolver)
	families := []bool{false}
	if v6 {
		if err := c.host.AddLocalRoute(netip.IPv6Loopback(), dev); err != nil {
			return err
		}
		families = append(families, true)
	}
	for _, v6 := range families {
		local, err := c.asLocal(v6)
		if err != nil {
			return err
		}
		rules = append(rules, c.toLoopback(v6), local, c.masquerade(v6))
	}
	return c.setup.translate("cell", append(rules, c.uninvited())...)
}

// uninvited keeps out who would reach the command from beyond the host, past the firewall of which
// only the answers to the command were asked.
func (c *Cell) uninvited() netns.PacketRule {
	return netns.PacketRule{Hook: netns.Forwarded, NotIn: ourDevices, Out: c.devices[1].Name(), New: true, Do: netns.Refuse}
}

// toLoopback leads what comes to the gateway to the host's loopback.
func (c *Cell) toLoopback(v6 bool) netns.PacketRule {
	return netns.PacketRule{
		Hook: netns.Arriving, In: c.devices[1].Name(), Dst: single(c.Gateway(v6)),
		Do: netns.Redirect, To: netip.AddrPortFrom(loopback(v6), 0),
	}
}

// masquerade has what goes elsewhere go there in the host's name.
func (c *Cell) masquerade(v6 bool) netns.PacketRule {
	return netns.PacketRule{Hook: netns.Leaving, Src: c.net(v6), NotTo: c.devices[1].Name(), Do: netns.Masquerade}
}

// dns leads questions that are sent to the gateway to the host's resolver.
func (c *Cell) dns(inside netns.PacketRule, resolver netip.Addr) (rules []netns.PacketRule) {
	if !resolver.IsValid() {
		return nil
	}
	inside.Dport, inside.To = 53, netip.AddrPortFrom(resolver, 0)
	for _, proto := range []uint8{syscall.IPPROTO_UDP, syscall.IPPROTO_TCP} {
		inside.Proto = proto
		rules = append(rules, inside)
	}
	return rules
}
