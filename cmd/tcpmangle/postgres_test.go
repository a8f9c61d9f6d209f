package main

import (
	"bufio"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A database is a PostgreSQL on a host, at all of its addresses.
type database struct {
	host *netns.NS
	pid  int
}

// postgresAt is where it is reached on its host, past every box.
var postgresAt = netip.MustParseAddrPort("127.0.0.1:5432")

// letsIn is whom it lets in: its host as it comes, clients of proxies, and those of nstest.Wire.
const letsIn = `
host all all 127.0.0.1/32  trust
host all all ::1/128       trust
host all all 198.19.0.0/16 trust
host all all 10.79.0.0/16  trust
`

// postgres starts a PostgreSQL on a host. It refuses to run as root.
func postgres(t *testing.T, host *netns.NS) *database {
	t.Helper()
	needRoot(t)
	program(t, "psql")
	folder := readable(t)
	nstest.Must(t, os.Chown(folder, nobody, nobody))
	data := filepath.Join(folder, "data")
	prepared := func(name string, args ...string) *exec.Cmd {
		cmd := exec.Command(program(t, name), args...)
		cmd.Dir = folder
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
		return cmd
	}
	if out, err := prepared("initdb", "-D", data, "-U", "app", "-A", "trust", "--no-locale", "--no-sync", "--no-instructions").CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	nstest.Must(t, os.WriteFile(filepath.Join(data, "pg_hba.conf"), []byte(letsIn), 0o600))
	cmd := prepared("postgres", "-D", data, "-k", "", "-c", "listen_addresses=*", "-c", "fsync=off", "-c", "dynamic_shared_memory_type=mmap")
	serve(t, host, cmd, postgresAt, syscall.SIGQUIT)
	d := &database{host, cmd.Process.Pid}
	until(t, "PostgreSQL is up", func() bool { return finishOn(t, host, psql(postgresAt, "-c", "SELECT")).status == 0 })
	return d
}

// psql prepares one that prints nothing but what comes back.
func psql(at netip.AddrPort, args ...string) *exec.Cmd {
	return exec.Command("psql", append([]string{"-XAt", "-h", at.Addr().String(), "-p", fmt.Sprint(at.Port()), "-U", "app", "-d", "postgres"}, args...)...)
}

// says runs a statement past every box, and returns what it prints.
func (d *database) says(t *testing.T, sql string) string {
	t.Helper()
	o := finishOn(t, d.host, psql(postgresAt, "-c", sql))
	o.wants(t, 0)
	return strings.TrimSuffix(o.stdout, "\n")
}

// A sitting is a psql that is told one statement after the other.
type sitting struct {
	*exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	stderr strings.Builder
}

// sit opens one from a host.
func sit(t *testing.T, host *netns.NS, at netip.AddrPort) *sitting {
	t.Helper()
	s := &sitting{Cmd: psql(at)}
	var err error
	s.stdin, err = s.StdinPipe()
	nstest.Must(t, err)
	stdout, err := s.StdoutPipe()
	nstest.Must(t, err)
	nstest.Must(t, stdout.(*os.File).SetReadDeadline(time.Now().Add(time.Minute)))
	s.stdout, s.Stderr = bufio.NewReader(stdout), &s.stderr
	on(t, host, s.Cmd)
	t.Cleanup(func() { s.Process.Kill(); s.Wait() })
	s.tell(t, "SELECT 'here I am';")
	s.hear(t, "here I am")
	return s
}

// tell sends statements.
func (s *sitting) tell(t *testing.T, sql string) {
	t.Helper()
	if _, err := fmt.Fprintln(s.stdin, sql); err != nil {
		t.Fatal(err)
	}
}

// hear wants these lines next.
func (s *sitting) hear(t *testing.T, lines ...string) {
	t.Helper()
	for _, want := range lines {
		if line, err := s.stdout.ReadString('\n'); err != nil || line != want+"\n" {
			t.Fatalf("psql said %q, %v; want %q", line, err, want)
		}
	}
}

// end lets it end, and returns what it has to say besides.
func (s *sitting) end(t *testing.T) outcome {
	t.Helper()
	nstest.Must(t, s.stdin.Close())
	rest, _ := io.ReadAll(s.stdout)
	status := statusOf(t, s.Wait())
	return outcome{string(rest), s.stderr.String(), status}
}

// A PostgreSQL and its psql, by each way in.
func TestPostgreSQL(t *testing.T) {
	d := postgres(t, nstest.New(t))
	for _, row := range []struct {
		name string
		test func(*testing.T)
	}{
		{"an answer is lost", d.losesAnAnswer},
		{"COMMIT in a black hole", d.commitsOnce},
		{"a reset", d.isReset},
		{"other rules", d.hasOtherRules},
		{"attached to", d.isAttachedTo},
		{"a bank", d.keepsItsBooks},
	} {
		t.Run(row.name, row.test)
	}
}

// psql in front of a fault: the answer comes again.
func (d *database) losesAnAnswer(t *testing.T) {
	rules := written(t, "answer.toml", `
[[rule]]
name   = "lose-the-answer"
match  = { port = 5432, from = "server", payload = "the answer" }
nth    = 1
action = "drop"

[[expect]]
rule  = "lose-the-answer"
fired = 1
`)
	o := finishOn(t, d.host, executing(t, []string{"-f", rules}, "psql", "-XAt", "-h", inline.HostName, "-U", "app", "-d", "postgres", "-c", "SELECT 'the answer'"))
	o.wants(t, 0)
	if o.stdout != "the answer\n" {
		t.Errorf("psql said %q", o.stdout)
	}
	has(t, "report", o.stderr, "PASS  rule lose-the-answer fired 1  (at ")
}

// behindProxy has a box stand in front of it, with a session through that.
func (d *database) behindProxy(t *testing.T, args ...string) (box *standing, api *client.Client, s *sitting) {
	t.Helper()
	args, api = runArgs(t, append(args, "--proxy", "198.18.0.2:5432=127.0.0.1:5432")...)
	box = stand(t, d.host, command(t, args...))
	return box, api, sit(t, d.host, netip.MustParseAddrPort("198.18.0.2:5432"))
}

// A black hole takes COMMIT, or its answer, until it is healed: what is committed is so once.
func (d *database) commitsOnce(t *testing.T) {
	d.says(t, "CREATE TABLE payment (hole text)")
	box, api, s := d.behindProxy(t)
	conn := connection(t, api, "5432").Conn
	for from, committed := range map[string]string{"client": "0", "server": "1"} {
		count := func() string {
			t.Helper()
			return d.says(t, fmt.Sprintf("SELECT count(*) FROM payment WHERE hole = '%s'", from))
		}
		s.tell(t, fmt.Sprintf("BEGIN; INSERT INTO payment VALUES ('%s');", from))
		s.hear(t, "BEGIN", "INSERT 0 1")
		blackholed(t, api, conn, from, func() { s.tell(t, "COMMIT;") })
		until(t, "the payment in the hole of the "+from, func() bool { return count() == committed })
		nstest.Must(t, api.Heal(t.Context()))
		s.hear(t, "COMMIT")
		if n := count(); n != "1" {
			t.Errorf("with a hole for the %s the payment is there %s times", from, n)
		}
	}
	s.end(t).wants(t, 0)
	box.end(t, syscall.SIGTERM).wants(t, 0)
}

// asleep has a session wait in a query, and returns when it does.
func (d *database) asleep(t *testing.T, s *sitting, query string) {
	t.Helper()
	s.tell(t, query+";")
	until(t, query+" runs", func() bool {
		return d.says(t, fmt.Sprintf("SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = '%s;'", query)) == "1"
	})
}

// A reset that nobody has sent, in the middle of a query: psql tells what it tells its users then.
func (d *database) isReset(t *testing.T) {
	box, api, s := d.behindProxy(t)
	d.asleep(t, s, "SELECT pg_sleep(60)")
	_, err := api.Act(t.Context(), connection(t, api, "5432").Conn, client.Reset("both"))
	nstest.Must(t, err)
	const lost = 2 // psql's status when its connection is
	o := s.end(t)
	o.wants(t, lost)
	has(t, "psql", o.stderr, "server closed the connection unexpectedly", "connection to server was lost")
	box.end(t, syscall.SIGTERM).wants(t, 0)
}

// Other rules are put in force while a query runs: it goes on, and they are about its answer.
func (d *database) hasOtherRules(t *testing.T) {
	before, after := "[[rule]]\nname = \"before\"\nmatch = { port = 5432 }\naction = \"pass\"\n", `
[[rule]]
name   = "after"
match  = { port = 5432, from = "server", payload = "the lock" }
nth    = 1
action = "drop"
`
	file := written(t, "rules.toml", before)
	box, api, s := d.behindProxy(t, "-f", file)
	keeper := sit(t, d.host, postgresAt)
	keeper.tell(t, "SELECT 'I have it', pg_advisory_lock(7);")
	keeper.hear(t, "I have it|")
	d.asleep(t, s, "SELECT pg_advisory_lock(7), $$the lock$$")
	conn := connection(t, api, "5432")
	nstest.Must(t, os.WriteFile(file, []byte(after), 0o644))
	nstest.Must(t, box.Process.Signal(syscall.SIGHUP))
	box.await(t, "tcpmangle: the rules are reloaded")
	keeper.end(t).wants(t, 0)
	s.hear(t, "|the lock")
	if now := connection(t, api, "5432"); now.Conn != conn.Conn || now.Incarnation != conn.Incarnation {
		t.Errorf("the session was %+v and is %+v", conn, now)
	}
	if r, err := api.Rule(t.Context(), "after"); err != nil || r.Fired != 1 {
		t.Errorf("the rule: %+v, %v", r, err)
	}
	s.end(t).wants(t, 0)
	box.end(t, syscall.SIGTERM).wants(t, 0)
}

// A box comes to a session that is open, and goes before it ends. Rows come once and in order
// through black holes, and the namespace is left as it was.
func (d *database) isAttachedTo(t *testing.T) {
	const rows, before = 600_000, 1000 // the holes come behind so many
	elsewhere := nstest.New(t)
	// Its kernel takes less than a third of the rows, or a hole might come when all have.
	nstest.Must(t, elsewhere.Sysctl("net.ipv4.tcp_rmem", "4096 65536 131072"))
	of4, _ := nstest.Wire(t, 0, elsewhere, d.host)
	s := sit(t, elsewhere, netip.AddrPortFrom(of4, postgresAt.Port()))
	face := nstest.Face(t, d.host)
	args, api := runArgs(t, "--port", "5432", "--pid", fmt.Sprint(d.pid))
	box := stand(t, elsewhere, command(t, args...))
	n := 0
	read := func(to int) error {
		for ; n < to; n++ {
			line, err := s.stdout.ReadString('\n')
			if err != nil || line != fmt.Sprintln(n+1) {
				return fmt.Errorf("row %q, %w; want %d", line, err, n+1)
			}
		}
		return nil
	}
	s.tell(t, fmt.Sprintf("COPY (SELECT generate_series(1, %d)) TO STDOUT;", rows))
	nstest.Must(t, read(before))
	conn, come := connection(t, api, "5432"), make(chan error, 1)
	if !conn.PickedUp {
		t.Errorf("%+v was not picked up", conn)
	}
	for i, from := range []string{"server", "client", "both"} {
		blackholed(t, api, conn.Conn, from, func() {
			go func() { come <- read(before + (i+1)*(rows-before)/3) }()
		})
		if len(come) > 0 {
			t.Errorf("rows came through the black hole for the %s", from)
		}
		nstest.Must(t, api.Heal(t.Context()))
		nstest.Must(t, <-come)
	}
	box.end(t, syscall.SIGTERM).wants(t, 0)
	nstest.SameFace(t, d.host, face)
	s.tell(t, "SELECT 'still here';")
	s.hear(t, "still here")
	s.end(t).wants(t, 0)
}

// What a bad network does to segments.
var troubles = []string{
	`"drop"`, `{ duplicate = { copies = 2, after = "2ms" } }`, `{ delay = { by = "2ms", jitter = "1ms", keep_order = false } }`,
	`{ reorder = 2 }`, `{ corrupt = { checksum = "keep" } }`, `{ split = 7 }`,
}

// A bank with many customers and a bad network: it takes longer, but no transaction fails, and the
// books agree.
func (d *database) keepsItsBooks(t *testing.T) {
	pgbench := func(at string, args ...string) outcome {
		t.Helper()
		o := finishOn(t, d.host, exec.Command(program(t, "pgbench"), append(args, "-n", "-h", at, "-U", "app", "postgres")...))
		o.wants(t, 0)
		return o
	}
	pgbench("127.0.0.1", "-i", "-q")
	var rules strings.Builder
	for i, action := range troubles {
		fmt.Fprintf(&rules, "[[rule]]\nname = \"%d\"\nmatch = { port = 5432 }\nprobability = \"0.5%%\"\naction = %s\n", i, action)
	}
	args, api := runArgs(t, "-f", written(t, "bad.toml", rules.String()), "--proxy", "198.18.0.2:5432=127.0.0.1:5432")
	box := stand(t, d.host, command(t, args...))
	o := pgbench("198.18.0.2", "-c", "8", "-t", "25", "-b", "simple-update") // which has nobody wait for another one's row
	has(t, "pgbench", o.stdout, "number of transactions actually processed: 200/200\n", "number of failed transactions: 0 (")
	for i, action := range troubles {
		if r, err := api.Rule(t.Context(), fmt.Sprint(i)); err != nil || r.Fired == 0 {
			t.Errorf("%s: %+v, %v", action, r, err)
		}
	}
	box.end(t, syscall.SIGTERM).wants(t, 0)
	const books = "SELECT count(*), sum(delta) = (SELECT sum(abalance) FROM pgbench_accounts) FROM pgbench_history"
	if got := d.says(t, books); got != "200|t" {
		t.Errorf("the books say %s", got)
	}
}
