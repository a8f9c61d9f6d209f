package main

import (
	"bufio"
	"fmt"
	"net/netip"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/tcpmangle/tcpmangle/inline"
	"github.com/tcpmangle/tcpmangle/internal/netns"
	"github.com/tcpmangle/tcpmangle/internal/nstest"
)

// A host that drops what it is to forward or to take lets our packets pass, says so, and is
// afterwards as it was.
func TestExecBehindAFirewall(t *testing.T) {
	needRoot(t)
	for name, closed := range map[string]func(testing.TB, *netns.NS){"nft": nstest.Firewall, "iptables": dropByIPTables} {
		t.Run(name, func(t *testing.T) {
			host, elsewhere := nstest.New(t), nstest.New(t)
			of4, of6 := nstest.Wire(t, 0, host, elsewhere)
			nstest.Gateway(t, host, "eth0")
			echo(t, host, "127.0.0.1:7000")
			closed(t, host)
			before := nstest.Face(t, host)
			o := finishOn(t, host, command(t, "doctor"))
			o.wants(t, 0)
			has(t, "report", o.stdout, "ok  firewall  ", "ip filter FORWARD, ", "ip6 filter FORWARD, ", "pass while exec and run are there\n")
			to := []netip.AddrPort{netip.AddrPortFrom(of4, 7000), netip.AddrPortFrom(of6, 7000)}
			for _, a := range to {
				echo(t, elsewhere, a.String())
				o := finishOn(t, host, executing(t, nil, probing(t, a.String())...))
				o.wants(t, 0)
				has(t, "the command", o.stdout, fmt.Sprintf("ping from %v in ", a))
				has(t, "notice", o.stderr, "tcpmangle: notice: our devices pass the firewall while we run: ", "ip filter FORWARD", "ip6 filter INPUT")
			}
			o = finishOn(t, host, executing(t, nil, probing(t, inline.HostName+":7000")...))
			o.wants(t, 0)
			nstest.SameFace(t, host, before)
		})
	}
}

// dropByIPTables closes a host by iptables as it is today: in chains of nftables.
func dropByIPTables(t testing.TB, host *netns.NS) {
	t.Helper()
	for _, command := range []string{"iptables-nft", "ip6tables-nft"} {
		iptables(t, host, command, "-P", "FORWARD", "DROP")
		iptables(t, host, command, "-N", "DOCKER-USER")
		iptables(t, host, command, "-A", "FORWARD", "-j", "DOCKER-USER")
		iptables(t, host, command, "-P", "INPUT", "DROP")
		iptables(t, host, command, "-A", "INPUT", "-i", "lo", "-j", "ACCEPT")
	}
	iptables(t, host, "ip6tables-nft", "-A", "INPUT", "-p", "icmpv6", "-j", "ACCEPT") // by which neighbours are found
}

// iptables runs one of its commands on a host.
func iptables(t testing.TB, host *netns.NS, words ...string) string {
	t.Helper()
	if _, err := exec.LookPath(words[0]); err != nil {
		lacking(t, "TCPMANGLE_REQUIRE_IPTABLES", err.Error())
	}
	var text []byte
	err := host.Do(func() (err error) {
		text, err = exec.Command(words[0], words[1:]...).CombinedOutput()
		return err
	})
	if strings.Contains(string(text), "Table does not exist") { // newer kernels come without the legacy one
		t.Skipf("this kernel has nothing for %s", words[0])
	}
	if err != nil {
		t.Fatalf("%q: %v\n%s", words, err, text)
	}
	return string(text)
}

// What a run that is killed leaves in a firewall is taken away by the sweep, and by the next start.
func TestRunIsKilledBehindAFirewall(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	nstest.Firewall(t, host)
	echo(t, host, "[::1]:7000")
	before := nstest.Face(t, host)
	args, _ := runArgs(t, "--proxy", "[::1]:17000=[::]:7000")
	for _, next := range [][]string{{"doctor", "--sweep"}, {"exec", "--", "true"}} {
		s := stand(t, host, command(t, args...))
		pings(t, meet(t, host, netip.MustParseAddrPort("[::1]:17000")))
		nstest.Must(t, s.Process.Kill())
		s.Wait()
		left := strings.Join(nstest.Differences(before, nstest.Face(t, host)), "\n")
		has(t, "the rules", left, fmt.Sprintf("of process %d", s.Process.Pid))
		finishOn(t, host, command(t, next...)).wants(t, 0)
		nstest.SameFace(t, host, before)
	}
}

// What only iptables-legacy can change is told, with the command that changes it.
func TestLegacyFirewallIsTold(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	iptables(t, host, "iptables-legacy", "-P", "FORWARD", "DROP")
	has(t, "doctor", finishOn(t, host, command(t, "doctor")).stdout, "--  iptables-legacy  ", "hint: "+legacyHint)
	args, _ := runArgs(t, "--port", "7000")
	cmd := command(t, args...)
	pipe, err := cmd.StderrPipe()
	nstest.Must(t, err)
	on(t, host, cmd)
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	s := &standing{Cmd: cmd, stderr: bufio.NewReader(pipe)}
	s.await(t, "tcpmangle: notice: iptables-legacy "+legacyDetail)
	s.await(t, "hint: "+legacyHint)
	s.await(t, "tcpmangle: inline ")
	s.end(t, syscall.SIGTERM).wants(t, 0)
}

// A firewall that belongs to a process is left alone, and told.
func TestFirewallOfAProcess(t *testing.T) {
	needRoot(t)
	host := nstest.New(t)
	table, err := host.OpenTable()
	nstest.Must(t, err)
	defer table.Close()
	nstest.Must(t, table.Add("theirs", netns.PacketRule{Hook: netns.Forwarded, Do: netns.Refuse}))
	before := nstest.Face(t, host)
	has(t, "doctor", finishOn(t, host, command(t, "doctor")).stdout, "--  firewall of a process  ", "inet tcpmangle forwarded: our devices do not pass\n", "hint: "+firewallHint)
	o := finishOn(t, host, executing(t, nil, "true"))
	o.wants(t, 0)
	has(t, "exec", o.stderr, "tcpmangle: notice: our devices do not pass the firewall: inet tcpmangle forwarded\nhint: "+firewallHint)
	nstest.SameFace(t, host, before)
}
