package netns

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// What the kernel's tcp_metrics.h calls them.
const (
	metricsDel   = 2 // TCP_METRICS_CMD_DEL
	metricsAddr4 = 1 // TCP_METRICS_ATTR_ADDR_IPV4
	metricsAddr6 = 2 // TCP_METRICS_ATTR_ADDR_IPV6
)

// ForgetMetrics has the namespace forget what connections to an address have taught it, round trips
// and congestion, by which it sets up the next ones. There need not be anything. Where only the
// machine's own root may do that, as in a namespace of users, it stays: the error is fs.ErrPermission.
func (n *NS) ForgetMetrics(a netip.Addr) error {
	err := n.Do(func() error {
		family, err := netlink.GenlFamilyGet("tcp_metrics")
		if err != nil {
			return err
		}
		kind := metricsAddr4
		if a.Is6() {
			kind = metricsAddr6
		}
		req := nl.NewNetlinkRequest(int(family.ID), unix.NLM_F_ACK)
		req.AddData(&nl.Genlmsg{Command: metricsDel, Version: uint8(family.Version)})
		req.AddData(nl.NewRtAttr(kind, a.AsSlice()))
		_, err = req.Execute(unix.NETLINK_GENERIC, 0)
		return err
	})
	if err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("tcp metrics of %v: %w", a, err)
	}
	return nil
}
