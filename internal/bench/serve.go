package bench

import "sync/atomic"

// serverPort is where every server listens.
const serverPort = 9000

// acceptors is how many threads take connections from the one listener.
const acceptors = 4

// A server serves what load.go asks for.
type server struct {
	received atomic.Uint64 // bytes, of all bulk flows so far
}

func startServer() (*server, error) {
	l, err := listen(serverPort)
	if err != nil {
		return nil, err
	}
	s := new(server)
	for range acceptors {
		go s.accept(l)
	}
	return s, nil
}

func (s *server) accept(l socket) {
	for {
		conn, err := l.accept()
		if err != nil {
			return // the process is ending
		}
		go s.serve(conn)
	}
}

// serve ends with its connection, by a RST as a rule.
func (s *server) serve(conn socket) {
	defer conn.abort()
	var service [1]byte
	if conn.fill(service[:]) != nil {
		return
	}
	switch service[0] {
	case serviceSink:
		s.sink(conn)
	case serviceEcho:
		echo(conn)
	case serviceOnce:
		once(conn)
	}
}

func (s *server) sink(conn socket) {
	b := make([]byte, 256<<10)
	for {
		n, err := conn.read(b)
		if err != nil {
			return
		}
		s.received.Add(uint64(n))
	}
}

func echo(conn socket) {
	if conn.hurry() != nil {
		return
	}
	var b [pingLen]byte
	for {
		n, err := conn.read(b[:])
		if err != nil || conn.write(b[:n]) != nil {
			return
		}
	}
}

// once answers, and leaves it to the client to end the connection.
func once(conn socket) {
	var b [1]byte
	if conn.write(b[:]) == nil {
		_, _ = conn.read(b[:])
	}
}
