package netns

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestCheck(t *testing.T) {
	err := Check()
	if err == nil {
		return
	}
	missing, ok := errors.AsType[*MissingError](err)
	if !ok || missing.What == "" || missing.Hint == "" {
		t.Fatalf("got %#v, want a MissingError with a hint", err)
	}
	if os.Getenv("TCPMANGLE_REQUIRE_TUN") == "1" {
		t.Fatalf("%v; hint: %s", err, missing.Hint)
	}
	t.Skipf("%v; hint: %s", err, missing.Hint)
}

// Check leaves no device, namespace or descriptor.
func TestCheckLeavesNothing(t *testing.T) {
	Check()
	before, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for range 10 {
		Check()
		checkUserNS()
	}
	if after, _ := os.ReadDir("/proc/self/fd"); len(after) != len(before) {
		t.Errorf("%d descriptors after, %d before", len(after), len(before))
	}
}

func TestCheckTUN(t *testing.T) {
	dir := t.TempDir()
	missing, ok := errors.AsType[*MissingError](checkTUN(filepath.Join(dir, "tun")))
	if !ok || !errors.Is(missing, unix.ENOENT) || !strings.Contains(missing.Hint, "modprobe tun") {
		t.Errorf("no node: got %+v, want ENOENT and the hint to load the module", missing)
	}
	file := filepath.Join(dir, "there")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := checkTUN(file); err != nil {
		t.Errorf("a file that opens: %v", err)
	}
}

func TestTUNHints(t *testing.T) {
	rows := []struct {
		err  error
		want string
	}{
		{unix.ENOENT, "modprobe tun"},
		{unix.ENODEV, "modprobe tun"},
		{unix.EACCES, "run as root, or chmod 0666 /dev/net/tun"},
		{unix.EPERM, "--device /dev/net/tun"},
		{unix.EIO, ""},
	}
	for _, r := range rows {
		if got := tunHint(r.err); !strings.Contains(got, r.want) || r.want == "" && got != "" {
			t.Errorf("%v: got %q, want %q in it", r.err, got, r.want)
		}
	}
}

// Without root, the same machine lacks the TUN node unless its mode allows it.
func TestCheckWithoutRoot(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not root")
	}
	needUserNS(t)
	info, err := os.Stat(tunFile)
	if err != nil {
		t.Skip(err)
	}
	out, err := program(t, "check", true).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "need true\nuserns <nil>\n"
	if info.Mode().Perm()&0o006 != 0o006 {
		want = "need true\n/dev/net/tun: permission denied; hint: run as root, or chmod 0666 /dev/net/tun\nuserns <nil>\n"
	}
	if string(out) != want {
		t.Errorf("got\n%swant\n%s", out, want)
	}
}
