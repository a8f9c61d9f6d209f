// Package tcpmangle holds what is said about the project as a whole.
package tcpmangle

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/tcpmangle/tcpmangle/"

// The packages, and which of ours and of others' each may import. Arrows point
// down only: a segment's journey is read in this order without turning back.
var mayImport = []struct {
	pkg    string
	ours   string
	others string
}{
	{"internal/seq", "", ""},
	{"internal/paged", "", ""},
	{"internal/sched", "internal/paged", ""},
	{"internal/tomldoc", "", "toml"},
	{"internal/capture", "", "gopacket"},
	{"internal/netns", "", "netlink nfnetlink nftables sys"},
	{"internal/nstest", "internal/netns tunnel", "netlink nftables sys"},
	{"internal/script", "internal/tomldoc", "sys"},
	{"tunnel", "", "water sys"},
	{"tunnel/tunneltest", "tunnel", ""},
	{"internal/wire", "internal/seq", ""},
	{"internal/remap", "internal/seq", ""},
	{"conntrack", "internal/seq internal/sched internal/wire", ""},
	{"rules", "conntrack internal/tomldoc internal/wire", ""},
	{"internal/badfiles", "rules", ""},
	{"engine", "conntrack internal/paged internal/remap internal/sched internal/seq internal/wire rules tunnel", "zap ebpf"},
	{"internal/ladder", "conntrack engine internal/seq internal/tomldoc internal/wire rules tunnel", ""},
	{"internal/bench", "conntrack engine internal/netns internal/wire rules tunnel", "netlink sys"},
	{"internal/replay", "conntrack engine internal/capture internal/wire rules", ""},
	{"inline", "internal/netns internal/wire tunnel", "sys"},
	{"lab", "conntrack engine internal/capture internal/netns internal/script internal/tomldoc rules tunnel", "zap sys"},
	{"client", "", ""},
	{"control", "client conntrack engine internal/web rules", "prometheus sys zap"},
	{"toxiproxy", "rules", "zap"},
	{"internal/web", "", "zap"},
	{"internal/schema", "conntrack lab rules", ""},
	{"packaging", "", ""},
	{"examples/incidents/http/backend", "", ""},
	{"examples/incidents/http/go", "", ""},
	{"examples/incidents/half-closed-client/server", "", ""},
}

// modules are the words above for modules of others.
var modules = map[string]string{
	"toml":       "github.com/BurntSushi/toml",
	"gopacket":   "github.com/gopacket/gopacket",
	"netlink":    "github.com/vishvananda/netlink",
	"nfnetlink":  "github.com/mdlayher/netlink",
	"nftables":   "github.com/google/nftables",
	"prometheus": "github.com/prometheus/client_golang",
	"ebpf":       "github.com/cilium/ebpf",
	"sys":        "golang.org/x/sys",
	"water":      "github.com/songgao/water",
	"zap":        "go.uber.org/zap",
}

func TestImportsPointDown(t *testing.T) {
	listed := map[string]bool{}
	for _, row := range mayImport {
		listed[row.pkg] = true
		for _, path := range imports(t, row.pkg) {
			switch ours, isOurs := strings.CutPrefix(path, module); {
			case isOurs && !slices.Contains(strings.Fields(row.ours), ours):
				t.Errorf("%s imports %s; it may import of ours: %s", row.pkg, ours, orNothing(row.ours))
			case !isOurs && strings.Contains(path, ".") && !allowed(path, row.others):
				t.Errorf("%s imports %s; it may import of others: %s", row.pkg, path, orNothing(row.others))
			}
		}
	}
	out, err := exec.Command("go", "list", "./...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		pkg := strings.TrimPrefix(path, module)
		if strings.HasPrefix(pkg, "cmd/") || pkg == "integration" || pkg+"/" == module {
			continue // may import everything
		}
		if !listed[pkg] {
			t.Errorf("%s is not in the table: say what it may import", pkg)
		}
	}
}

func imports(t *testing.T, pkg string) []string {
	t.Helper()
	out, err := exec.Command("go", "list", "-f", `{{join .Imports "\n"}}`, "./"+pkg).CombinedOutput()
	if err != nil {
		t.Fatalf("go list %s: %s", pkg, out)
	}
	return strings.Fields(string(out))
}

func allowed(path, words string) bool {
	for word := range strings.FieldsSeq(words) {
		if m := modules[word]; path == m || strings.HasPrefix(path, m+"/") {
			return true
		}
	}
	return false
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}
