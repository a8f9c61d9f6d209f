package netns

import (
	"bytes"
	"errors"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"golang.org/x/sys/unix"
)

// A Firewall is a chain of nftables, made by nft or by iptables, that drops what no rule of it
// accepts: by its policy, or by its last rule.
type Firewall struct {
	Name   string // "ip filter FORWARD"
	Admits bool   // a rule names the devices that were asked about
	Owned  bool   // it belongs to a process, and nobody else can change it
}

// Firewalls lists those that packets meet at a hook, Forwarded or Delivered, and tells whether
// somebody has thought there of devices whose names begin with prefix.
func (n *NS) Firewalls(h Hook, prefix string) (all []Firewall, err error) {
	err = n.eachFirewall(h, func(_ *nftables.Conn, c *nftables.Chain, rules []*nftables.Rule) error {
		all = append(all, Firewall{
			Name:   familyNames[c.Table.Family] + " " + c.Table.Name + " " + c.Name,
			Admits: slices.ContainsFunc(rules, naming(prefix)),
			Owned:  owned(c),
		})
		return nil
	})
	return all, err
}

// naming tells whether a rule compares something with what begins with prefix.
func naming(prefix string) func(*nftables.Rule) bool {
	return func(r *nftables.Rule) bool {
		return slices.ContainsFunc(r.Exprs, func(e expr.Any) bool {
			c, ok := e.(*expr.Cmp)
			return ok && bytes.HasPrefix(c.Data, []byte(prefix))
		})
	}
}

// Admit has every firewall at a hook accept what comes in by a device, and, at Forwarded, what
// goes out by it. The rules stand in front of all others and carry a mark as their comment, by which
// Dismiss takes them away; nothing else does. iptables lists them as any rule of its own. A
// firewall that lets nobody else change it stays as it is.
func (n *NS) Admit(mark string, h Hook, devices ...string) error {
	return n.eachFirewall(h, func(conn *nftables.Conn, c *nftables.Chain, _ []*nftables.Rule) error {
		if owned(c) {
			return nil
		}
		for _, dev := range devices {
			insertAccept(conn, c, mark, PacketRule{In: dev})
			if h == Forwarded {
				insertAccept(conn, c, mark, PacketRule{Out: dev})
			}
		}
		return gone(conn.Flush())
	})
}

// owned tells whether a chain is in a table that belongs to a process. The library takes flags, which
// come in network order, for numbers in the machine's.
func owned(c *nftables.Chain) bool { return c.Table.Flags&(tableOwner|tableOwner<<24) != 0 }

// insertAccept puts a rule before the others of a chain, in the form that iptables gives it.
func insertAccept(conn *nftables.Conn, c *nftables.Chain, mark string, r PacketRule) {
	r.Do = Accept
	conn.InsertRule(&nftables.Rule{
		Table: c.Table, Chain: c, Exprs: r.expressions(),
		UserData: comment(mark),
	})
}

// comment is a text as nft and iptables keep it with a rule.
func comment(text string) []byte { return userdata.AppendString(nil, userdata.TypeComment, text) }

// Dismiss takes away all that Admit has put somewhere with a mark. There need not be any.
func (n *NS) Dismiss(mark string) error {
	var errs []error
	for _, h := range []Hook{Forwarded, Delivered} {
		errs = append(errs, n.eachChain(h, func(conn *nftables.Conn, _ *nftables.Chain, rules []*nftables.Rule) error {
			for _, r := range rules {
				if !bytes.Equal(r.UserData, comment(mark)) {
					continue
				}
				if err := conn.DelRule(r); err != nil {
					return err
				}
			}
			return gone(conn.Flush())
		}))
	}
	return errors.Join(errs...)
}

// gone is nil if what was to be looked at or changed is there no more: somebody was faster.
func gone(err error) error {
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	return err
}

// eachFirewall calls f with the chains that drop what nobody accepts.
func (n *NS) eachFirewall(h Hook, f func(*nftables.Conn, *nftables.Chain, []*nftables.Rule) error) error {
	return n.eachChain(h, func(conn *nftables.Conn, c *nftables.Chain, rules []*nftables.Rule) error {
		dropping := c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop
		if dropping || len(rules) > 0 && dropsAll(rules[len(rules)-1]) {
			return f(conn, c, rules)
		}
		return nil
	})
}

// eachChain calls f with the chains of a hook, and their rules.
func (n *NS) eachChain(h Hook, f func(*nftables.Conn, *nftables.Chain, []*nftables.Rule) error) error {
	conn, err := nftables.New(n.forNFTables())
	if err != nil {
		return err
	}
	tables, err := conn.ListTables()
	if err != nil {
		return err
	}
	chains, err := conn.ListChains()
	if err != nil {
		return err
	}
	var errs []error
	for _, c := range chains {
		i := slices.IndexFunc(tables, func(t *nftables.Table) bool { return t.Name == c.Table.Name && t.Family == c.Table.Family })
		if i < 0 || c.Hooknum == nil || *c.Hooknum != *hooks[h].hook || familyNames[c.Table.Family] == "" {
			continue
		}
		c.Table = tables[i] // with its flags
		rules, err := conn.GetRules(c.Table, c)
		if err == nil {
			err = f(conn, c, rules)
		}
		errs = append(errs, gone(err))
	}
	return errors.Join(errs...)
}

// familyNames are those of the families whose chains packets of IP meet, as nft has them.
var familyNames = map[nftables.TableFamily]string{
	nftables.TableFamilyIPv4: "ip", nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyINet: "inet",
}

// dropsAll tells whether no packet goes on behind a rule: it asks nothing, and drops or refuses.
func dropsAll(r *nftables.Rule) bool {
	drops := false
	for _, e := range r.Exprs {
		switch e := e.(type) {
		case *expr.Counter, *expr.Log:
		case *expr.Reject:
			drops = true
		case *expr.Target: // of iptables
			drops = e.Name == "REJECT"
		case *expr.Verdict:
			drops = e.Kind == expr.VerdictDrop
		default:
			return false
		}
	}
	return drops
}
