package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// TestLinux: what Linux makes of faults, of sysctls and of socket options: states, errors, and which
// timer is the first. A kernel that does otherwise fails, and so does a box that thinks so.
func TestLinux(t *testing.T) {
	files, err := filepath.Glob("testdata/linux/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files found: %v", err)
	}
	var runs []func()
	for _, file := range files {
		for ip, offload := range map[int]tunnel.OffloadMode{4: tunnel.On, 6: tunnel.Off} {
			name := fmt.Sprintf("%s/IPv%d, offload %v", strings.TrimSuffix(filepath.Base(file), ".toml"), ip, offload)
			runs = append(runs, func() {
				t.Run(name, func(t *testing.T) { lab.Run(t, file, lab.Options{IP: ip, Offload: offload}) })
			})
		}
	}
	together(10, runs)
}
