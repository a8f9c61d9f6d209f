package wire

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
)

// TestPart: a part can be edited, and the packet that it is of stays as it is.
func TestPart(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, partial := range []bool{false, true} {
			for _, span := range [][2]int{{0, 5}, {0, 1}, {1, 3}, {4, 5}} {
				t.Run(fmt.Sprintf("v6 %v, partial %v, %v", v6, partial, span), func(t *testing.T) {
					data := build(v6, Build{Seq: 1000, Flags: ACK | FIN | CWR, Payload: bytesOf(450), ID: 7, Partial: partial})
					before := slices.Clone(data)
					p, q := parse(t, data, 100, partial), Packet{}
					var head [MaxHeader]byte
					p.Part(&q, head[:], span[0], span[1])
					if q.Segments() != span[1]-span[0] || q.Seq() != p.At(span[0]).Seq || q.Flags() != p.flags(span[0], span[1]) {
						t.Fatalf("%d segments from %d, %v", q.Segments(), q.Seq(), q.Flags())
					}
					q.SetSeq(5)
					q.SetWindow(9)
					q.SetTTL(3)
					for i := range q.Segments() {
						one, was := q.Materialize(i, nil), p.Materialize(span[0]+i, nil)
						v := parse(t, one, 0, false)
						if v.Window() != 9 || v.TTL() != 3 || !bytes.Equal(v.Payload(), one[len(was)-len(v.Payload()):]) {
							t.Errorf("segment %d became %x", i, one)
						}
						if err := VerifyChecksums(one); err != nil && (partial || q.Segments() == 1) {
							t.Errorf("segment %d: %v", i, err)
						}
					}
					if !bytes.Equal(data, before) {
						t.Error("the packet itself was edited")
					}
				})
			}
		}
	}
}

// TestRefill: another payload, longer or shorter, in one or in pieces; checksums are right, or wrong
// if they are to be.
func TestRefill(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		for _, partial := range []bool{false, true} {
			for _, size := range []int{0, 1, 99, 100, 1000} {
				for _, n := range []int{0, 1, 100, 101, 5000} {
					p := parse(t, build(v6, Build{Seq: 1, Flags: ACK | PSH, Payload: bytesOf(300), Partial: partial}), 0, partial)
					var head [MaxHeader]byte
					var q Packet
					p.Part(&q, head[:], 0, 1)
					payload := bytes.Repeat([]byte{0xa5}, n)
					q.Refill(payload, size)
					segs := 1
					if size > 0 && n > size {
						segs = (n + size - 1) / size
					}
					if q.Segments() != segs || q.PayloadLen() != n || segs > 1 && (q.GSO() != size || !q.Partial()) {
						t.Fatalf("%d bytes by %d: %d segments, gso %d, partial %v", n, size, q.Segments(), q.GSO(), q.Partial())
					}
					for i := range segs {
						if err := VerifyChecksums(q.Materialize(i, nil)); err != nil {
							t.Fatalf("%d bytes by %d, v6 %v, partial %v: segment %d: %v", n, size, v6, partial, i, err)
						}
					}
					q.Refill(payload, 0)
					q.SpoilChecksum()
					if err := VerifyChecksums(q.Materialize(0, nil)); err != errTCPChecksum {
						t.Fatalf("%d bytes, v6 %v, partial %v: a spoiled checksum: %v", n, v6, partial, err)
					}
				}
			}
		}
	}
}
