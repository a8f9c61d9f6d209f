package lab

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// counters are what a host's kernel has counted of TCP (TcpExt in /proc/net/netstat),
// by name.
type counters map[string]uint64

// countersOf reads those of a host.
func countersOf(n *netns.NS) (c counters, err error) {
	err = n.Do(func() error {
		text, err := os.ReadFile("/proc/thread-self/net/netstat")
		c = parseCounters(string(text))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the counters of TCP: %w", err)
	}
	return c, nil
}

// parseCounters reads the two lines of TcpExt: one of names, one of numbers.
func parseCounters(text string) counters {
	c := make(counters)
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0 || words[0] != "TcpExt:":
		case names == nil:
			names = words
		case len(words) == len(names):
			for i, name := range names[1:] {
				c[name], _ = strconv.ParseUint(words[i+1], 10, 64)
			}
		}
	}
	return c
}
