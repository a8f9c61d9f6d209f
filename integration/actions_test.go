package integration

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// TestActions: what actions do to the life of a connection between two kernels. The
// inferred states must be theirs throughout.
func TestActions(t *testing.T) {
	files, err := filepath.Glob("testdata/actions/*.toml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no files found: %v", err)
	}
	for _, file := range files {
		for _, ip := range []int{4, 6} {
			for _, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
				name := strings.TrimSuffix(filepath.Base(file), ".toml")
				t.Run(fmt.Sprintf("%s/IPv%d, offload %v", name, ip, offload), func(t *testing.T) {
					t.Parallel()
					lab.Run(t, file, lab.Options{IP: ip, Offload: offload})
				})
			}
		}
	}
}

// mark is what the streams below hold here and there.
const mark = "[mark]"

const (
	longer = `
[[rule]]
name = "longer"
match = { segment = "data" }
action = { replace = { find = "[mark]", with = "[a mark that has grown]" } }
`
	shorter = `
[[rule]]
name = "shorter"
match = { segment = "data" }
action = { replace = { find = "[mark]" } }
`
	other = `
[[rule]]
name = "other"
match = { segment = "data" }
action = { replace = { find = "[mark]", with = "<MARK>" } }
`
	crumble = `
[[rule]]
name = "crumble"
match = { segment = "data" }
every = 2
action = { split = 300 }
`
	shifted = `
[[rule]]
name = "shift"
match = { segment = ["syn", "syn-ack"] }
action = { rewrite = { shift_seq = -2000000000, shift_timestamp = 123456789 } }
`
	disorder = `
[[rule]]
name = "disorder"
match = { segment = "data" }
probability = "3%"
action = { reorder = { behind = 2, timeout = "2ms" } }
`
	narrow = `
[[rule]]
name = "narrow"
match = { segment = "data" }
probability = "10%"
action = { rewrite = { window = 3000, ttl = 9, set = "P" } }
`
)

// TestEditedStreams: a stream each way, at the same time, arrives as it was sent but for
// what was asked for, whatever else befalls it.
func TestEditedStreams(t *testing.T) {
	tests := []struct{ name, rules, with string }{
		{"longer", longer, "[a mark that has grown]"},
		{"shorter", shorter, ""},
		{"of the same length", other, "<MARK>"},
		{"longer, with losses", longer + loseSome, "[a mark that has grown]"},
		{"shorter, with losses", shorter + loseSome, ""},
		{"split, with losses", crumble + loseSome, mark},
		{"shifted, with losses", shifted + loseSome, mark},
		{"window and flags", narrow, mark},
		{"longer, with everything", shifted + longer + crumble + narrow + loseSome + doubleSome + disorder + delaySome, "[a mark that has grown]"},
		{"shorter, with everything", shifted + shorter + crumble + loseSome + doubleSome + keepSome + delaySome, ""},
	}
	for _, tt := range tests {
		for _, ip := range []int{4, 6} {
			for _, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
				t.Run(fmt.Sprintf("%s/IPv%d, offload %v", tt.name, ip, offload), func(t *testing.T) {
					t.Parallel()
					l := newLine(t, lineConfig{ip: ip, offload: offload, rules: tt.rules, box: engine.Config{Seed: 3}})
					l.exchange(l.connect(), tt.with)
					l.end()
				})
			}
		}
	}
}

// exchange has both ends send a stream with marks in it, and close. Their peers must
// get it with the marks replaced, but for the few that lie across two segments.
func (l *line) exchange(ends [2]int, with string) {
	l.t.Helper()
	var acts []func() error
	for from := range 2 {
		data, marks := markedData(from, 1<<20)
		acts = append(acts, func() error {
			if err := send(ends[from], data, 0); err != nil {
				return err
			}
			return unix.Shutdown(ends[from], unix.SHUT_WR)
		}, func() error {
			got, err := readAll(ends[1-from])
			if err != nil {
				return err
			}
			missed, err := diff(data, got, with)
			if err == nil && missed > marks/10 {
				err = fmt.Errorf("%d of %d marks are as they were", missed, marks)
			}
			return err
		})
	}
	if err := both(acts...); err != nil {
		l.t.Fatal(err)
	}
}

// markedData is some n bytes that hold a mark now and then, and no bracket else.
func markedData(from, n int) (data []byte, marks int) {
	r := rand.New(rand.NewPCG(uint64(from), 5))
	for len(data) < n {
		for range 50 + r.IntN(400) {
			data = append(data, byte('a'+r.IntN(26)))
		}
		data = append(data, mark...)
		marks++
	}
	return data, marks
}

// readAll reads a stream up to the peer's FIN.
func readAll(fd int) (all []byte, err error) {
	buf := make([]byte, 256<<10)
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil || n == 0:
			return all, err
		}
		all = append(all, buf[:n]...)
	}
}

// diff holds what has arrived against what was sent, and counts the marks that were not replaced.
func diff(sent, got []byte, with string) (missed int, err error) {
	total := len(got)
	for {
		plain, rest, marked := bytes.Cut(sent, []byte(mark))
		if !bytes.HasPrefix(got, plain) {
			return missed, fmt.Errorf("%d bytes have arrived, and from byte %d on they are others", total, total-len(got))
		}
		got = got[len(plain):]
		if !marked {
			if len(got) > 0 {
				return missed, fmt.Errorf("%d bytes too many have arrived", len(got))
			}
			return missed, nil
		}
		sent = rest
		switch {
		case bytes.HasPrefix(got, []byte(mark)):
			if got = got[len(mark):]; with != mark {
				missed++
			}
		case bytes.HasPrefix(got, []byte(with)):
			got = got[len(with):]
		default:
			return missed, fmt.Errorf("a mark has become something else at byte %d", total-len(got))
		}
	}
}
