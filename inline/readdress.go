package inline

import (
	"errors"
	"net/netip"

	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// readdressed is the device towards the upstreams as the box sees it: what the box
// writes goes out with the upstream's view of the addresses, what is read comes in with
// the client's. What belongs to no service ends here: its destination is an address of ours, and
// as it is it would come back by the other device for as long as it has hops, where the host forwards.
type readdressed struct {
	tunnel.Device
	queues []tunnel.Queue
}

func readdress(d tunnel.Device, b *book) *readdressed {
	r := &readdressed{Device: d}
	for i := range d.Queues() {
		r.queues = append(r.queues, &readdressedQueue{Queue: d.Queue(i), book: b})
	}
	return r
}

func (r *readdressed) Queue(i int) tunnel.Queue { return r.queues[i] }

// A readdressedQueue belongs to one worker, as the queue in it does.
type readdressedQueue struct {
	tunnel.Queue
	book *book
	head [wire.MaxHeader]byte
	copy []byte // of what does not fit in head
}

// Unwrap is the queue that a poller waits for.
func (q *readdressedQueue) Unwrap() tunnel.Queue { return q.Queue }

// errNobody refuses a packet to an address of ours that leads to no service.
var errNobody = errors.New("it is for no service")

// Read gives what the upstream has sent the addresses that the box knows.
func (q *readdressedQueue) Read(b []byte) (int, tunnel.Header, error) {
	for {
		n, h, err := q.Queue.Read(b)
		if err != nil || q.toClient(b[:n], h) {
			return n, h, err
		}
	}
}

// toClient gives a packet of an upstream's the client's view of the addresses, if it is to one.
func (q *readdressedQueue) toClient(packet []byte, h tunnel.Header) bool {
	p, ok := wire.Headers(packet, h.Partial())
	if !ok {
		return q.errorToClient(packet)
	}
	from, to, ok := q.book.toClient(ends(&p))
	if ok {
		p.SetSrc(from)
		p.SetDst(to)
	}
	return ok
}

// Write gives what a client has sent the addresses that the upstream knows. The bytes
// are the box's, which may need them again, so the headers are copied.
func (q *readdressedQueue) Write(h tunnel.Header, head, body []byte) error {
	p, ok := wire.Headers(head, h.Partial())
	if !ok {
		return q.writeError(h, head, body)
	}
	from, to, ok := q.book.toUpstream(ends(&p))
	if !ok {
		return errNobody
	}
	n := copy(q.head[:], head[:p.HeaderLen()])
	p, _ = wire.Headers(q.head[:n], h.Partial())
	p.SetSrc(from)
	p.SetDst(entry(to))
	switch {
	case len(body) == 0:
		body = head[n:]
	case len(head) > n:
		q.copy = append(append(q.copy[:0], head[n:]...), body...)
		body = q.copy
	}
	return q.Queue.Write(h, q.head[:n], body)
}

func ends(p *wire.Packet) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(p.Src(), p.SrcPort()), netip.AddrPortFrom(p.Dst(), p.DstPort())
}

// errorToClient translates an ICMP error about a segment that we have passed on. The
// upstream reports as the service; a router on the way keeps its own address.
func (q *readdressedQueue) errorToClient(packet []byte) bool {
	e, ok := wire.ParseICMPError(packet)
	if !ok {
		return false
	}
	service, client, ok := q.book.toClient(e.Dst, e.Src)
	if !ok {
		return false
	}
	from := e.From
	if from == e.Dst.Addr() {
		from = service.Addr()
	}
	wire.ReaddressICMP(packet, from, client.Addr(), client, service)
	return true
}

// writeError is Write of what is no TCP segment: an ICMP error about a segment of the upstream's.
func (q *readdressedQueue) writeError(h tunnel.Header, head, body []byte) error {
	e, ok := wire.ParseICMPError(head)
	if !ok || len(body) > 0 {
		return errNobody
	}
	pool, upstream, ok := q.book.toUpstream(e.Dst, e.Src)
	if !ok {
		return errNobody
	}
	from := e.From
	if from == e.Dst.Addr() {
		from = pool.Addr()
	}
	q.copy = append(q.copy[:0], head...)
	wire.ReaddressICMP(q.copy, from, entry(upstream).Addr(), upstream, pool)
	return q.Queue.Write(h, q.copy, nil)
}
