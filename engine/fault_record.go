package engine

import (
	"fmt"
	"slices"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// maxRecorded bounds the memory of the segments that are kept for replay, in bytes.
// The oldest make room.
const maxRecorded = 64 << 20

// A recordKey names a recording: the file's name for it, on one 4-tuple, so
// that it outlives the connection it was made on.
type recordKey struct {
	name string
	key  conntrack.Key
}

// A recording is a packet as it was sent, the device where it came in, and the ordinal of the
// connection that it belonged to.
type recording struct {
	buf  *Buf
	side int
	conn uint64
}

// recordFault keeps a copy of a segment.
type recordFault struct {
	As string `rule:"as,primary" doc:"the name of the copy; a later one replaces it" required:"true"`
}

var _ = register("record", "keep a copy of the segment under a name", onward, func() Fault { return new(recordFault) })

func (f *recordFault) Apply(j *Journey) {
	j.box.record(recordKey{f.As, j.Conn.Key()}, recording{j.copySent(), j.box.side, j.Conn.Ordinal()})
	j.tell("record", func() string { return "as " + f.As })
}

// record keeps a recording, in place of one of its name or of the oldest ones.
func (b *Box) record(k recordKey, r recording) {
	b.forget(k)
	b.recordings[k] = r
	b.recordOrder = append(b.recordOrder, k)
	b.recorded += len(r.buf.raw)
	for b.recorded > maxRecorded {
		b.forget(b.recordOrder[0])
	}
}

// forget ends a recording.
func (b *Box) forget(k recordKey) {
	old, ok := b.recordings[k]
	if !ok {
		return
	}
	delete(b.recordings, k)
	b.recordOrder = slices.DeleteFunc(b.recordOrder, func(o recordKey) bool { return o == k })
	b.recorded -= len(old.buf.raw)
	old.buf.Free()
}

// replayFault sends a recorded segment again, perhaps into a later incarnation.
type replayFault struct {
	Name       string        `rule:"name,primary" doc:"of the recording, on the same 4-tuple" required:"true"`
	After      time.Duration `rule:"after" doc:"how long after the rule fired, and between one and the next" default:"0s"`
	Times      int           `rule:"times" doc:"how often" default:"1" min:"1" max:"1000"`
	IntoWindow bool          `rule:"into_window" doc:"move its numbers and its timestamp so that the receiver accepts it" default:"false"`
}

var _ = register("replay", "send a recorded segment again, also into a later incarnation of the 4-tuple", onward, func() Fault { return new(replayFault) })

func (f *replayFault) Apply(j *Journey) {
	r, ok := j.box.recordings[recordKey{f.Name, j.Conn.Key()}]
	if !ok {
		j.tell("replay", func() string { return "nothing is recorded as " + f.Name })
		return
	}
	to := j.Conn.DirFrom(r.side).Peer()
	for i := range f.Times {
		p := pending{buf: j.box.pool.copyOf(r.buf), to: to, after: time.Duration(i+1) * f.After, fit: f.IntoWindow}
		if !f.IntoWindow {
			p.numbered = numbering{conn: r.conn} // later on it leaves as it was sent
		}
		j.leaveAfter(p)
	}
	j.tell("replay", func() string { return fmt.Sprintf("%s, %d times after %v", f.Name, f.Times, f.After) })
}

// fitIntoWindow moves a segment to where its receiver waits. The acknowledgment has
// to fit the receiver's own new numbers, and a timestamp must not be older than its
// TS.Recent: measured, Linux accepts nothing less (tcp_ack, PAWS).
func (b *Box) fitIntoWindow(p *wire.Packet, c *conntrack.Conn, to conntrack.Dir) {
	x := c.End(to)
	p.SetSeq(x.Received())
	p.SetAck(x.Next())
	if recent, ok := c.End(to).NewestTS(); ok {
		_, echo, _ := p.Timestamps()
		p.SetTimestamps(recent, echo)
	}
}
