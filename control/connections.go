package control

import (
	"cmp"
	"net/http"
	"strconv"

	"github.com/tcpmangle/tcpmangle/client"
	"github.com/tcpmangle/tcpmangle/conntrack"
	"github.com/tcpmangle/tcpmangle/engine"
)

// maxPage bounds the connections of one answer.
const maxPage = 1000

func (s *Server) listConnections(w http.ResponseWriter, r *http.Request) error {
	q, err := readSelection(r)
	if err != nil {
		return err
	}
	after, err := number(r, "after", 0)
	if err != nil {
		return err
	}
	limit, err := number(r, "limit", maxPage)
	if err != nil {
		return err
	}
	limit = min(limit, maxPage)
	out := client.Connections{Connections: []client.Connection{}}
	views, err := s.cfg.Engine.Conns(func(v *engine.ConnView) bool { return v.Conn > after && q.selects(v) })
	if err != nil {
		return err
	}
	out.Total = len(views)
	for i := range views[:min(uint64(len(views)), limit)] {
		out.Connections = append(out.Connections, connectionOf(&views[i]))
	}
	return answer(w, http.StatusOK, out)
}

// number reads a parameter of the URL.
func number(r *http.Request, key string, otherwise uint64) (uint64, error) {
	text := r.URL.Query().Get(key)
	if text == "" {
		return otherwise, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, refuse(http.StatusBadRequest, "%s: %q is not a number", key, text)
	}
	return n, nil
}

func (s *Server) showConnection(w http.ResponseWriter, r *http.Request) error {
	conn, err := connOf(r)
	if err != nil {
		return err
	}
	return s.answerConnection(w, conn)
}

// connOf reads the ordinal in the path.
func connOf(r *http.Request) (uint64, error) {
	conn, err := strconv.ParseUint(r.PathValue("conn"), 10, 64)
	if err != nil {
		return 0, refuse(http.StatusNotFound, "%q is no connection; its id is the number that events and lists call conn", r.PathValue("conn"))
	}
	return conn, nil
}

func (s *Server) answerConnection(w http.ResponseWriter, conn uint64) error {
	views, err := s.cfg.Engine.Conns(func(v *engine.ConnView) bool { return v.Conn == conn })
	if err != nil {
		return err
	}
	if len(views) == 0 {
		return noConnection(conn)
	}
	return answer(w, http.StatusOK, connectionOf(&views[0]))
}

func noConnection(conn uint64) error {
	return refuse(http.StatusNotFound, "there is no connection %d, or it is forgotten", conn)
}

// act does an action on a connection.
func (s *Server) act(w http.ResponseWriter, r *http.Request) error {
	conn, err := connOf(r)
	if err != nil {
		return err
	}
	var params map[string]any
	if err := readJSON(w, r, &params); err != nil {
		return err
	}
	action, err := readAction(r.PathValue("action"), params)
	if err != nil {
		return err
	}
	if _, err := s.cfg.Engine.Act(func(v *engine.ConnView) bool { return v.Conn == conn }, action); err != nil {
		return err
	}
	return s.answerConnection(w, conn)
}

// connectionOf is a connection in the API's words.
func connectionOf(v *engine.ConnView) client.Connection {
	c := client.Connection{
		Conn: v.Conn, Incarnation: v.Incarnation, Client: v.Client, Server: v.Server,
		ClientState: v.ClientState.String(), ServerState: v.ServerState.String(), PickedUp: v.PickedUp,
		Age: client.Duration(v.Age), Idle: client.Duration(v.Idle), Forgotten: v.Forgotten, Held: v.Held,
		Bytes: client.Bytes{Client: streamOf(v, conntrack.FromClient), Server: streamOf(v, conntrack.FromServer)},
		Lost:  []string{}, Tags: orEmpty(v.Tags), Rules: orEmpty(v.Rules),
	}
	for d, lost := range v.Lost {
		if lost {
			c.Lost = append(c.Lost, conntrack.Dir(d).String())
		}
	}
	return c
}

func streamOf(v *engine.ConnView, d conntrack.Dir) client.Stream {
	return client.Stream{Sent: v.Sent[d], Delivered: v.Delivered[d]}
}

// orEmpty is a list that JSON writes as such.
func orEmpty(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// readSelection reads the filter in the query of a URL.
func readSelection(r *http.Request) (*selection, error) {
	q := r.URL.Query()
	closed, err := strconv.ParseBool(cmp.Or(q.Get("closed"), "false"))
	if err != nil {
		return nil, refuse(http.StatusBadRequest, "closed: %q is not true or false", q.Get("closed"))
	}
	return newSelection(client.Filter{
		State: q.Get("state"), ClientState: q.Get("client_state"), ServerState: q.Get("server_state"),
		Port: q.Get("port"), Client: q.Get("client"), Server: q.Get("server"), Tag: q.Get("tag"), Closed: closed,
	})
}
