package bench

import (
	"errors"
	"io"
	"net/netip"
	"net/rpc"
	"time"
)

// Endpoint makes this process the load generator of one namespace, client and
// server: it serves the requests that come in over r until that ends. Run
// starts such processes (Config.Endpoint).
func Endpoint(r io.Reader, w io.WriteCloser) error {
	s, err := startServer()
	if err != nil {
		return err
	}
	requests := rpc.NewServer()
	if err := requests.RegisterName(endpointName, &endpoint{server: s, start: time.Now()}); err != nil {
		return err
	}
	requests.ServeConn(stream{r, w})
	return nil
}

// A stream is what a process reads from and writes to, as one connection.
type stream struct {
	io.Reader
	io.WriteCloser
}

const endpointName = "endpoint"

// An endpoint answers requests; its methods are what net/rpc asks for.
type endpoint struct {
	server *server
	start  time.Time
	bulk   *bulk
}

// A Load is what a client shall do.
type Load struct {
	Addr  netip.AddrPort
	Flows int           // of bulk
	For   time.Duration // of the others
}

// A Count is how much a server has received until a time on its own clock.
type Count struct {
	Bytes uint64
	At    time.Duration
}

// Latency is a distribution of response times.
type Latency struct{ P50, P99 time.Duration }

// Nothing is what a request takes or returns that needs nothing.
type Nothing struct{}

// Bulk begins to send; Stop ends it.
func (e *endpoint) Bulk(l Load, _ *Nothing) error {
	if e.bulk != nil {
		return errors.New("bulk is under way already")
	}
	e.bulk = startBulk(l.Addr, l.Flows)
	return nil
}

// Stop ends what Bulk began.
func (e *endpoint) Stop(Nothing, *Nothing) error {
	if e.bulk == nil {
		return nil
	}
	err := e.bulk.stop()
	e.bulk = nil
	return err
}

// Count is asked of a server.
func (e *endpoint) Count(_ Nothing, c *Count) error {
	*c = Count{e.server.received.Load(), time.Since(e.start)}
	return nil
}

// Ping sends requests and waits for responses.
func (e *endpoint) Ping(l Load, out *Latency) error {
	h := new(histogram)
	if err := ping(l.Addr, l.For, h); err != nil {
		return err
	}
	*out = Latency{h.quantile(0.5), h.quantile(0.99)}
	return nil
}

// Connect opens connections and returns how many in a second.
func (e *endpoint) Connect(l Load, perSecond *float64) error {
	n, elapsed, err := connect(l.Addr, l.For)
	*perSecond = float64(n) / elapsed.Seconds()
	return err
}
