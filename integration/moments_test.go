package integration

import (
	"fmt"
	"testing"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// TestMoments: rules that act without a segment, on two kernels that send none. The
// inferred states must be theirs throughout.
func TestMoments(t *testing.T) {
	for _, file := range []string{"at-idle", "at-state", "at-age", "at-asleep"} {
		for _, ip := range []int{4, 6} {
			for workers, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
				t.Run(fmt.Sprintf("%s/IPv%d, offload %v", file, ip, offload), func(t *testing.T) {
					t.Parallel()
					lab.Run(t, "testdata/"+file+".toml", lab.Options{IP: ip, Offload: offload, Workers: 1 + workers})
				})
			}
		}
	}
}
