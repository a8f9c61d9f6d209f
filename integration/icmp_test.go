package integration

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// TestICMPErrors: what forged errors do to two kernels. The inferred states must be
// theirs throughout.
func TestICMPErrors(t *testing.T) {
	for _, tt := range []struct {
		file string
		ips  []int
	}{
		{"icmp-established", []int{4, 6}},
		{"icmp-frag-needed", []int{4, 6}},
		{"icmp-frag-needed-1000", []int{4}},
		{"icmp-frag-needed-100", []int{4}},
		{"icmp-syn-frag-needed", []int{4}},
		{"icmp-request4-drops", []int{4}},
		{"icmp-request4-stays", []int{4}},
		{"icmp-request6-drops", []int{6}},
		{"icmp-request6-stays", []int{6}},
	} {
		for _, ip := range tt.ips {
			for _, offload := range []tunnel.OffloadMode{tunnel.Off, tunnel.On} {
				t.Run(fmt.Sprintf("%s/IPv%d, offload %v", tt.file, ip, offload), func(t *testing.T) {
					t.Parallel()
					lab.Run(t, "testdata/"+tt.file+".toml", lab.Options{IP: ip, Offload: offload})
				})
			}
		}
	}
}

// refusedByICMP is a SYN that is answered by an ICMP error of a KIND, and its ERROR.
const refusedByICMP = `
	[[rule]]
	name    = "refuse"
	match   = { segment = "syn" }
	actions = [{ icmp = "KIND" }, "drop"]
	[server]
	script = "listen 8080"
	[client]
	script = """
	  expect-error ERROR
	  connect server:8080
	"""
	[[expect]]
	client = "CLOSED"
	server = "LISTEN"
	within = "900ms" # at once: the next SYN would come after a second
	[[expect]]
	rule  = "refuse"
	fired = 1`

// TestICMPRefusesSYN: each error ends SYN_SENT, with the error number that
// icmp_err_convert and icmpv6_err_convert make of it.
func TestICMPRefusesSYN(t *testing.T) {
	for _, tt := range []struct{ kind, v4, v6 string }{
		{"port-unreachable", "ECONNREFUSED", "ECONNREFUSED"},
		{"host-unreachable", "EHOSTUNREACH", "EHOSTUNREACH"},
		{"net-unreachable", "ENETUNREACH", "ENETUNREACH"},
		{"admin-prohibited", "EHOSTUNREACH", "EACCES"},
		{"time-exceeded", "EHOSTUNREACH", "EHOSTUNREACH"},
	} {
		for ip, errno := range map[int]string{4: tt.v4, 6: tt.v6} {
			t.Run(fmt.Sprintf("%s/IPv%d", tt.kind, ip), func(t *testing.T) {
				t.Parallel()
				file := filepath.Join(t.TempDir(), "refused.toml")
				text := strings.NewReplacer("KIND", tt.kind, "ERROR", errno).Replace(refusedByICMP)
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				lab.Run(t, file, lab.Options{IP: ip})
			})
		}
	}
}
