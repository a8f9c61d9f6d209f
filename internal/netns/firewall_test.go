package netns

import (
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// chainIn makes an empty chain of a filter in a namespace.
func chainIn(t *testing.T, n *NS, family nftables.TableFamily, hook *nftables.ChainHook, policy nftables.ChainPolicy) (*nftables.Conn, *nftables.Chain) {
	t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(n.FD()))
	must(t, err)
	table := conn.AddTable(&nftables.Table{Name: "filter", Family: family})
	chain := conn.AddChain(&nftables.Chain{
		Name: "FORWARD", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &policy,
	})
	must(t, conn.Flush())
	return conn, chain
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantFirewalls(t *testing.T, n *NS, h Hook, want ...Firewall) {
	t.Helper()
	if got, err := n.Firewalls(h, "mangle"); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v, %v; want %v", got, err, want)
	}
}

// Chains that drop what nobody accepts are found: by their policy, or by their last rule.
func TestFirewalls(t *testing.T) {
	for _, row := range []struct {
		name   string
		policy nftables.ChainPolicy
		last   []expr.Any
		want   bool
	}{
		{"accepts", nftables.ChainPolicyAccept, nil, false},
		{"drops", nftables.ChainPolicyDrop, nil, true},
		{"drops what is left", nftables.ChainPolicyAccept, []expr.Any{&expr.Counter{}, verdict(expr.VerdictDrop)}, true},
		{"tells of what is left and drops it", nftables.ChainPolicyAccept, []expr.Any{&expr.Log{}, verdict(expr.VerdictDrop)}, true},
		{"refuses what is left", nftables.ChainPolicyAccept, []expr.Any{&expr.Reject{}}, true},
		{"drops some", nftables.ChainPolicyAccept, PacketRule{In: "eth0", Do: Refuse}.expressions(), false},
		{"accepts what is left", nftables.ChainPolicyAccept, PacketRule{Do: Accept}.expressions(), false},
	} {
		for family, name := range familyNames {
			for h, hook := range map[Hook]*nftables.ChainHook{Forwarded: nftables.ChainHookForward, Delivered: nftables.ChainHookInput} {
				t.Run(strings.Join([]string{row.name, name, hooks[h].name}, " "), func(t *testing.T) {
					n := newNS(t)
					wantFirewalls(t, n, h)
					conn, chain := chainIn(t, n, family, hook, row.policy)
					if row.last != nil {
						conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: row.last})
						must(t, conn.Flush())
					}
					if row.want {
						wantFirewalls(t, n, h, Firewall{Name: name + " filter FORWARD"})
					} else {
						wantFirewalls(t, n, h)
					}
				})
			}
		}
	}
}

// What was admitted stands before all else, and goes by its mark alone.
func TestAdmit(t *testing.T) {
	n := newNS(t)
	conn, chain := chainIn(t, n, nftables.TableFamilyINet, nftables.ChainHookForward, nftables.ChainPolicyDrop)
	conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: PacketRule{In: "eth0", Do: Refuse}.expressions(), UserData: []byte("no comment")})
	must(t, conn.Flush())
	rules := func() int {
		t.Helper()
		rules, err := conn.GetRules(chain.Table, chain)
		must(t, err)
		if len(rules) > 0 && !naming("eth0")(rules[len(rules)-1]) {
			t.Error("the rule that was there is not the last one")
		}
		return len(rules)
	}
	must(t, n.Admit("one", Forwarded, "mangle0", "mangle1"))
	must(t, n.Admit("two", Forwarded, "mangle0"))
	must(t, n.Admit("two", Delivered, "mangle0"))
	if got := rules(); got != 1+4+2 {
		t.Errorf("%d rules, want 7", got)
	}
	wantFirewalls(t, n, Forwarded, Firewall{Name: "inet filter FORWARD", Admits: true})
	must(t, n.Dismiss("one"))
	must(t, n.Dismiss("one"))
	if got := rules(); got != 1+2 {
		t.Errorf("%d rules, want 3", got)
	}
	must(t, n.Dismiss("two"))
	wantFirewalls(t, n, Forwarded, Firewall{Name: "inet filter FORWARD"})
	if got := rules(); got != 1 {
		t.Errorf("%d rules, want 1", got)
	}
}

// A table that belongs to a process stays as it is, and is told of.
func TestAdmitAtATableOfOthers(t *testing.T) {
	n := newNS(t)
	table, err := n.OpenTable()
	must(t, err)
	defer table.Close()
	must(t, table.Add("closed", PacketRule{Hook: Forwarded, Do: Refuse}))
	must(t, n.Admit("one", Forwarded, "mangle0"))
	wantFirewalls(t, n, Forwarded, Firewall{Name: "inet tcpmangle forwarded", Owned: true})
}

// iptables runs one of its commands in a namespace, if it is installed.
func iptables(t *testing.T, n *NS, words ...string) string {
	t.Helper()
	if _, err := exec.LookPath(words[0]); err != nil {
		if os.Getenv("TCPMANGLE_REQUIRE_IPTABLES") == "1" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	var text []byte
	err := n.Do(func() (err error) {
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

// iptables lists what was admitted as rules of its own.
func TestAdmitAmongRulesOfIPTables(t *testing.T) {
	for _, command := range []string{"iptables-nft", "ip6tables-nft"} {
		n := newNS(t)
		iptables(t, n, command, "-A", "FORWARD", "-j", "REJECT")
		before := iptables(t, n, command, "-S")
		must(t, n.Admit("tcpmangle", Forwarded, "mangle0"))
		got := iptables(t, n, command, "-S", "FORWARD")
		for _, want := range []string{
			"-A FORWARD -i mangle0 -m comment --comment tcpmangle -j ACCEPT\n",
			"-A FORWARD -o mangle0 -m comment --comment tcpmangle -j ACCEPT\n",
		} {
			if !strings.Contains(got, want) {
				t.Errorf("%s lists\n%s, without %s", command, got, want)
			}
		}
		must(t, n.Dismiss("tcpmangle"))
		if after := iptables(t, n, command, "-S"); after != before {
			t.Errorf("before\n%s, after\n%s", before, after)
		}
	}
}

// What iptables-legacy drops by its policy is seen, and nothing is made by looking.
func TestLegacyFirewall(t *testing.T) {
	for _, command := range []string{"iptables-legacy", "ip6tables-legacy"} {
		n := newNS(t)
		for _, row := range []struct {
			chain string
			h     Hook
		}{{"FORWARD", Forwarded}, {"INPUT", Delivered}} {
			wants := func(want bool) {
				t.Helper()
				if got := n.LegacyFirewall(row.h); got != want {
					t.Errorf("%s, %s: %v, want %v", command, row.chain, got, want)
				}
			}
			wants(false)
			iptables(t, n, command, "-A", row.chain, "-p", "tcp", "-j", "DROP")
			wants(false)
			iptables(t, n, command, "-P", row.chain, "DROP")
			wants(true)
			iptables(t, n, command, "-P", row.chain, "ACCEPT")
			wants(false)
		}
	}
}
