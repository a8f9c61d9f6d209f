package conntrack

// Page calls f for the connections in n places of the table, from a place on; the first
// one is 1. It returns the place where the next page begins, 0 after the last. Who
// walks a large table so lets others use it between two pages: a connection
// that lives all the while is met once.
func (t *Table) Page(from, n int, f func(*Conn)) (next int) {
	end := min(from+n, len(t.chunks)*chunk+1)
	for i := from; i < end; i++ {
		if c := t.At(i); c != nil {
			f(c)
		}
	}
	if end > len(t.chunks)*chunk {
		return 0
	}
	return end
}
