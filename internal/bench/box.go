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

func newEngine(s *stage, cfg engine.Config) (*engine.Engine, error) {
	cfg.Devices = s.devices
	return engine.New(cfg)
}

func startBox(e *engine.Engine) *box {
	ctx, stop := context.WithCancel(context.Background())
	b := &box{e, stop, make(chan error, 1)}
	go func() { b.ended <- e.Run(ctx) }()
	return b
}

// crowd has the box track idle connections besides the load.
func (b *box) crowd(conns int) error {
	return b.engine.Call(func(b *engine.Box, now time.Duration) { openConns(b, now, conns) })
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
