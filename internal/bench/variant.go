package bench

import (
	"errors"
	"net/netip"
	"os"
	"os/exec"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/tunnel"
)

// The ways that traffic can take, as reports name them.
const (
	KernelRouter = "kernel router"
	Bare         = "bare forwarding"
	Box          = "box"
	Box10        = "box, 10 rules"
	Box1000      = "box, 1,000 rules"
	BoxExact     = "box, exact rule"
	Box100k      = "box, 100,000 idle"
	BoxPlain     = "box, no offload"
	BoxSpin      = "box, busy-poll"
	BoxWorkers   = "box, four workers"
	Toxiproxy    = "Toxiproxy"
	HAProxy      = "HAProxy, tcp"
)

// A variant is one way.
type variant struct {
	name    string
	traffic []traffic
	open    func(*run) (*way, error)
}

// A way is a variant that is open for load.
type way struct {
	client, server *child
	to             netip.AddrPort
	pid            int // whose CPU time is the way's; 0: nobody's, it is the kernel's
	close          func() error
}

// workers is how many share the work where several do.
const workers = 4

// allTraffic is the full set; a variant that is only to show one thing has less.
var allTraffic = []traffic{bulkOne, bulkFour, roundTrip, connecting}

var variants = []variant{
	{KernelRouter, allTraffic, openKernel},
	{Bare, []traffic{bulkOne, roundTrip, connecting}, openBare},
	{Box, allTraffic, openBox(offloadStage, engine.Config{}, 0)},
	{Box10, allTraffic, openBox(offloadStage, engine.Config{Rules: idleRules(10)}, 0)},
	{Box1000, []traffic{bulkOne, roundTrip, connecting}, openBox(offloadStage, engine.Config{Rules: idleRules(1000)}, 0)},
	{BoxExact, allTraffic, openBox(offloadStage, engine.Config{Rules: exactRule()}, 0)},
	{Box100k, []traffic{bulkOne, roundTrip, connecting}, openCrowdedBox},
	{BoxPlain, allTraffic, openBox(plainStage, engine.Config{}, 0)},
	{BoxSpin, allTraffic, openBox(offloadStage, engine.Config{Rules: idleRules(10), BusyPoll: true}, 0)},
	{BoxWorkers, []traffic{bulkFour, connecting}, openBox(queuesStage, engine.Config{Rules: idleRules(10), Workers: workers}, 0)},
	{Toxiproxy, allTraffic, openProxy(toxiproxyKind)},
	{HAProxy, allTraffic, openProxy(haproxyKind)},
}

// noClose is of a way that stands for the whole run.
func noClose() error { return nil }

func openKernel(r *run) (*way, error) {
	s, err := r.stage(vethStage)
	if err != nil {
		return nil, err
	}
	return &way{s.client, s.server, netip.AddrPortFrom(serverAddr, serverPort), 0, noClose}, nil
}

func openBox(kind stageKind, cfg engine.Config, conns int) func(*run) (*way, error) {
	return func(r *run) (*way, error) {
		s, err := r.stage(kind)
		if err != nil {
			return nil, err
		}
		e, err := newEngine(s, cfg)
		if err != nil {
			return nil, err
		}
		b := startBox(e)
		if err := b.crowd(conns); err != nil {
			return nil, errors.Join(err, b.close())
		}
		return &way{s.client, s.server, netip.AddrPortFrom(serverAddr, serverPort), os.Getpid(), b.close}, nil
	}
}

func openCrowdedBox(r *run) (*way, error) {
	return openBox(offloadStage, engine.Config{}, r.cfg.Idle)(r)
}

func openProxy(kind proxyKind) func(*run) (*way, error) {
	return func(r *run) (*way, error) {
		s, err := r.stage(vethStage)
		if err != nil {
			return nil, err
		}
		p, err := r.proxy(s, kind)
		if err != nil {
			return nil, err
		}
		return &way{s.client, s.server, p.addr, p.cmd.Process.Pid, noClose}, nil
	}
}

// A stageKind is what the ways of a stage have in common.
type stageKind int

const (
	vethStage stageKind = iota
	offloadStage
	plainStage
	queuesStage
	stageKinds
)

// stage is the stage of that kind, made when it is first asked for.
func (r *run) stage(kind stageKind) (_ *stage, err error) {
	if r.stages[kind] != nil {
		return r.stages[kind], nil
	}
	link := veths
	switch kind {
	case offloadStage:
		link = tuns(tunnel.Config{})
	case plainStage:
		link = tuns(tunnel.Config{Offload: tunnel.Off})
	case queuesStage:
		link = tuns(tunnel.Config{Queues: workers})
	}
	r.stages[kind], err = newStage(r.cfg.Endpoint, link)
	return r.stages[kind], err
}

// proxy is the proxy of that kind, started when it is first asked for.
func (r *run) proxy(s *stage, kind proxyKind) (*proxy, error) {
	if p := r.proxies[kind.program]; p != nil {
		return p, nil
	}
	p, err := startProxy(s.router, kind)
	if err != nil {
		return nil, err
	}
	r.proxies[kind.program] = p
	return p, nil
}

// missing tells whether a way cannot be measured because its program is not here.
func missing(err error) bool { return errors.Is(err, exec.ErrNotFound) }
