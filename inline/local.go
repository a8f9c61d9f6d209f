package inline

import (
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// asLocal has what a cell sends to the host's loopback come from there, for services that let
// nobody else in: Redis in protected mode, PostgreSQL as its pg_hba.conf is made.
//
//	10.78.0.2 ► 10.78.0.1 ── arriving ──► 10.78.0.2 ► 127.0.0.1 ── arrived ──► 127.0.0.1 ► 127.0.0.1
//
// Answers go to the loopback address, where the kernel takes them for a part of the connection and
// sends them to the command after all.
func (c *Cell) asLocal(v6 bool) (netns.PacketRule, error) {
	ports, err := portsApart(c.host)
	return netns.PacketRule{
		Hook: netns.Arrived, In: c.devices[1].Name(), Src: c.net(v6), Dst: loopbackNets[version(loopback(v6))],
		Do: netns.Rename, From: loopback(v6), Ports: ports,
	}, err
}

// firstPort is the first that is not for servers that the system starts (RFC 6335, section 6).
const firstPort = 1024

// portsApart are ports that the host's own clients do not get: a connection that one of
// them has had since before the kernel tracked connections would be met otherwise. Where all are
// for them the zero value is returned, and a port stays as it is unless it is known to be taken.
func portsApart(host *netns.NS) (ports [2]uint16, err error) {
	text, err := host.SysctlGet("net.ipv4.ip_local_port_range")
	if err != nil {
		return ports, err
	}
	var from, to uint16
	if _, err := fmt.Sscan(text, &from, &to); err != nil {
		return ports, fmt.Errorf("ip_local_port_range %q: %w", text, err)
	}
	below, above := int(from)-firstPort, math.MaxUint16-int(to)
	switch {
	case below <= 0 && above <= 0:
		return ports, nil
	case below >= above:
		return [2]uint16{firstPort, from - 1}, nil
	default:
		return [2]uint16{to + 1, math.MaxUint16}, nil
	}
}

// unlearn has the host forget of its loopback what connections of the cell, with all their faults, have
// taught it. In a namespace of users nobody may do that, and it stays.
func (c *Cell) unlearn() error {
	var errs []error
	for _, v6 := range []bool{false, true} {
		if err := c.host.ForgetMetrics(loopback(v6)); !errors.Is(err, fs.ErrPermission) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
