package inline

import (
	"os"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// An attachment whose process was killed, and whose record went with its container, is not in
// the way of the next one, which takes its rules away.
func TestAttachWhereARecordIsLost(t *testing.T) {
	for family, name := range []string{"IPv4", "IPv6"} {
		t.Run(name, func(t *testing.T) {
			p := newPair(t, family)
			must(t, p.server.Sysctl("net.ipv6.conf.all.forwarding", "1"))
			for _, s := range attachSwitches { // as the container's runtime has to
				must(t, p.server.Sysctl(s.Key, s.Value))
			}
			before := nstest.Face(t, p.server)
			for _, port := range []uint16{9000, 8080} {
				w, err := Attach(p.server, []Ports{{port, port}}, tunnel.Config{})
				must(t, err)
				for _, d := range w.Devices() {
					must(t, d.Close())
				}
				must(t, os.Remove(w.setup.file))
			}
			w, err := Attach(p.server, service, tunnel.Config{})
			must(t, err)
			t.Run("attached", func(t *testing.T) {
				run(t, w, "")
				exchange(t, p.near, p.far, "through the box")
			})
			must(t, w.Close())
			exchange(t, p.near, p.far, "afterwards")
			nstest.SameFace(t, p.server, before)
		})
	}
}
