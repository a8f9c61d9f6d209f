package tunnel

import (
	"errors"
	"testing"

	"golang.org/x/sys/unix"
)

func TestVerify(t *testing.T) {
	const asked = unix.IFF_TUN | unix.IFF_NO_PI
	tests := []struct {
		name  string
		asked string
		got   string
		flags uint16
		ok    bool
	}{
		{"as asked", "box", "box", asked, true},
		{"pattern", "mgl%d", "mgl3", asked, true},
		{"flags that say nothing to us", "box", "box", asked | unix.IFF_NOFILTER, true},

		// something else
		{"name cut", "box-of-the-middle", "box-of-the-midd", asked, false},
		{"header that was not asked for", "box", "box", asked | unix.IFF_VNET_HDR, false},
		{"persistent", "box", "box", asked | unix.IFF_PERSIST, false},
		{"packet information", "box", "box", unix.IFF_TUN, false},
		{"tap", "box", "box", unix.IFF_TAP | unix.IFF_NO_PI, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := compare(test.got, test.flags, test.asked, asked)
			if (err == nil) != test.ok || err != nil && !errors.Is(err, errMismatch) {
				t.Errorf("asked for %q, got %q with %#04x: %v", test.asked, test.got, test.flags, err)
			}
		})
	}
}
