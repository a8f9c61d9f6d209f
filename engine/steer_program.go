package engine

import (
	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// loadSteering loads the program that chooses the queue of a packet. It needs
// CAP_BPF in the initial namespace of users.
func loadSteering() (*ebpf.Program, error) {
	return ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "tcpmangle_steer", Type: ebpf.SocketFilter, Instructions: steeringProgram(), License: "MIT",
	})
}

// The registers of the program. Loads from the packet leave R0 and want the
// context in R6; R1 to R5 do not survive them. A load beyond the packet's end
// ends the program with 0, which is as good a queue as any.
const (
	regLoaded = asm.R0
	regIP     = asm.R7 // where the IP header begins
	regHash   = asm.R8
	regRest   = asm.R9 // where it ends
)

// golden is 2^32 divided by the golden ratio: the upper half of a product with it
// spreads neighbours.
const golden = 0x9e3779b1

// steeringProgram is, in Go,
//
//	hash  = src ^ dst              // the 32-bit words of both addresses
//	hash ^= srcPort ^ dstPort      // of a TCP segment that is no fragment
//	return hash * golden >> 16     // the kernel takes it modulo the queues
//
// of the packet, or, if that is an ICMP error, of the packet that it quotes: it
// belongs to the connection that it is about. XOR makes it the same both ways.
func steeringProgram() asm.Instructions {
	var p asm.Instructions
	p = append(p,
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.Mov.Imm(regIP, 0),
	)
	p = append(p, hashHeader("", "error")...)
	p = append(p, // an ICMP error: the quote stands behind eight bytes (RFC 792, RFC 4443)
		asm.Mov.Reg(regIP, regRest).WithSymbol("error"),
		asm.Add.Imm(regIP, 8),
	)
	p = append(p, hashHeader("quoted-", "done")...)
	return append(p,
		asm.LoadInd(regLoaded, regRest, 0, asm.Half).WithSymbol("ports"),
		asm.Xor.Reg(regHash, regLoaded),
		asm.LoadInd(regLoaded, regRest, 2, asm.Half),
		asm.Xor.Reg(regHash, regLoaded),
		asm.LoadImm(asm.R0, golden, asm.DWord).WithSymbol("done"),
		asm.Mul.Reg32(regHash, asm.R0),
		asm.RSh.Imm32(regHash, 16),
		asm.Mov.Reg(asm.R0, regHash),
		asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("no-ip"),
		asm.Return(),
	)
}

// hashHeader hashes the addresses of the IP header at ip. It goes on at ports, at
// icmpError, at done or at no-ip. The name keeps its labels apart.
func hashHeader(name, icmpError string) asm.Instructions {
	p := asm.Instructions{
		asm.LoadInd(regLoaded, regIP, 0, asm.Byte),
		asm.RSh.Imm(regLoaded, 4),
		asm.JEq.Imm(regLoaded, 6, name+"v6"),
		asm.JNE.Imm(regLoaded, 4, "no-ip"),
	}
	p = append(p, hashIPv4(icmpError)...)
	return append(p, hashIPv6(name, icmpError)...)
}

// hashIPv4 reads the header of RFC 791, section 3.1.
func hashIPv4(icmpError string) asm.Instructions {
	p := hashWords(12, 20)
	return append(p,
		asm.LoadInd(regLoaded, regIP, 6, asm.Half), // MF and the fragment's offset
		asm.And.Imm(regLoaded, 0x3fff),
		asm.JNE.Imm(regLoaded, 0, "done"),
		asm.LoadInd(regLoaded, regIP, 0, asm.Byte),
		asm.And.Imm(regLoaded, 0x0f),
		asm.LSh.Imm(regLoaded, 2),
		asm.Mov.Reg(regRest, regLoaded),
		asm.Add.Reg(regRest, regIP),
		asm.LoadInd(regLoaded, regIP, 9, asm.Byte), // protocol
		asm.JEq.Imm(regLoaded, 6, "ports"),
		asm.JNE.Imm(regLoaded, 1, "done"),
		asm.LoadInd(regLoaded, regRest, 0, asm.Byte), // ICMP type: unreachable, quench, exceeded, problem
		asm.JEq.Imm(regLoaded, 3, icmpError),
		asm.JEq.Imm(regLoaded, 4, icmpError),
		asm.JEq.Imm(regLoaded, 11, icmpError),
		asm.JEq.Imm(regLoaded, 12, icmpError),
		asm.Ja.Label("done"),
	)
}

// hashIPv6 reads the header of RFC 8200, section 3. What stands behind an
// extension header the Box does not read either.
func hashIPv6(name, icmpError string) asm.Instructions {
	p := hashWords(8, 40)
	p[0] = p[0].WithSymbol(name + "v6")
	return append(p,
		asm.Mov.Reg(regRest, regIP),
		asm.Add.Imm(regRest, 40),
		asm.LoadInd(regLoaded, regIP, 6, asm.Byte), // next header
		asm.JEq.Imm(regLoaded, 6, "ports"),
		asm.JNE.Imm(regLoaded, 58, "done"),
		asm.LoadInd(regLoaded, regRest, 0, asm.Byte), // ICMPv6 type: 1 to 4 are errors about packets
		asm.JEq.Imm(regLoaded, 0, "done"),
		asm.JLE.Imm(regLoaded, 4, icmpError),
		asm.Ja.Label("done"),
	)
}

// hashWords makes hash the XOR of the 32-bit words of the header in [from, to).
func hashWords(from, to int32) asm.Instructions {
	p := asm.Instructions{asm.Mov.Imm(regHash, 0)}
	for at := from; at < to; at += 4 {
		p = append(p, asm.LoadInd(regLoaded, regIP, at, asm.Word), asm.Xor.Reg(regHash, regLoaded))
	}
	return p
}
