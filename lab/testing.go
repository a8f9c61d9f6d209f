package lab

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// Run executes a file as a test, a subtest for each family that it names, and fails
// with the ladder and the reasons. A machine that cannot run labs skips it, or fails
// it where TCPMANGLE_REQUIRE_TUN=1 is set. At most one Options may be given.
//
//	func TestLastAckLost(t *testing.T) { lab.Run(t, "last-ack-lost.toml") }
func Run(t testing.TB, path string, opts ...Options) {
	t.Helper()
	f, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	ips := f.IP
	if o.IP != 0 {
		ips = []int{o.IP}
	}
	for _, ip := range ips {
		o.IP = ip
		subtest(t, fmt.Sprintf("IPv%d", ip), func(t testing.TB) { runOnce(t, f, o) })
	}
}

// subtest runs f as a subtest, if t knows such; a benchmark's are of another kind.
func subtest(t testing.TB, name string, f func(testing.TB)) {
	t.Helper()
	if tt, ok := t.(*testing.T); ok {
		tt.Run(name, func(t *testing.T) { f(t) })
		return
	}
	f(t)
}

func runOnce(t testing.TB, f *File, o Options) {
	t.Helper()
	res, err := Execute(t.Context(), f, o)
	if missing, ok := errors.AsType[*netns.MissingError](err); ok && os.Getenv("TCPMANGLE_REQUIRE_TUN") != "1" {
		t.Skipf("labs need %v; %s", missing, missing.Hint)
	}
	switch {
	case res == nil:
		t.Fatal(err)
	case err != nil:
		t.Error(err)
	case res.Pass:
		return
	}
	var text strings.Builder
	_ = res.WriteText(&text, false) // a Builder refuses nothing
	t.Error("\n" + text.String())
}
