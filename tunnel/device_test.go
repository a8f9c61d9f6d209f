package tunnel_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/tunnel"
)

// A device goes on when somebody gives it another name, and tells when somebody takes it away.
func TestRenamedAndDeleted(t *testing.T) {
	ns := newNetns(t)
	d := ns.open(t, tunnel.Config{})
	ns.must(t, func() error {
		link, err := netlink.LinkByName(d.Name())
		return errors.Join(err, netlink.LinkSetName(link, "other"))
	})
	if n, err := d.Dropped(); n != 0 || err != nil {
		t.Errorf("with another name: %d dropped, %v", n, err)
	}
	ns.must(t, func() error {
		link, err := netlink.LinkByName("other")
		return errors.Join(err, netlink.LinkDel(link))
	})
	_, _, err := d.Queue(0).Read(make([]byte, tunnel.MaxPacket))
	if want := "read mgl0: the interface has been deleted"; !errors.Is(err, unix.EBADFD) || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("deleted, it is %v", err)
	}
}
