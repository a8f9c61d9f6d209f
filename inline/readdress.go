package inline

import (
	"net/netip"

	"github.com/tcpmangle/tcpmangle/internal/wire"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// readdressed is the device towards the upstreams as the box sees it: what the box
// writes goes out with the upstream's view of the addresses, what is read comes in with
// the client's. What belongs to no service passes as it is.
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

// Read gives what the upstream has sent the addresses that the box knows.
func (q *readdressedQueue) Read(b []byte) (int, tunnel.Header, error) {
	n, h, err := q.Queue.Read(b)
	if err != nil {
		return n, h, err
	}
	if p, ok := wire.Headers(b[:n], h.Partial()); ok {
		if from, to, ok := q.book.toClient(ends(&p)); ok {
			p.SetSrc(from)
			p.SetDst(to)
		}
	} else {
		q.errorToClient(b[:n])
	}
	return n, h, nil
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
		return q.Queue.Write(h, head, body)
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
func (q *readdressedQueue) errorToClient(packet []byte) {
	e, ok := wire.ParseICMPError(packet)
	if !ok {
		return
	}
	service, client, ok := q.book.toClient(e.Dst, e.Src)
	if !ok {
		return
	}
	from := e.From
	if from == e.Dst.Addr() {
		from = service.Addr()
	}
	wire.ReaddressICMP(packet, from, client.Addr(), client, service)
}

// writeError is Write of what is no TCP segment: an ICMP error about a segment of the
// upstream's is translated, anything else passes as it is.
func (q *readdressedQueue) writeError(h tunnel.Header, head, body []byte) error {
	e, ok := wire.ParseICMPError(head)
	if !ok || len(body) > 0 {
		return q.Queue.Write(h, head, body)
	}
	pool, upstream, ok := q.book.toUpstream(e.Dst, e.Src)
	if !ok {
		return q.Queue.Write(h, head, body)
	}
	from := e.From
	if from == e.Dst.Addr() {
		from = pool.Addr()
	}
	q.copy = append(q.copy[:0], head...)
	wire.ReaddressICMP(q.copy, from, entry(upstream).Addr(), upstream, pool)
	return q.Queue.Write(h, q.copy, nil)
}
