package netns

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A PacketRule says which packets meet with which treatment. Zero values match
// everything; an address, or To, makes it a rule of its IP version.
type PacketRule struct {
	Hook  Hook
	In    string       // the device it came in by; with * behind it, what it begins with
	Out   string       // the device it goes out by
	NotIn string       // or any other device than this
	NotTo string       // the same of the way out
	Src   netip.Prefix // where it comes from
	Dst   netip.Prefix // where it goes to
	Local bool         // it goes to an address of this host
	Proto uint8        // unix.IPPROTO_TCP or UDP; 0: both, with a port of To
	Dport uint16
	New   bool // it belongs to no connection that the kernel knows, nor answers one

	Do   Treatment
	To   netip.AddrPort // of Redirect and Readdress; port 0: as it was
	From netip.Addr     // of Rename
	// Ports are those from which Rename takes one, both ends included; zero: the one that it has, if
	// nobody else has it.
	Ports [2]uint16
}

// A Treatment is what is done to packets.
type Treatment uint8

// The treatments.
const (
	Masquerade Treatment = iota // they go out with the address of the device
	Redirect                    // they go to another address
	Rename                      // they come from another address
	Refuse                      // they end here
	Accept                      // they pass
	// Readdress writes another IPv6 destination into the header, and that is all: no
	// connection is tracked for it, nothing is done to answers. Both addresses need the same
	// checksum (RFC 6296, section 2.6), for that of the segment stays as it is.
	Readdress
)

// Where addresses stand in the headers of IPv4 and IPv6.
const (
	source4, destination4 = 12, 16
	source6, destination6 = 8, 24
)

// register is where an expression leaves its result for the next one.
const register = unix.NFT_REG_1

// expressions are the rule as the kernel wants it.
func (r PacketRule) expressions() (all []expr.Any) {
	add := func(more ...expr.Any) { all = append(all, more...) }
	for _, d := range []struct {
		name string
		key  expr.MetaKey
		op   expr.CmpOp
	}{
		{r.In, expr.MetaKeyIIFNAME, expr.CmpOpEq}, {r.NotIn, expr.MetaKeyIIFNAME, expr.CmpOpNeq},
		{r.Out, expr.MetaKeyOIFNAME, expr.CmpOpEq}, {r.NotTo, expr.MetaKeyOIFNAME, expr.CmpOpNeq},
	} {
		if d.name != "" {
			add(&expr.Meta{Key: d.key, Register: register}, &expr.Cmp{Op: d.op, Register: register, Data: deviceMatch(d.name)})
		}
	}
	if family := r.family(); family != 0 {
		add(&expr.Meta{Key: expr.MetaKeyNFPROTO, Register: register}, equal(family))
	}
	add(addressMatch(r.Src, source4, source6)...)
	add(addressMatch(r.Dst, destination4, destination6)...)
	if r.Local {
		add(&expr.Fib{Register: register, FlagDADDR: true, ResultADDRTYPE: true},
			equal(binary.NativeEndian.AppendUint32(nil, unix.RTN_LOCAL)...))
	}
	if r.Proto != 0 {
		add(&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: register}, equal(r.Proto))
	}
	if r.Dport != 0 {
		add(&expr.Payload{Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2, DestRegister: register},
			equal(binary.BigEndian.AppendUint16(nil, r.Dport)...))
	}
	if r.New {
		const isNew = 1 << 3 // NF_CT_STATE_BIT(IP_CT_NEW) of linux/netfilter/nf_conntrack_common.h
		add(&expr.Ct{Key: expr.CtKeySTATE, Register: register},
			masked(binary.NativeEndian.AppendUint32(nil, isNew)), equal(binary.NativeEndian.AppendUint32(nil, isNew)...))
	}
	return append(all, r.treatment()...)
}

// family is the IP version that the addresses ask for; 0: either.
func (r PacketRule) family() byte {
	for _, a := range []netip.Addr{r.Src.Addr(), r.Dst.Addr(), r.To.Addr(), r.From} {
		switch {
		case a.Is4():
			return unix.NFPROTO_IPV4
		case a.Is6():
			return unix.NFPROTO_IPV6
		}
	}
	return 0
}

// deviceMatch is a name as the kernel keeps it, or its beginning.
func deviceMatch(name string) []byte {
	if last := len(name) - 1; name[last] == '*' {
		return []byte(name[:last])
	}
	return append([]byte(name), make([]byte, unix.IFNAMSIZ-len(name))...)
}

// addressMatch compares an address of the header, which stands at offset4 or offset6.
func addressMatch(p netip.Prefix, offset4, offset6 uint32) []expr.Any {
	if !p.IsValid() || p.Bits() == 0 {
		return nil
	}
	offset, p := offset4, p.Masked()
	if p.Addr().Is6() {
		offset = offset6
	}
	return []expr.Any{
		&expr.Payload{Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: uint32(p.Addr().BitLen() / 8), DestRegister: register},
		masked(ipNet(p).Mask),
		equal(p.Addr().AsSlice()...),
	}
}

// masked leaves the bits of a mask.
func masked(mask []byte) expr.Any {
	n := len(mask)
	return &expr.Bitwise{SourceRegister: register, DestRegister: register, Len: uint32(n), Mask: mask, Xor: make([]byte, n)}
}

func equal(data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: register, Data: data}
}

func (r PacketRule) treatment() []expr.Any {
	switch r.Do {
	case Masquerade:
		return []expr.Any{&expr.Masq{}}
	case Refuse:
		return []expr.Any{verdict(expr.VerdictDrop)}
	case Accept:
		return []expr.Any{&expr.Counter{}, verdict(expr.VerdictAccept)}
	case Readdress:
		return []expr.Any{
			&expr.Immediate{Register: register, Data: r.To.Addr().AsSlice()},
			&expr.Payload{
				OperationType: expr.PayloadWrite, SourceRegister: register,
				Base: expr.PayloadBaseNetworkHeader, Offset: destination6, Len: net.IPv6len,
			},
		}
	}
	return r.translation()
}

// translation writes what a connection is to have in the place of its destination, or of its source.
func (r PacketRule) translation() []expr.Any {
	nat := &expr.NAT{Type: expr.NATTypeDestNAT, Family: uint32(r.family()), RegAddrMin: register}
	address, ports := r.To.Addr(), [2]uint16{r.To.Port(), r.To.Port()}
	if r.Do == Rename {
		nat.Type, address, ports = expr.NATTypeSourceNAT, r.From, r.Ports
	}
	all := []expr.Any{&expr.Immediate{Register: register, Data: address.AsSlice()}}
	if ports[0] != 0 {
		nat.RegProtoMin, nat.RegProtoMax = unix.NFT_REG_2, unix.NFT_REG_3
		nat.Specified = true
		for i, reg := range []uint32{nat.RegProtoMin, nat.RegProtoMax} {
			all = append(all, &expr.Immediate{Register: reg, Data: binary.BigEndian.AppendUint16(nil, ports[i])})
		}
	}
	return append(all, nat)
}
