package netns

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	nfnetlink "github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// TableName is how a Table of nftables is called; a second one in the same namespace has
// its number behind it.
const TableName = "tcpmangle"

// A Table is one of nftables that belongs to this process: nobody else may change it,
// and the kernel takes it away with the process, however that ends. Goroutines may share it.
type Table struct {
	mu     sync.Mutex
	conn   *nftables.Conn
	table  *nftables.Table
	chains map[Hook]*nftables.Chain
}

// A Hook is where packets meet the rules of a Table.
type Hook uint8

// The hooks. At the first three and the last, rules translate addresses of connections; at Forwarded
// and Delivered they let packets pass or not; at Entering they see each packet by itself.
const (
	Arriving  Hook = iota // before a packet from elsewhere is routed
	Sending               // before a packet of this host's own is routed
	Leaving               // when a packet goes out
	Forwarded             // a packet is neither from this host nor for it
	Entering              // a packet has come from elsewhere, and nothing knows of it yet
	Delivered             // a packet is for this host
	Arrived               // a packet is for this host, and has passed the filters
)

var hooks = [...]struct {
	name     string
	kind     nftables.ChainType
	hook     *nftables.ChainHook
	priority *nftables.ChainPriority
}{
	{"arriving", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest},
	{"sending", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest},
	{"leaving", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource},
	{"forwarded", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter},
	{"entering", nftables.ChainTypeFilter, nftables.ChainHookPrerouting, nftables.ChainPriorityRaw},
	{"delivered", nftables.ChainTypeFilter, nftables.ChainHookInput, nftables.ChainPriorityFilter},
	{"arrived", nftables.ChainTypeNAT, nftables.ChainHookInput, nftables.ChainPriorityNATSource},
}

// tableOwner is NFT_TABLE_F_OWNER of linux/netfilter/nf_tables.h; since Linux 5.12.
const tableOwner = 2

// maxTables is how many Tables there may be in a namespace.
const maxTables = 256

// OpenTable makes a Table without rules in the namespace.
func (n *NS) OpenTable() (*Table, error) {
	var err error
	for i := range maxTables {
		name := TableName
		if i > 0 {
			name = fmt.Sprintf("%s-%d", TableName, i+1)
		}
		var t *Table
		if t, err = n.openTable(name); err == nil {
			return t, nil
		}
		if taken, _ := n.Tables(); !slices.Contains(taken, name) {
			break
		}
	}
	return nil, fmt.Errorf("nftables: %w", err)
}

func (n *NS) openTable(name string) (*Table, error) {
	own := func(c *nfnetlink.Conn) error { return createOwned(c, name) }
	conn, err := nftables.New(n.forNFTables(), nftables.AsLasting(), nftables.WithSockOptions(own))
	if err != nil {
		return nil, err
	}
	return &Table{
		conn:   conn,
		table:  &nftables.Table{Name: name, Family: nftables.TableFamilyINet},
		chains: make(map[Hook]*nftables.Chain),
	}, nil
}

// forNFTables has the library work in the namespace.
func (n *NS) forNFTables() nftables.ConnOption {
	if n.here {
		return func(*nftables.Conn) {}
	}
	return nftables.WithNetNSFd(n.FD())
}

// createOwned makes the table on the socket that it is to belong to. The library
// makes tables without flags.
func createOwned(c *nfnetlink.Conn, name string) error {
	attributes, err := nfnetlink.MarshalAttributes([]nfnetlink.Attribute{
		{Type: unix.NFTA_TABLE_NAME, Data: append([]byte(name), 0)},
		{Type: unix.NFTA_TABLE_FLAGS, Data: binary.BigEndian.AppendUint32(nil, tableOwner)},
	})
	if err != nil {
		return err
	}
	if _, err := c.SendMessages([]nfnetlink.Message{
		nfMessage(unix.NFNL_MSG_BATCH_BEGIN, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil),
		nfMessage(unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWTABLE,
			nfnetlink.Acknowledge|nfnetlink.Create|nfnetlink.Excl, unix.NFPROTO_INET, 0, attributes),
		nfMessage(unix.NFNL_MSG_BATCH_END, 0, unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES, nil),
	}); err != nil {
		return err
	}
	_, err = c.Receive()
	return err
}

// nfMessage is one of nfnetlink, with its header of family, version and resource.
func nfMessage(kind uint16, flags nfnetlink.HeaderFlags, family uint8, resource byte, attributes []byte) nfnetlink.Message {
	return nfnetlink.Message{
		Header: nfnetlink.Header{Type: nfnetlink.HeaderType(kind), Flags: nfnetlink.Request | flags},
		Data:   append([]byte{family, unix.NFNETLINK_V0, 0, resource}, attributes...),
	}
}

// Add adds rules behind those that are there, all of them or none. Remove takes those
// away that were added under the same key.
func (t *Table) Add(key string, rules ...PacketRule) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, r := range rules {
		t.conn.AddRule(&nftables.Rule{
			Table: t.table, Chain: t.chain(r.Hook), Exprs: r.expressions(), UserData: []byte(key),
		})
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", key, err)
	}
	return nil
}

// chain is that of a hook. It is made with the first rule.
func (t *Table) chain(h Hook) *nftables.Chain {
	if t.chains[h] == nil {
		t.chains[h] = t.conn.AddChain(&nftables.Chain{
			Name: hooks[h].name, Table: t.table, Type: hooks[h].kind, Hooknum: hooks[h].hook, Priority: hooks[h].priority,
		})
	}
	return t.chains[h]
}

// Remove takes rules away. There need not be any.
func (t *Table) Remove(key string) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, chain := range t.chains {
		rules, err := t.conn.GetRules(t.table, chain)
		if err != nil {
			return fmt.Errorf("nftables: %s: %w", key, err)
		}
		for _, r := range rules {
			if string(r.UserData) == key {
				if err := t.conn.DelRule(r); err != nil {
					return fmt.Errorf("nftables: %s: %w", key, err)
				}
			}
		}
	}
	if err := t.conn.Flush(); err != nil {
		return fmt.Errorf("nftables: %s: %w", key, err)
	}
	return nil
}

// Close takes the table away.
func (t *Table) Close() error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.conn.DelTable(t.table)
	return errors.Join(t.conn.Flush(), t.conn.CloseLasting())
}

// Tables lists the names of the namespace's tables that are called like ours.
func (n *NS) Tables() (names []string, err error) {
	conn, err := nftables.New(n.forNFTables())
	if err != nil {
		return nil, err
	}
	tables, err := conn.ListTables()
	for _, t := range tables {
		if t.Family == nftables.TableFamilyINet && strings.HasPrefix(t.Name, TableName) {
			names = append(names, t.Name)
		}
	}
	return names, err
}

// verdict ends the walk of a packet through a chain.
func verdict(kind expr.VerdictKind) expr.Any { return &expr.Verdict{Kind: kind} }
