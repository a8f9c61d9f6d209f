package netns

import (
	"errors"
	"os"
	"strings"
	"testing"
)

func TestSysctl(t *testing.T) {
	n := newNS(t)
	before, err := os.ReadFile("/proc/sys/net/ipv4/tcp_retries2")
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"tcp_retries2", "net.ipv4.tcp_retries2", "net/ipv4/tcp_retries2"} {
		for _, want := range []string{"3", "7"} {
			if err := n.Sysctl(key, want); err != nil {
				t.Fatal(err)
			}
			if got, err := n.SysctlGet(key); got != want || err != nil {
				t.Errorf("%s: got %q, %v; want %q", key, got, err, want)
			}
		}
	}
	after, err := os.ReadFile("/proc/sys/net/ipv4/tcp_retries2")
	if err != nil || string(before) != string(after) {
		t.Errorf("the host's tcp_retries2 went from %q to %q (%v)", before, after, err)
	}
	if err := n.Sysctl("net.ipv6.conf.lo.accept_ra", "0"); err != nil {
		t.Error(err)
	}
}

func TestSysctlErrors(t *testing.T) {
	n := newNS(t)
	rows := []struct {
		name, key, value string
		want             error
		text             string
	}{
		{"unknown", "tcp_fin_timout", "3", ErrUnknownSysctl, "sysctl tcp_fin_timout = 3: unknown key in a network namespace"},
		{"host only", "tcp_max_orphans", "3", ErrUnknownSysctl, ""},
		{"empty", "", "3", ErrUnknownSysctl, ""},
		{"a folder", "net.ipv4", "3", ErrReadOnlySysctl, ""},
		{"a word for a number", "tcp_retries2", "many", ErrSysctlValue,
			"sysctl tcp_retries2 = many: the kernel refuses the value: invalid argument"},
		{"read-only", "net.ipv4.tcp_available_congestion_control", "x", ErrReadOnlySysctl, ""},
		{"the machine's", "kernel.panic", "1", ErrHostSysctl, ""},
		{"a way out", "net/../kernel/panic", "1", ErrUnknownSysctl, ""},
		{"another way out", "net/ipv4/../../kernel/panic", "1", ErrUnknownSysctl, ""},
		{"double dot", "net..ipv4", "1", ErrUnknownSysctl, ""},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			err := n.Sysctl(r.key, r.value)
			e, ok := errors.AsType[*SysctlError](err)
			if !ok || e.Key != r.key || !errors.Is(err, r.want) {
				t.Fatalf("got %v, want a SysctlError of key %q for %q", err, r.key, r.want)
			}
			if r.text != "" && err.Error() != r.text {
				t.Errorf("got  %v\nwant %v", err, r.text)
			}
			if strings.Contains(err.Error(), "/proc/sys") {
				t.Errorf("%v: a path where the key is enough", err)
			}
		})
	}
	if _, err := n.SysctlGet("tcp_fin_timout"); !errors.Is(err, ErrUnknownSysctl) {
		t.Errorf("get: got %v, want ErrUnknownSysctl", err)
	}
}
