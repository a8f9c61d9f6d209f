package lab

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/engine"
)

// crowd is twelve connections, one after the other, and what rules count over all of
// them. The last one ends when the FINs of the others are held, with whichever worker.
var crowd = `
	[[rule]]
	name   = "the-third"
	match  = { from = "client", segment = "data+!retransmission", connection = 3 }
	action = "drop"
	[[rule]]
	name   = "two-in-all"
	match  = { from = "server", segment = "data+!retransmission" }
	total  = 2
	action = "drop"
	[[rule]]
	name   = "go"
	match  = { segment = "fin", from = "client", connection = 12 }
	action = { release = "keep" }
	[[rule]]
	name   = "keep"
	match  = { segment = "fin+!retransmission", from = "client", connection = "1-11" }
	action = { hold = "release" }

	[server]
	copies = 12
	script = """
	  listen 8080
	  accept
	  recv 4
	  send pong
	  recv eof
	  close
	"""
	[client]
	script = """
	` + strings.Repeat("connect server:8080\nsend ping\nrecv 4\nclose\n", 11) + `
	  connect server:8080
	  send ping
	  recv 4
	  sleep 500ms
	  close
	"""
	[[expect]]
	client      = ["TIME_WAIT", "CLOSED"] # a needless retransmission may end TIME_WAIT
	server      = "CLOSED"
	connections = 12
	[[expect]]
	rule  = "the-third"
	fired = 1
	[[expect]]
	rule  = "two-in-all"
	fired = 2
	[[expect]]
	rule  = "keep"
	fired = 11
`

// Several workers count as one: ordinals, totals, and a release that reaches all.
func TestWorkersCountAsOne(t *testing.T) {
	for _, workers := range []int{1, 2, 4} {
		t.Run(fmt.Sprint(workers), func(t *testing.T) {
			t.Parallel()
			res := execute(t, crowd, Options{Workers: workers, BusyPoll: workers == 2})
			passes(t, res)
			if res.Workers != workers || (res.Steering == engine.SteerNone) != (workers == 1) {
				t.Errorf("%d workers, steering %v", res.Workers, res.Steering)
			}
			if drops := droppedBy(res, "the-third"); len(drops) != 1 || drops[0].Conn != 3 {
				t.Errorf("the rule on the third connection has dropped %+v", drops)
			}
			if drops := droppedBy(res, "two-in-all"); len(drops) != 2 {
				t.Errorf("the rule with a total has dropped %d segments, want 2", len(drops))
			}
		})
	}
}

func droppedBy(res *Result, rule string) (drops []engine.Event) {
	for _, e := range res.Events {
		if e.Type == engine.EventSegment && e.Verdict == engine.Drop && e.Reason == "rule:"+rule {
			drops = append(drops, e)
		}
	}
	return drops
}

// Examples pass whoever does the work: with many connections, with a connection on the
// 4-tuple of an earlier one, with black holes and reboots.
func TestExamplesWithWorkers(t *testing.T) {
	for _, name := range []string{
		"last-ack-lost", "close-wait-pileup", "simultaneous-open", "closing-state-hold", "stale-dup-next-incarnation", "power-loss-reboot",
	} {
		for _, workers := range []int{2, 4} {
			t.Run(fmt.Sprintf("%s/%d", name, workers), func(t *testing.T) {
				t.Parallel()
				Run(t, filepath.Join("..", "examples", "rules", name+".toml"), Options{Workers: workers})
			})
		}
	}
}

// The report tells of several workers, and of what was not as asked.
func TestWorkersInReport(t *testing.T) {
	tests := []struct {
		name    string
		asked   int
		workers int
		how     engine.Steering
		crew    string
		notice  string
	}{
		{"one", 1, 1, engine.SteerNone, "offload off, seed", ""},
		{"four by the program", 4, 4, engine.SteerProgram, "offload off, 4 workers, steering program, seed", ""},
		{"four by the kernel", 4, 4, engine.SteerKernel, "offload off, 4 workers, steering kernel, seed", "notice: the kernel steered"},
		{"too few", 4, 1, engine.SteerNone, "offload off, seed", "notice: 4 workers were asked for, there was 1"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			res := &Result{IP: 4, Workers: tt.workers, Steering: tt.how, asked: tt.asked}
			text := render(res)
			if !strings.Contains(text, tt.crew) || !strings.Contains(text, tt.notice) || strings.Contains(text, "notice:") != (tt.notice != "") {
				t.Errorf("want %q and %q, got\n%s", tt.crew, tt.notice, text)
			}
			var out bytes.Buffer
			if err := res.WriteJSON(&out); err != nil {
				t.Fatal(err)
			}
			var told struct {
				Workers  int
				Steering string
			}
			if err := json.Unmarshal(out.Bytes(), &told); err != nil || told.Workers != tt.workers || told.Steering != tt.how.String() {
				t.Errorf("the JSON says %+v, %v", told, err)
			}
		})
	}
}
