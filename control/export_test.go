package control

import "net/http"

// Handler is what Serve serves on a unix socket.
func (s *Server) Handler() http.Handler { return s.handler() }

// Routes lists the calls as METHOD PATH.
func (s *Server) Routes() (list []string) {
	for _, r := range s.routes() {
		list = append(list, r.method+" "+r.path)
	}
	return list
}

// Listeners is how many follow events.
func (s *Server) Listeners() int {
	n, _ := s.hub.count()
	return n
}

// Waits is how many wait for a condition.
func (s *Server) Waits() int {
	_, n := s.hub.count()
	return n
}
