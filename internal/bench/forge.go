package bench

import (
	"encoding/binary"
	"net/netip"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Connections that nobody has: their segments are forged and given to a Box.

// portsEach is how many connections one forged client has.
const portsEach = 50_000

// forgedPair is the 4-tuple of the i-th forged connection.
func forgedPair(i int) (client, server netip.AddrPort) {
	host := uint32(i / portsEach)
	addr := netip.AddrFrom4([4]byte{198, 18, byte(host >> 8), byte(host)})
	return netip.AddrPortFrom(addr, uint16(10_000+i%portsEach)), netip.AddrPortFrom(elsewhere, serverPort)
}

// isn is where both endpoints of a forged connection begin.
const isn = 1000

// handshake appends the i-th connection's SYN, SYN-ACK and ACK to packets, a
// slice of three.
func handshake(packets [][]byte, i int) {
	client, server := forgedPair(i)
	for k, b := range []wire.Build{
		{Src: client, Dst: server, Seq: isn, Flags: wire.SYN},
		{Src: server, Dst: client, Seq: isn, Ack: isn + 1, Flags: wire.SYN | wire.ACK},
		{Src: client, Dst: server, Seq: isn + 1, Ack: isn + 1, Flags: wire.ACK},
	} {
		b.Window = 0xffff
		packets[k] = b.Append(packets[k][:0])
	}
}

// openConns lets a Box see the handshakes of n connections.
func openConns(b *engine.Box, now time.Duration, n int) {
	packets := make([][]byte, 3)
	for i := range n {
		handshake(packets, i)
		for k, packet := range packets {
			receive(b, now, k%2, packet)
		}
	}
}

// receive gives a Box a copy of a packet.
func receive(b *engine.Box, now time.Duration, side int, packet []byte) {
	buf := b.Buf()
	buf.Set(packet)
	b.Receive(now, side, buf)
}

// dataPacket is a data segment of the i-th connection; setSeq moves it.
func dataPacket(i, payload int) []byte {
	client, server := forgedPair(i)
	b := wire.Build{
		Src: client, Dst: server, Seq: isn + 1, Ack: isn + 1,
		Flags: wire.ACK | wire.PSH, Window: 0xffff, Payload: make([]byte, payload),
	}
	return b.Append(nil)
}

// ackPacket is the server's acknowledgment on the i-th connection; setAck moves it.
func ackPacket(i int) []byte {
	client, server := forgedPair(i)
	b := wire.Build{Src: server, Dst: client, Seq: isn + 1, Ack: isn + 1, Flags: wire.ACK, Window: 0xffff}
	return b.Append(nil)
}

// The checksum is not put right: whoever forwards a segment does not look at it.
func setSeq(packet []byte, seq uint32) { binary.BigEndian.PutUint32(packet[20+4:], seq) }
func setAck(packet []byte, ack uint32) { binary.BigEndian.PutUint32(packet[20+8:], ack) }
