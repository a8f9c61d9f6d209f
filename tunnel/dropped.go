package tunnel

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// openCounters opens the interface statistics of the calling thread's namespace.
// The file stays tied to it, so that any thread can read it later.
func openCounters() (*os.File, error) {
	return os.Open("/proc/thread-self/net/dev")
}

// readDropped reads tx_dropped of the named interface. Reading at an offset
// leaves the file's own position alone, and from 0 the kernel counts afresh.
func readDropped(counters io.ReaderAt, name string) (uint64, error) {
	n, err := parseDropped(io.NewSectionReader(counters, 0, 1<<30), name)
	if err != nil {
		return 0, fmt.Errorf("read dropped packets of %s: %w", name, err)
	}
	return n, nil
}

var errNoCounters = errors.New("the interface is not listed")

// parseDropped finds the count in the format of /proc/net/dev: after the name, 8
// numbers about receiving and 8 about transmitting, of which the fourth is drop.
// The kernel transmits what we read.
func parseDropped(table io.Reader, name string) (uint64, error) {
	const transmitDrop = 8 + 3
	lines := bufio.NewScanner(table)
	for lines.Scan() {
		iface, numbers, ok := strings.Cut(lines.Text(), ":")
		if !ok || strings.TrimSpace(iface) != name {
			continue
		}
		fields := strings.Fields(numbers)
		if len(fields) <= transmitDrop {
			return 0, fmt.Errorf("%d columns in %q", len(fields), lines.Text())
		}
		return strconv.ParseUint(fields[transmitDrop], 10, 64)
	}
	return 0, errors.Join(errNoCounters, lines.Err())
}
