package main

import (
	"context"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// Where Debian has programs that are not in everybody's PATH.
var serviceFolders = []string{"/usr/sbin", "/usr/lib/postgresql/*/bin"}

// program finds one of those that examples/incidents/install.sh installs.
func program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	for _, folder := range serviceFolders {
		if found, _ := filepath.Glob(filepath.Join(folder, name)); len(found) > 0 {
			return found[len(found)-1]
		}
	}
	lacking(t, "TCPMANGLE_REQUIRE_INCIDENTS", err.Error())
	return ""
}

// serve starts a service on a host, and returns when it lets a client in at an address. It
// ends by a signal when the test does; what it has printed is shown if the test has failed.
func serve(t testing.TB, host *netns.NS, cmd *exec.Cmd, at netip.AddrPort, end syscall.Signal) {
	t.Helper()
	log, err := os.Create(filepath.Join(t.TempDir(), "log"))
	nstest.Must(t, err)
	cmd.Stdout, cmd.Stderr = log, log
	on(t, host, cmd)
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		cmd.Process.Signal(end)
		<-ended
		log.Close()
		if text, _ := os.ReadFile(log.Name()); t.Failed() {
			t.Logf("%s:\n%s", cmd.Args[0], text)
		}
	})
	until(t, cmd.Args[0]+" serves", func() bool {
		if len(ended) > 0 {
			t.Fatalf("%s has ended", cmd.Args[0])
		}
		c, err := nstest.Dial(host, at)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
}

// until waits for something that is called by a name.
func until(t testing.TB, name string, happened func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !happened(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", name)
		}
	}
}

// awaits waits for a condition by the API.
func awaits(t testing.TB, api *client.Client, c client.Condition) {
	t.Helper()
	c.Within = client.Duration(30 * time.Second)
	if w, err := api.Wait(t.Context(), c); err != nil || !w.Met {
		t.Fatalf("%+v: %+v, %v", c, w, err)
	}
}

// connection is the only one to a port.
func connection(t testing.TB, api *client.Client, port string) client.Connection {
	t.Helper()
	all, err := api.Connections(t.Context(), client.Filter{Port: port, State: "ESTABLISHED"})
	if err != nil || len(all) != 1 {
		t.Fatalf("connections %+v, %v; want one", all, err)
	}
	return all[0]
}

// loses returns when a connection has lost a segment by what is done.
func loses(t testing.TB, api *client.Client, conn uint64, do func()) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), time.Minute)
	defer stop()
	events, err := api.Events(ctx, client.EventFilter{Types: []string{"segment"}, Conn: conn, All: true})
	nstest.Must(t, err)
	do()
	for e, err := range events {
		nstest.Must(t, err)
		if e.Verdict == "drop" {
			return
		}
	}
	t.Fatal("no segment was lost")
}

// blackholed puts a black hole on a connection, and returns when it has taken something.
// Meanwhile is what has the endpoints send.
func blackholed(t testing.TB, api *client.Client, conn uint64, from string, meanwhile func()) {
	t.Helper()
	loses(t, api, conn, func() {
		if _, err := api.Act(t.Context(), conn, client.Blackhole(from)); err != nil {
			t.Fatal(err)
		}
		meanwhile()
	})
}
