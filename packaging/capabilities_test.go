package packaging

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A grant is a machine where a group may be inline, as README.md says.
type grant struct {
	*machine
	group int
}

// granted starts one.
func granted(t *testing.T) *grant {
	t.Helper()
	m := boot(t)
	m.install(t)
	m.run(t, "sh", "-ec", advice(t, "Without root", "sh"))
	g := &grant{machine: m}
	said := m.run(t, "getent", "group", "netfaults")
	if _, err := fmt.Sscanf(said, "netfaults:x:%d:", &g.group); err != nil {
		t.Fatalf("getent: %q: %v", said, err)
	}
	m.write(t, "/none.toml", "")
	return g
}

// advice is what README.md has to type, or to write, below a heading.
func advice(t *testing.T, heading, language string) string {
	t.Helper()
	page, err := os.ReadFile("README.md")
	nstest.Must(t, err)
	_, below, _ := strings.Cut(string(page), "\n## "+heading+"\n")
	below, _, _ = strings.Cut(below, "\n## ")
	found := regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```").FindAllStringSubmatch(below, -1)
	if len(found) != 1 {
		t.Fatalf("README.md has %d pieces of %s below %q, want one", len(found), language, heading)
	}
	return found[0][1]
}

// A member of the group is inline without root: with proxies and in its namespace. What it
// does is undone at the end, and after a kill -9 by the next start.
func TestCapabilities(t *testing.T) {
	g := granted(t)
	before := nstest.Face(t, g.net)
	echo(t, g.machine, upstream)
	proxy := "--proxy=" + proxied.String() + "=" + upstream
	for range 2 {
		g.inline(t, proxy)
		exchange(t, dial(t, g.machine), "by a member of the group")
		g.run(t, "systemctl", "kill", "--signal=KILL", "box")
		g.run(t, "systemctl", "stop", "box")
	}
	for _, way := range []string{proxy, "--port=6379"} {
		g.inline(t, way)
		g.run(t, "systemctl", "stop", "box")
	}
	nstest.SameFace(t, g.net, before)
}

// inline starts tcpmangle run as a member of the group, and returns once it is inline.
func (g *grant) inline(t *testing.T, way string) {
	t.Helper()
	const unit = "[Service]\nType=notify\nUser=nobody\nGroup=%d\nExecStart=/usr/local/bin/tcpmangle run --file=/none.toml %s\n"
	g.write(t, "/etc/systemd/system/box.service", fmt.Sprintf(unit, g.group, way))
	g.run(t, "systemctl", "daemon-reload")
	g.run(t, "systemctl", "start", "box")
}

// What the group may do is what the doctor says and README.md lists.
func TestCapabilitiesOfVerbs(t *testing.T) {
	g := granted(t)
	lab := "tcpmangle lab /usr/share/doc/tcpmangle/examples/last-ack-lost.toml"
	for _, row := range []struct {
		group  int
		call   string
		status int
		words  string
	}{
		{g.group, "tcpmangle doctor", 0, "lab  works here\nexec cannot work here\nrun  works here\n"},
		{g.group, lab, 0, "PASS"},
		{g.group, "tcpmangle exec -f /none.toml -- true", 3, "CAP_SYS_ADMIN: operation not permitted\nhint: run as root\n"},
		{g.group, "tcpmangle run --port 6379 --pid 1", 3, "CAP_SYS_ADMIN: operation not permitted\nhint: run as root\n"},
		{nobody, "tcpmangle doctor", 0, "lab  works here\nexec cannot work here\nrun  cannot work here\n"},
		{nobody, lab, 0, "PASS"},
		{nobody, "tcpmangle run --port 6379", 3, "CAP_NET_ADMIN: operation not permitted\nhint: run as root\n"},
		{nobody, "/usr/local/bin/tcpmangle version", 126, "ermission denied"},
	} {
		cmd := g.commandAs(nobody, row.group, "sh", "-c", row.call)
		said, _ := cmd.CombinedOutput()
		if status := cmd.ProcessState.ExitCode(); status != row.status || !strings.Contains(string(said), row.words) {
			t.Errorf("group %d: %s: exit status %d and\n%swant %d and %q", row.group, row.call, status, said, row.status, row.words)
		}
	}
}

// nobody is the user of that name, and a group that has been given nothing.
const nobody = 65534
