package nstest

import (
	"fmt"
	"testing"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// Firewall closes a host: in each family of nftables, what it is to forward is dropped, and what
// comes in, but by the loopback device, to port 8080, and of ICMPv6, by which neighbours are found.
func Firewall(t testing.TB, host *netns.NS) {
	t.Helper()
	conn := ruleset(t, host)
	drop := nftables.ChainPolicyDrop
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyINet} {
		table := conn.AddTable(&nftables.Table{Name: "filter", Family: family})
		for name, hook := range map[string]*nftables.ChainHook{"FORWARD": nftables.ChainHookForward, "INPUT": nftables.ChainHookInput} {
			chain := conn.AddChain(&nftables.Chain{
				Name: name, Table: table, Type: nftables.ChainTypeFilter,
				Hooknum: hook, Priority: nftables.ChainPriorityFilter, Policy: &drop,
			})
			if name == "INPUT" {
				accept(conn, chain, &expr.Meta{Key: expr.MetaKeyIIFNAME, Register: unix.NFT_REG_1}, []byte("lo\x00"))
				accept(conn, chain, &expr.Meta{Key: expr.MetaKeyL4PROTO, Register: unix.NFT_REG_1}, []byte{unix.IPPROTO_ICMPV6})
				accept(conn, chain, &expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: unix.NFT_REG_1}, []byte{8080 >> 8, 8080 & 0xff})
			}
		}
	}
	Must(t, conn.Flush())
}

// accept adds a rule to a chain about what an expression loads.
func accept(conn *nftables.Conn, chain *nftables.Chain, load expr.Any, value []byte) {
	conn.AddRule(&nftables.Rule{Table: chain.Table, Chain: chain, Exprs: []expr.Any{
		load, &expr.Cmp{Op: expr.CmpOpEq, Register: unix.NFT_REG_1, Data: value}, &expr.Verdict{Kind: expr.VerdictAccept},
	}})
}

// rules are those of nftables on a host, each in a line.
func rules(t testing.TB, host *netns.NS) (lines []string) {
	t.Helper()
	conn := ruleset(t, host)
	chains, err := conn.ListChains()
	Must(t, err)
	for _, c := range chains {
		all, err := conn.GetRules(c.Table, c)
		Must(t, err)
		for _, r := range all {
			lines = append(lines, fmt.Sprintf("rule %d of %s %s %q", r.Handle, c.Table.Name, c.Name, r.UserData))
		}
	}
	return lines
}

func ruleset(t testing.TB, host *netns.NS) *nftables.Conn {
	t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(host.FD()))
	Must(t, err)
	return conn
}
