package tunneltest

import "github.com/tcpmangle/tcpmangle/tunnel"

type packet struct {
	header tunnel.Header
	data   []byte
}

// fifo is a queue of packets that owns its copies. Once it has been as full as it
// gets, pushing allocates nothing, if what is popped is recycled.
type fifo struct {
	packets []packet
	head    int // index of the oldest
	free    [][]byte
}

func (f *fifo) len() int { return len(f.packets) - f.head }

// push copies a packet of two parts to the end.
func (f *fifo) push(h tunnel.Header, head, body []byte) {
	if f.head > 0 && len(f.packets) == cap(f.packets) {
		n := copy(f.packets, f.packets[f.head:])
		clear(f.packets[n:])
		f.packets, f.head = f.packets[:n], 0
	}
	data := append(append(f.buffer(), head...), body...)
	f.packets = append(f.packets, packet{h, data})
}

// pop takes the oldest packet. Its data are the caller's, to keep or to recycle.
func (f *fifo) pop() (p packet, ok bool) {
	if f.len() == 0 {
		return packet{}, false
	}
	p, f.packets[f.head] = f.packets[f.head], packet{}
	f.head++
	if f.len() == 0 {
		f.packets, f.head = f.packets[:0], 0
	}
	return p, true
}

// recycle gives a popped packet's memory back.
func (f *fifo) recycle(p packet) { f.free = append(f.free, p.data[:0]) }

func (f *fifo) buffer() []byte {
	last := len(f.free) - 1
	if last < 0 {
		return nil
	}
	b := f.free[last]
	f.free = f.free[:last]
	return b
}
