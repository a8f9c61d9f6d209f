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
func (s *Server) Listeners() int { return s.hub.count() }

// Waits is how many wait for a condition.
func (s *Server) Waits() int {
	s.hub.mu.Lock()
	defer s.hub.mu.Unlock()
	return len(s.hub.vigils)
}
