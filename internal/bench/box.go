package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/rules"
)

// A box is an Engine that runs between the devices of a stage.
type box struct {
	engine *engine.Engine
	stop   context.CancelFunc
	ended  chan error
}

// startBox sets an Engine going; conns idle connections are tracked from the start.
func startBox(s *stage, cfg engine.Config, conns int) (*box, error) {
	cfg.Devices = s.devices
	e, err := engine.New(cfg)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &box{e, stop, make(chan error, 1)}
	go func() { b.ended <- e.Run(ctx) }()
	if conns == 0 {
		return b, nil
	}
	return b, e.Call(func(b *engine.Box, now time.Duration) { openConns(b, now, conns) })
}

func (b *box) close() error {
	b.stop()
	return <-b.ended
}

// idleRules are n rules that cannot concern the server: each is about a port of
// its own, so that the box has them to know and nothing to do.
func idleRules(n int) *rules.Set {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "[[rule]]\nmatch = { port = %d, segment = 'data' }\naction = 'drop'\n", serverPort+1+i)
	}
	return rules.MustParse(text.String())
}

// exactRule has to look at each data segment of the server's connections, and
// waits for one that does not come.
func exactRule() *rules.Set {
	return rules.MustParse(fmt.Sprintf(`
		[[rule]]
		match  = { port = %d, segment = "data" }
		action = "drop"
		nth    = 1000000000
	`, serverPort))
}
