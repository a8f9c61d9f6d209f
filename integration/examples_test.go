package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// TestExamples runs every example between two real kernels: over both IP
// versions, with one segment a read and with super-packets.
func TestExamples(t *testing.T) {
	files, err := filepath.Glob("../examples/rules/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".toml")
		for _, ip := range []int{4, 6} {
			for _, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
				t.Run(fmt.Sprintf("%s/offload-%v", name, offload), func(t *testing.T) {
					t.Parallel()
					lab.Run(t, file, lab.Options{IP: ip, Offload: offload})
				})
			}
		}
	}
}
