package integration

import (
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// sideBySide is how many labs run at once. They wait for timers of the kernel most of
// the time, so that they are bound by no number of cores, as t.Parallel would have it.
const sideBySide = 6

// TestExamples runs every example between two real kernels: over both IP
// versions, with one segment a read and with super-packets. What has come in over IPv4 as
// super-packets is played again, whole and cut into segments, and gives the same events.
func TestExamples(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../examples/rules/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no examples found: %v", err)
	}
	var runs []func()
	for _, file := range files {
		for _, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
			runs = append(runs, func() { runExample(t, file, offload) })
		}
	}
	together(sideBySide, runs)
}

// together runs them all, n at once, and returns when the last one has ended.
func together(n int, runs []func()) {
	next := make(chan func())
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			for run := range next {
				run()
			}
		})
	}
	for _, run := range runs {
		next <- run
	}
	close(next)
	wg.Wait()
}

// runExample runs a file over the IP versions that it does not forbid.
func runExample(t *testing.T, file string, offload tunnel.OffloadMode) {
	name := strings.TrimSuffix(filepath.Base(file), ".toml")
	t.Run(fmt.Sprintf("%s/offload-%v", name, offload), func(t *testing.T) {
		for _, ip := range []int{4, 6} {
			if offload == tunnel.On && ip == 4 {
				recordExample(t, file)
				continue
			}
			lab.Run(t, file, lab.Options{IP: ip, Offload: offload})
		}
	})
}
