package toxiproxy

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
)

// Toxiproxy's own command line, for those who drive it from shell scripts. The variable
// TOXIPROXY_CLI says where it is; with TCPMANGLE_REQUIRE_TOXIPROXY it has to be there.
func TestCommandLine(t *testing.T) {
	cli := os.Getenv("TOXIPROXY_CLI")
	if cli == "" {
		if os.Getenv("TCPMANGLE_REQUIRE_TOXIPROXY") != "" {
			t.Fatal("TOXIPROXY_CLI does not say where Toxiproxy's command is")
		}
		t.Skip("Toxiproxy's command is not here; TOXIPROXY_CLI says where it is")
	}
	r := newRig(t)
	web := httptest.NewServer(r)
	defer web.Close()
	for _, step := range []struct{ call, says string }{
		{"create --listen 127.0.0.1:0 --upstream 127.0.0.1:6379 redis", "Created new proxy redis"},
		{"list", "redis"},
		{"toxic add --type latency --attribute latency=1000 --attribute jitter=50 redis", "Added downstream latency toxic 'latency_downstream' on proxy 'redis'"},
		{"toxic add --type timeout --toxicName cut --upstream --toxicity 0.5 --attribute timeout=3000 redis", "Added upstream timeout toxic 'cut' on proxy 'redis'"},
		{"inspect redis", "cut"},
		{"toxic update --toxicName cut --attribute timeout=100 redis", "Updated toxic 'cut' on proxy 'redis'"},
		{"toxic remove --toxicName cut redis", "Removed toxic 'cut' on proxy 'redis'"},
		{"toggle redis", "Proxy redis is now disabled"},
		{"toggle redis", "Proxy redis is now enabled"},
		{"delete redis", "Deleted proxy redis"},
	} {
		args := append([]string{"--host", web.URL}, strings.Fields(step.call)...)
		out, err := exec.CommandContext(t.Context(), cli, args...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), step.says) {
			t.Fatalf("%s: %v\n%s", step.call, err, out)
		}
	}
}
