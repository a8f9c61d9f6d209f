package conntrack

// Bytes is how much of an endpoint's stream it has sent so far, what it has sent again counted
// once, and how much its peer has received without a hole. What lies between is under way, or
// held, or was lost and comes again. Both are read off sequence numbers: SYN and FIN do
// not count, a connection that was picked up mid-stream counts from there, and so does one whose peer is
// not known to have received anything. Beyond 1 TiB sent does not tell all.
func (c *Conn) Bytes(d Dir) (sent, delivered uint64) {
	x, y := &c.ends[d], &c.ends[d.Peer()]
	if !x.has(sentSyn) || x.has(prior) {
		return 0, 0
	}
	sent = uint64(c.laps[d])<<32 + uint64(x.iss.Size(x.nxt)) - 1
	if x.has(sentFin) && x.fin.Less(x.nxt) {
		sent--
	}
	if !y.has(gotSyn) || y.has(prior) {
		return sent, 0
	}
	got := y.irs.Size(y.rcv) - 1
	if y.has(gotFin) {
		got--
	}
	// No more than half the space lies between them; a forged segment may be ahead.
	behind := int32(uint32(sent) - got)
	return sent, uint64(max(int64(sent)-int64(behind), 0))
}
