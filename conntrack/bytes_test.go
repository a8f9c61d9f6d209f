package conntrack

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Bytes are those of the streams: what repeats, SYN and FIN are none.
func TestBytes(t *testing.T) {
	const open = "C> S 0:0 win 65535\nS> S. 0:0 ack 1 win 65535\nC> . 1:1 ack 1 win 65535\n"
	for _, row := range []struct {
		name   string
		script script
		c, s   [2]uint64 // sent, delivered
	}{
		{"a SYN", "C> S 0:0 win 65535\n", [2]uint64{0, 0}, [2]uint64{0, 0}},
		{"handshake", open, [2]uint64{0, 0}, [2]uint64{0, 0}},
		{"data", open + "C> . 1:101 ack 1\nS> . 1:31 ack 101\n", [2]uint64{100, 100}, [2]uint64{30, 30}},
		{"a loss", open + "Cx . 1:101 ack 1\n", [2]uint64{100, 0}, [2]uint64{0, 0}},
		{"a hole", open + "Cx . 1:101 ack 1\nC> . 101:201 ack 1\n", [2]uint64{200, 0}, [2]uint64{0, 0}},
		{"it is filled", open + "Cx . 1:101 ack 1\nC> . 101:201 ack 1\nC> . 1:101 ack 1\n", [2]uint64{200, 200}, [2]uint64{0, 0}},
		{"again and again", open + "C> . 1:101 ack 1\nC> . 1:101 ack 1\n", [2]uint64{100, 100}, [2]uint64{0, 0}},
		{"held", open + "C~ . 1:101 ack 1\n", [2]uint64{100, 0}, [2]uint64{0, 0}},
		{"FINs", open + "C> F. 1:11 ack 1\nS> . 1:1 ack 12\nS> F. 1:1 ack 12\nC> . 12:12 ack 2\n", [2]uint64{10, 10}, [2]uint64{0, 0}},
		{"a FIN that is lost", open + "Cx F. 1:11 ack 1\n", [2]uint64{10, 0}, [2]uint64{0, 0}},
		{"a forged FIN", open + "C! F. 1:1 ack 1\n", [2]uint64{0, 0}, [2]uint64{0, 0}},
		{"forged data", open + "C! . 1:11 ack 1\n", [2]uint64{0, 10}, [2]uint64{0, 0}},
		{"the next incarnation begins anew", open + "C> . 1:101 ack 1\nC> R. 101:101 ack 1\n+1m C> S 300:300 win 65535\n", [2]uint64{0, 0}, [2]uint64{0, 0}},
		{"picked up", "C> . 1:101 ack 1\nS> . 1:1 ack 101\nC> . 101:151 ack 1\nS> . 1:8 ack 151\n", [2]uint64{150, 150}, [2]uint64{7, 7}},
	} {
		for _, set := range settings {
			t.Run(row.name+", "+set.name, func(t *testing.T) {
				l := newLab(t, set)
				l.run(row.script)
				var got [2][2]uint64
				for d := range got {
					got[d][0], got[d][1] = l.conn.Bytes(Dir(d))
				}
				if want := [2][2]uint64{row.c, row.s}; got != want {
					t.Errorf("sent and delivered: got %v, want %v", got, want)
				}
			})
		}
	}
}

// Numbers come round after 4 GiB; bytes do not, up to 1 TiB.
func TestBytesOfLongStreams(t *testing.T) {
	for _, set := range settings {
		l := newLab(t, set)
		l.run("C> S 0:0 win 65535\nS> S. 0:0 ack 1 win 65535\nC> . 1:1 ack 1 win 65535\n")
		const step, steps = 1 << 29, 100
		x, y := &l.conn.ends[FromClient], &l.conn.ends[FromServer]
		for i := range uint64(steps) {
			l.table.SentOn(l.now, l.conn, FromClient, &Segment{Seq: x.nxt, Len: step, Flags: wire.ACK, Ack: y.nxt})
			if sent, got := l.conn.Bytes(FromClient); sent != (i+1)*step || got != i*step {
				t.Fatalf("%s: %d sent and %d delivered after %d", set.name, sent, got, (i+1)*step)
			}
			y.rcv, x.una = x.nxt, x.nxt
		}
	}
}

// Where numbers come round nothing is miscounted: not at the number of the SYN, and with a FIN neither.
func TestBytesWhereNumbersComeRound(t *testing.T) {
	const circle = 1 << 32
	for _, row := range []struct {
		name string
		size uint64 // of the stream
		fin  wire.Flags
	}{
		{"one short of the SYN's number", circle - 2, 0},
		{"at it", circle - 1, 0},
		{"beyond it", circle, 0},
		{"a FIN before it", circle - 2, wire.FIN},
		{"a FIN of its number", circle - 1, wire.FIN},
		{"a FIN behind it", circle, wire.FIN},
	} {
		for _, set := range settings {
			l := newLab(t, set)
			l.run("C> S 0:0 win 65535\nS> S. 0:0 ack 1 win 65535\nC> . 1:1 ack 1 win 65535\n")
			x, y := &l.conn.ends[FromClient], &l.conn.ends[FromServer]
			for left := row.size; left > 0; {
				s := Segment{Seq: x.nxt, Len: uint32(min(left, 1<<29)), Flags: wire.ACK, Ack: y.nxt}
				if left -= uint64(s.Len); left == 0 {
					s.Flags |= row.fin
				}
				l.table.SentOn(l.now, l.conn, FromClient, &s)
				y.rcv, x.una = s.Seq.Add(s.Len), s.Seq.Add(s.Len)
			}
			if sent, got := l.conn.Bytes(FromClient); sent != row.size || got != row.size {
				t.Errorf("%s, %s: %d sent and %d delivered, want %d", row.name, set.name, sent, got, row.size)
			}
		}
	}
}

// An acknowledgment of less than the SYN makes no bytes.
func TestBytesOfNonsense(t *testing.T) {
	for _, set := range settings {
		l := newLab(t, set)
		l.run("C> S 0:0 win 65535\nS> S. 0:0 ack 1 win 65535\nC> . 1:1 ack 1 win 65535\nC> . 1:11 ack 1\n")
		y := &l.conn.ends[FromServer]
		y.rcv = y.irs.Add(minusOne)
		if sent, got := l.conn.Bytes(FromClient); sent != 10 || got != 0 {
			t.Errorf("%s: %d sent and %d delivered, want 10 and 0", set.name, sent, got)
		}
	}
}
