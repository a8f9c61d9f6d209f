package conntrack

import (
	"testing"
	"time"
)

// TestSilence: an endpoint that had to retransmit and does not is gone. The
// scripts repeat what Linux was measured to do.
func TestSilence(t *testing.T) {
	playAll(t, []life{
		{"SYN_SENT", "", false, `
			Cx S 0:0
			+1s Cx S 0:0
			+1s Cx S 0:0
			+1s Cx S 0:0
			+1s Cx S 0:0
			+1s Cx S 0:0
			+2.1s Cx S 0:0
			+4.1s Cx S 0:0
			+8.2s Cx S 0:0
			+16.2s Cx S 0:0
			+34s Cx S 0:0            = SYN_SENT CLOSED : syn,retransmission
			+65s                     = SYN_SENT CLOSED
			+13s                     = CLOSED CLOSED timer
		`},
		{"SYN_SENT that goes on after all", "", false, `
			Cx S 0:0
			+1s Cx S 0:0
			+10s                     = CLOSED CLOSED timer
			C> S 0:0                 = SYN_SENT SYN_RCVD inc 1 evidence : syn,retransmission
		`},
		{"a request", open, false, ``},
		{"a request's SYN-ACK", "", false, `
			C> S 0:0
			Sx S. 0:0 ack 1
			+1s Sx S. 0:0 ack 1
			+2s Sx S. 0:0 ack 1
			+4.1s Sx S. 0:0 ack 1    = SYN_SENT SYN_RCVD
			+8.2s                    = SYN_SENT SYN_RCVD
			+3s                      = SYN_SENT CLOSED timer
			C> S 0:0                 = SYN_SENT SYN_RCVD : syn,retransmission
		`},
		{"LAST_ACK, and its peer in TIME_WAIT", openData, true, `
			C> F. 101:101 ack 101
			S> F. 101:101 ack 102    = TIME_WAIT LAST_ACK
			+207ms Sx F. 101:101 ack 102
			+208ms Sx F. 101:101 ack 102
			+425ms Sx F. 101:101 ack 102
			+840ms Sx F. 101:101 ack 102
			+1660ms Sx F. 101:101 ack 102 = TIME_WAIT LAST_ACK
			+3.3s                    = TIME_WAIT LAST_ACK
			+700ms                   = TIME_WAIT CLOSED timer
		`},
		{"a tail loss probe, then a long timeout", openData, true, `
			Cx P. 101:111 ack 101
			+240ms Cx P. 101:111 ack 101
			+930ms Cx P. 101:111 ack 101
			+1820ms C> P. 101:111 ack 101 = ESTABLISHED ESTABLISHED
		`},
		{"waits longer than two minutes do not get longer", openData, true, `
			Cx P. 101:111 ack 101
			+60s Cx P. 101:111 ack 101
			+120s Cx P. 101:111 ack 101
			+121s Cx P. 101:111 ack 101 = ESTABLISHED ESTABLISHED
			+136s                    = CLOSED ESTABLISHED timer
		`},
		{"what was acknowledged need not be sent again", openData, true, `
			Cx P. 101:111 ack 101
			+200ms C> P. 101:111 ack 101
			S> . 101:101 ack 111
			+1h                      = ESTABLISHED ESTABLISHED
		`},
		{"a tail sent once may stay unacknowledged: the wire cannot tell", openData, true, `
			Cx F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED
			+1h                      = FIN_WAIT_1 ESTABLISHED
		`},
		{"idle, with keepalives", openData, true, `
			+75s C> . 100:100 ack 101
			S> . 101:101 ack 101
			+75s C> . 100:100 ack 101
			+1h                      = ESTABLISHED ESTABLISHED
			Cx P. 101:111 ack 101
			+200ms Cx P. 101:111 ack 101
			+3s                      = CLOSED ESTABLISHED timer
		`},
		{"the SYN's interval says nothing of the data's", "", false, `
			Cx S 0:0
			+1s C> S 0:0
			S> S. 0:0 ack 1
			Cx P. 1:11 ack 1
			+1h                      = ESTABLISHED SYN_RCVD
		`},
		{"a closed window is probed, ever more slowly", openData, true, `
			Cx P. 101:201 ack 101
			S! . 101:101 ack 101 win 0
			+400ms Cx . 100:100 ack 101 = ESTABLISHED ESTABLISHED : ack,window-probe
			+800ms Cx . 100:100 ack 101
			+1600ms Cx . 100:100 ack 101
			+3s                      = ESTABLISHED ESTABLISHED
			+1s                      = CLOSED ESTABLISHED timer
		`},
		{"TIME_WAIT of the incarnation before runs on", closedByS, false, `
			+30s Cx S 5000:5000      = SYN_SENT TIME_WAIT inc 2
			+30s                     = SYN_SENT TIME_WAIT
			+2s                      = SYN_SENT CLOSED timer
		`},
		{"LAST_ACK of the incarnation before does so too", openData, false, `
			C> F. 101:101 ack 101
			Sx F. 101:101 ack 102
			+207ms Sx F. 101:101 ack 102
			Cx S 5000:5000           = SYN_SENT LAST_ACK inc 2
			+4s                      = SYN_SENT CLOSED timer
		`},
	})
}

// TestForgotten: a closed connection is remembered for two minutes from its
// end, and what is heard of it later.
func TestForgotten(t *testing.T) {
	playAll(t, []life{
		{"from the last segment", open, true, `
			C> R. 1:1 ack 1          = CLOSED CLOSED
			+100s S> R 1:1           = CLOSED CLOSED
			+119s                    = CLOSED CLOSED
			+2s                      = none none
		`},
		{"from the end of TIME_WAIT", openData, true, `
			C> F. 101:101 ack 101
			S> F. 101:101 ack 102
			C> . 102:102 ack 102
			+62s                     = CLOSED CLOSED timer
			+118s                    = CLOSED CLOSED
			+3s                      = none none
		`},
	})
}

// TestTimerOfRemoved: what is scheduled for a connection does not touch the one
// that has its place later.
func TestTimerOfRemoved(t *testing.T) {
	l := newLab(t, settings[0])
	l.run(open + `
		C> F. 1:1 ack 1
		S> F. 1:1 ack 2            = TIME_WAIT LAST_ACK
	`)
	c, _ := l.find("C")
	index := c.Index()
	l.table.remove(c)
	l.run(open)
	if c, _ = l.find("C"); c.Index() != index {
		t.Fatalf("the place was not used again: %d, %d", c.Index(), index)
	}
	l.run("+10m = ESTABLISHED ESTABLISHED")
}

// TestNestedReports: with no room for TIME_WAIT an endpoint passes through it, and
// is reported in this order.
func TestNestedReports(t *testing.T) {
	l := newLab(t, setting{stacks: [2]Stack{{NoTimeWait: true}, {}}})
	l.run(open + "C> F. 1:1 ack 1\n")
	l.moves = nil
	l.run("S> F. 1:1 ack 2 = CLOSED LAST_ACK timer")
	want := []string{
		"server CLOSE_WAIT > LAST_ACK by sent",
		"client FIN_WAIT_1 > FIN_WAIT_2 by delivered",
		"client FIN_WAIT_2 > TIME_WAIT by delivered",
		"client TIME_WAIT > CLOSED by timer",
	}
	got := l.moves[1:] // after the segment itself
	if len(got) != len(want) {
		t.Fatalf("got %q", got)
	}
	for i, w := range want {
		if _, what, _ := cutTime(got[i]); what != w {
			t.Errorf("got %q, want %q", what, w)
		}
	}
}

// cutTime separates a note from its time.
func cutTime(note string) (at time.Duration, what string, err error) {
	for i := range note {
		if note[i] == ' ' {
			at, err = time.ParseDuration(note[:i])
			return at, note[i+1:], err
		}
	}
	return 0, note, nil
}
