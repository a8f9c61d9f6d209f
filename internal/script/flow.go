package script

import "slices"

// flow follows which sockets a script holds open, line by line, so that a
// command without its socket is found before anything runs. A script has no
// branches, so only expect-error makes the outcome of a line other than plain.
type flow struct {
	open []kind // in the order they were made
	lost bool   // a line had a mistake: what is open is no longer known
}

// A kind of socket, or of need for one.
type kind uint8

const (
	none kind = iota
	listener
	connection
	either
)

// take follows one command. The message, if any, says what it lacks.
func (f *flow) take(v verb, mustFail bool) (msg string) {
	if f.lost {
		return ""
	}
	if v.needs != none && !f.has(v.needs) {
		f.lost = true
		return map[kind]string{
			listener:   "needs a listener, and none is open here; listen first",
			connection: "needs a connection, and none is open here; connect or accept first",
			either:     "needs a socket, and none is open here",
		}[v.needs]
	}
	if v.makes != none && !mustFail {
		f.open = append(f.open, v.makes)
	}
	if v.ends {
		f.open = f.open[:len(f.open)-1]
	}
	return ""
}

func (f *flow) has(k kind) bool {
	return k == either && len(f.open) > 0 || slices.Contains(f.open, k)
}
