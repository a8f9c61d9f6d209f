package conntrack

import (
	"fmt"
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/seq"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// closedByS leaves S in TIME_WAIT with RCV.NXT 102 and SND.NXT 102, C closed.
const closedByS = openData + `
	S> F. 101:101 ack 101
	C> F. 101:101 ack 102
	S> . 102:102 ack 102     = CLOSED TIME_WAIT
`

// TestSynIntoTimeWait is the table of when Linux lets a SYN end TIME_WAIT:
// not refused by PAWS, and either number or timestamp newer (RFC 6191).
func TestSynIntoTimeWait(t *testing.T) {
	const before = openTS + `
		S> F. 1:1 ack 1 ts 300
		C> F. 1:1 ack 2 ts 300
		S> . 2:2 ack 2 ts 300      = CLOSED TIME_WAIT
	`
	const rcv = 2 // RCV.NXT of S
	newer, equal, older, none := " ts 301", " ts 300", " ts 299", ""
	for _, row := range []struct {
		seq     int
		ts      string
		accepts bool
	}{
		{rcv + 1, newer, true}, {rcv + 1, equal, true}, {rcv + 1, older, false}, {rcv + 1, none, true},
		{rcv, newer, true}, {rcv, equal, false}, {rcv, older, false}, {rcv, none, false},
		{rcv - 1, newer, true}, {rcv - 1, equal, false}, {rcv - 1, older, false}, {rcv - 1, none, false},
		{rcv - 100000, newer, true}, {rcv - 100000, equal, false}, {rcv - 100000, older, false}, {rcv - 100000, none, false},
	} {
		state := "TIME_WAIT"
		if row.accepts {
			state = "SYN_RCVD"
		}
		t.Run(fmt.Sprintf("%+d%s", row.seq-rcv, row.ts), func(t *testing.T) {
			play(t, before, script(fmt.Sprintf("C> S %d:%d%s = SYN_SENT %s inc 2 : syn", row.seq, row.seq, row.ts, state)), false, [2]Stack{})
		})
	}
}

// TestTimestampInTimeWait: TIME_WAIT takes the timestamp of a bare ACK at RCV.NXT,
// and of nothing else.
func TestTimestampInTimeWait(t *testing.T) {
	const before = openTS + `
		S> F. 1:1 ack 1 ts 300
		C> F. 1:1 ack 2 ts 300
		S> . 2:2 ack 2 ts 300      = CLOSED TIME_WAIT
	`
	play(t, before+"C! . 2:2 ack 2 ts 400\n", "C> S 5000:5000 ts 350 = SYN_SENT TIME_WAIT", false, [2]Stack{})
	play(t, before+"C! . 1:1 ack 2 ts 400\n", "C> S 5000:5000 ts 350 = SYN_SENT SYN_RCVD", false, [2]Stack{})
	play(t, before+"C! P. 2:3 ack 2 ts 400\n", "C> S 5000:5000 ts 350 = SYN_SENT SYN_RCVD", false, [2]Stack{})
}

// TestTimeWaitAnswers: the answer to a SYN that it would have handed to a listener tells
// what TIME_WAIT has taken.
func TestTimeWaitAnswers(t *testing.T) {
	const before = openTS + `
		S> F. 1:1 ack 1 ts 300
		C> F. 1:1 ack 2 ts 300
		S> . 2:2 ack 2 ts 300      = CLOSED TIME_WAIT
		C! S 5000:5000 ts 400      = CLOSED SYN_RCVD
		S> . 2:2 ack 2 ts 300 ecr 300 = CLOSED TIME_WAIT evidence
	`
	play(t, before, "C> S -9000:-9000 ts 300 = SYN_SENT TIME_WAIT", false, [2]Stack{})
	play(t, before, "C> S -9000:-9000 ts 301 = SYN_SENT SYN_RCVD", false, [2]Stack{})
}

func TestIncarnations(t *testing.T) {
	playAll(t, []life{
		{"a SYN above TIME_WAIT begins the next one", closedByS, false, `
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 2 opener C : syn
			S> S. 70000:70000 ack 5001 = ESTABLISHED SYN_RCVD inc 2 : syn-ack
			C> . 5001:5001 ack 70001 = ESTABLISHED ESTABLISHED inc 2 : handshake-ack,ack
			C> F. 5001:5001 ack 70001 = FIN_WAIT_1 CLOSE_WAIT : fin,first-fin
			S> F. 70001:70001 ack 5002 = TIME_WAIT LAST_ACK : fin,second-fin,ack-of-fin
		`},
		{"a SYN below TIME_WAIT: ACK, RST, SYN again", closedByS, false, `
			C> S -100000:-100000     = SYN_SENT TIME_WAIT inc 2 : syn
			S> . 102:102 ack 102     = SYN_SENT TIME_WAIT : ack,challenge-ack,stale
			C> R 102:102             = SYN_SENT CLOSED : rst,stale
			+10ms C> S -100000:-100000 = SYN_SENT SYN_RCVD inc 2 : syn,retransmission
			S> S. 70000:70000 ack -99999 = ESTABLISHED SYN_RCVD : syn-ack
			C> . -99999:-99999 ack 70001 = ESTABLISHED ESTABLISHED
		`},
		{"a SYN below TIME_WAIT, until that runs out", closedByS, false, `
			+10s C> S -100000:-100000 = SYN_SENT TIME_WAIT inc 2
			+52s                     = SYN_SENT CLOSED timer
			C> S -100000:-100000     = SYN_SENT SYN_RCVD
		`},
		{"TIME_WAIT would take it, but nobody listens", closedByS, false, `
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 2
			S> . 102:102 ack 102     = SYN_SENT TIME_WAIT evidence : ack,stale
			C> R 102:102             = SYN_SENT CLOSED : rst,stale
		`},
		{"SYN and FIN above TIME_WAIT ends it", closedByS, false, `
			C! SF 5000:5000          = CLOSED CLOSED
		`},
		{"TIME_WAIT of the client, the client again", openData, false, `
			C> F. 101:101 ack 101
			S> F. 101:101 ack 102
			C> . 102:102 ack 102     = TIME_WAIT CLOSED
			+2s C> S 5000:5000       = SYN_SENT SYN_RCVD inc 2 opener C
		`},
		{"the server's host opens the next one", closedByS, false, `
			S> S 9000:9000           = SYN_RCVD SYN_SENT inc 2 opener S : syn
			C> S. 6000:6000 ack 9001 = SYN_RCVD ESTABLISHED : syn-ack
			S> . 9001:9001 ack 6001  = ESTABLISHED ESTABLISHED : handshake-ack,ack
			S> F. 9001:9001 ack 6001 = CLOSE_WAIT FIN_WAIT_1 : fin,first-fin
		`},
		{"and the client's the third", closedByS, false, `
			S> S 9000:9000
			C> S. 6000:6000 ack 9001
			S> . 9001:9001 ack 6001
			S> R. 9001:9001 ack 6001 = CLOSED CLOSED inc 2
			C> S 12000:12000         = SYN_SENT SYN_RCVD inc 3 opener C
		`},
		{"the client's host restarts: challenge, RST, SYN again", openData, false, `
			C> S 5000:5000           = SYN_SENT ESTABLISHED inc 2 : syn
			S> . 101:101 ack 101     = SYN_SENT ESTABLISHED : ack,challenge-ack,stale
			C> R 101:101             = SYN_SENT CLOSED : rst,stale
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 2 : syn,retransmission
			S> S. 7000:7000 ack 5001 = ESTABLISHED SYN_RCVD inc 2 : syn-ack
			C> . 5001:5001 ack 7001  = ESTABLISHED ESTABLISHED inc 2 : handshake-ack,ack
		`},
		{"that RST lost: the server keeps the old connection", openData, false, `
			C> S 5000:5000           = SYN_SENT ESTABLISHED inc 2
			S> . 101:101 ack 101     = SYN_SENT ESTABLISHED
			Cx R 101:101             = SYN_SENT ESTABLISHED
			S> F. 101:101 ack 101    = SYN_SENT FIN_WAIT_1 : fin,stale          // and closes it
			Cx R 101:101             = SYN_SENT FIN_WAIT_1
		`},
		{"the server's host restarts too", openData, false, `
			C> S 5000:5000           = SYN_SENT ESTABLISHED inc 2
			S> S. 7000:7000 ack 5001 = ESTABLISHED SYN_RCVD inc 2 evidence : syn-ack
			C> . 5001:5001 ack 7001  = ESTABLISHED ESTABLISHED : handshake-ack,ack
		`},
		{"the server's host restarts and nobody listens", openData, false, `
			C> S 5000:5000           = SYN_SENT ESTABLISHED inc 2
			S> R. 0:0 ack 5001       = CLOSED CLOSED : rst
		`},
		{"FIN_WAIT_2 of the client, the client again", openData, false, `
			C> F. 101:101 ack 101
			S> . 101:101 ack 102     = FIN_WAIT_2 CLOSE_WAIT
			C> S 5000:5000           = SYN_SENT CLOSE_WAIT inc 2
			S> . 101:101 ack 102     = SYN_SENT CLOSE_WAIT : ack,challenge-ack,stale
			C> R 102:102             = SYN_SENT CLOSED
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 2
		`},
		{"a SYN into FIN_WAIT_2 that is no socket any more", openData, false, `
			S> F. 101:101 ack 101
			C> . 101:101 ack 102     = CLOSE_WAIT FIN_WAIT_2
			C> S 5000:5000           = SYN_SENT FIN_WAIT_2 inc 2
			S> R. 0:0 ack 5001       = CLOSED CLOSED
		`},
		{"an old request: its SYN-ACK is stale, and so is its RST-able wait", inRequest, false, `
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 2
			S> S. 0:0 ack 1          = SYN_SENT SYN_RCVD inc 2 : syn-ack,stale
			C> R 1:1                 = SYN_SENT CLOSED : rst,stale
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 2
			S> S. 8000:8000 ack 5001 = ESTABLISHED SYN_RCVD : syn-ack
		`},
		{"segments of the old incarnation do not move the new one", closedByS, false, `
			C> S 5000:5000
			S> S. 70000:70000 ack 5001
			C> . 5001:5001 ack 70001 = ESTABLISHED ESTABLISHED inc 2
			C! F. 101:101 ack 101    = ESTABLISHED ESTABLISHED
			C! R 102:102             = ESTABLISHED ESTABLISHED
			C! P. 1:101 ack 1        = ESTABLISHED ESTABLISHED
			S! F. 101:101 ack 101    = ESTABLISHED ESTABLISHED
			C! P. 5001:5002 ack 1    = ESTABLISHED ESTABLISHED                  // right number, old ack
			S> . 70001:70001 ack 5001 = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
		`},
		{"a stale segment read late", closedByS, false, `
			C> S 5000:5000
			S> S. 70000:70000 ack 5001
			C> . 5001:5001 ack 70001
			Cx P. 50:60 ack 101      = ESTABLISHED ESTABLISHED : data,stale
			Cx F. 101:101 ack 102    = ESTABLISHED ESTABLISHED : fin,stale
			Cx P. 9000:9010 ack 70001 = ESTABLISHED ESTABLISHED : data,out-of-order  // neither here nor there
		`},
		{"both hosts open at once after TIME_WAIT", closedByS, false, `
			C~ S 5000:5000           = SYN_SENT TIME_WAIT inc 2
			S~ S 9000:9000           = SYN_SENT SYN_SENT inc 2
			~C                       = SYN_SENT SYN_RCVD
			~S                       = SYN_RCVD SYN_RCVD
		`},
		{"the server's host opens at once too: it has lost the old socket", openData, false, `
			Cx S 5000:5000           = SYN_SENT ESTABLISHED inc 2
			S> S 9000:9000           = SYN_RCVD SYN_SENT inc 2 evidence
		`},
		{"an old socket nobody knew of answers the SYN", "", false, `
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 1
			S> . 777:777 ack 888     = SYN_SENT ESTABLISHED evidence : ack,stale
			C> R 888:888             = SYN_SENT CLOSED : rst
			C> S 5000:5000           = SYN_SENT SYN_RCVD inc 1 : syn,retransmission
		`},
		{"an old socket answers a SYN that did not get there, as far as we know", "", false, `
			Cx S 0:0                 = SYN_SENT CLOSED
			S> P. 777:787 ack 888    = SYN_SENT ESTABLISHED evidence : data,stale
			C> R 888:888             = SYN_SENT CLOSED
		`},
		{"the number of the old SYN once more is a new connection", open, false, `
			C> R. 1:1 ack 1          = CLOSED CLOSED
			+200ms C> S 0:0          = SYN_SENT SYN_RCVD inc 2
		`},
		{"a refused SYN, then another", "", false, `
			C> S 0:0
			S> R. 0:0 ack 1          = CLOSED CLOSED
			+200ms C> S 0:0          = SYN_SENT SYN_RCVD inc 2
		`},
	})
}

func TestPickUp(t *testing.T) {
	playAll(t, []life{
		{"data", "", false, `
			C> P. 101:201 ack 301    = ESTABLISHED ESTABLISHED opener C : data
			S> . 301:301 ack 201     = ESTABLISHED ESTABLISHED : ack
			S> P. 301:302 ack 201    = ESTABLISHED ESTABLISHED : data
			C> F. 201:201 ack 302    = FIN_WAIT_1 CLOSE_WAIT : fin,first-fin
			S> F. 302:302 ack 202    = TIME_WAIT LAST_ACK
			C> . 202:202 ack 303     = TIME_WAIT CLOSED
		`},
		{"from the server", "", false, `
			S> P. 101:201 ack 301    = ESTABLISHED ESTABLISHED opener C : data
			C> R 301:301             = CLOSED CLOSED
		`},
		{"a keepalive", "", false, `
			C> . 100:100 ack 301     = ESTABLISHED ESTABLISHED
			S> . 301:301 ack 101     = ESTABLISHED ESTABLISHED : ack
			C> P. 101:111 ack 301    = ESTABLISHED ESTABLISHED
			S> . 301:301 ack 111     = ESTABLISHED ESTABLISHED
		`},
		{"a SYN-ACK", "", false, `
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD opener C : syn-ack
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED : handshake-ack,ack
		`},
		{"a FIN", "", false, `
			C> F. 101:101 ack 301    = FIN_WAIT_1 CLOSE_WAIT : fin,first-fin
		`},
		{"beyond a hole that we know nothing of", "", false, `
			C> P. 201:301 ack 301    = ESTABLISHED ESTABLISHED
			+200ms S> . 301:301 ack 101 = ESTABLISHED ESTABLISHED
			C> F. 301:301 ack 301    = FIN_WAIT_1 ESTABLISHED
		`},
		{"then a SYN is the next incarnation", "", false, `
			C> P. 101:201 ack 301
			C> S 5000:5000           = SYN_SENT ESTABLISHED inc 2
		`},
	})
	l := newLab(t, settings[0])
	l.run("Cx R. 1:1 ack 1 = none none : rst\nC> . 1:1 ack 1 = ESTABLISHED ESTABLISHED")
	if c, _ := l.find("C"); !c.PickedUp() {
		t.Error("not marked as picked up")
	}
	l.run("S> . 1:1 ack 1 win 2\nC> . 1:1 ack 1 win 3")
	c, d := l.find("C")
	if got, want := c.End(d).Window(), uint32(1000<<maxScale); got != want { // its scale is a guess
		t.Errorf("the client's window: got %d, want %d", got, want)
	}
	if got, want := c.End(d.Peer()).Window(), uint32(2<<maxScale); got != want {
		t.Errorf("the server's window: got %d, want %d", got, want)
	}
}

// TestEvidence: where what an endpoint sends contradicts what we thought of it.
func TestEvidence(t *testing.T) {
	playAll(t, []life{
		{"an ACK of what we did not deliver", openData, true, `
			Cx P. 101:201 ack 101    = ESTABLISHED ESTABLISHED
			S> . 101:101 ack 201     = ESTABLISHED ESTABLISHED
			C> F. 201:201 ack 101    = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"an ACK of a FIN that we did not deliver", openData, true, `
			Cx F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED
			S> . 101:101 ack 102     = FIN_WAIT_2 CLOSE_WAIT evidence : ack,ack-of-fin
		`},
		{"FIN with an ACK of a FIN that we did not deliver", openData, true, `
			Cx F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED
			S> F. 101:101 ack 102    = TIME_WAIT LAST_ACK evidence
		`},
		{"an old ACK long after: the FIN was not taken", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			+200ms S> . 101:101 ack 101 = FIN_WAIT_1 ESTABLISHED evidence
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"an old ACK at once has only crossed it", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			S> . 101:101 ack 101     = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"an old ACK long after: data was not taken", openData, true, `
			C> P. 101:201 ack 101
			+200ms S> . 101:101 ack 101
			C> F. 201:201 ack 101    = FIN_WAIT_1 ESTABLISHED
		`},
		{"a repeated FIN shows that its ACK was not taken", openData, true, `
			C> F. 101:101 ack 101
			S> . 101:101 ack 102     = FIN_WAIT_2 CLOSE_WAIT
			+200ms C> F. 101:101 ack 101 = FIN_WAIT_1 CLOSE_WAIT evidence
		`},
		{"a repeated FIN at once has only crossed it", openData, true, `
			C> F. 101:101 ack 101
			S> . 101:101 ack 102
			C> F. 101:101 ack 101    = FIN_WAIT_2 CLOSE_WAIT
		`},
		{"a FIN from an endpoint thought CLOSED", openData, true, `
			C> F. 101:101 ack 101
			S> F. 101:101 ack 102
			C> . 102:102 ack 102     = TIME_WAIT CLOSED
			+200ms S> F. 101:101 ack 102 = TIME_WAIT LAST_ACK evidence
		`},
		{"that FIN crossed the last ACK", openData, true, `
			C> F. 101:101 ack 101
			S> F. 101:101 ack 102
			C> . 102:102 ack 102     = TIME_WAIT CLOSED
			S> F. 101:101 ack 102    = TIME_WAIT CLOSED
		`},
		{"data from an endpoint that we had reset", openData, true, `
			+1s C! R 101:101         = ESTABLISHED CLOSED
			S> P. 101:111 ack 101    = ESTABLISHED CLOSED
			+200ms S> P. 111:121 ack 101 = ESTABLISHED ESTABLISHED evidence
		`},
		{"a FIN that crossed the RST changes nothing", openData, true, `
			+1s C! R 101:101         = ESTABLISHED CLOSED
			S> F. 101:101 ack 101    = CLOSE_WAIT CLOSED
		`},
		{"a SYN-ACK that crossed the RST changes nothing", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			C! R 1:1                 = SYN_SENT CLOSED
			S> S. 0:0 ack 1          = ESTABLISHED CLOSED
			C> . 1:1 ack 1           = ESTABLISHED CLOSED
			S> R 1:1                 = CLOSED CLOSED
		`},
		{"a FIN below what was acknowledged", openData, true, `
			C> F. 51:51 ack 101      = FIN_WAIT_1 ESTABLISHED evidence
		`},
		{"a SYN-ACK long after the RST: the request lives", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			C! R 1:1                 = SYN_SENT CLOSED
			+1s S> S. 0:0 ack 1      = ESTABLISHED SYN_RCVD
		`},
		{"another FIN than the first", openData, true, `
			Cx F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED : fin,first-fin
			C> FP. 101:111 ack 101   = FIN_WAIT_1 CLOSE_WAIT : data,fin,first-fin,retransmission
			S> F. 101:101 ack 112    = TIME_WAIT LAST_ACK : fin,second-fin,ack-of-fin
		`},
	})
}

// A number counts from where its incarnation began, wherever that was.
func TestRelative(t *testing.T) {
	const before, now, moved = 1000, 1_000_000, 50
	for _, base := range []seq.Num{0, 1 << 31, 1<<32 - now} {
		c := Conn{old: [2]seq.Range{{From: base + before, To: base + before + 100}}, shift: [2]uint32{moved}}
		if got := c.Relative(FromClient, base+before+7); got != 7 {
			t.Errorf("before there is an ISN: %d, want 7 of the incarnation before", got)
		}
		if n := base + now; c.Relative(FromClient, n) != uint32(n) {
			t.Errorf("before there is an ISN: %d is %d", n, c.Relative(FromClient, n))
		}
		c.ends[FromClient] = Endpoint{facts: sentSyn, iss: base + now, nxt: base + now + 20}
		for _, row := range []struct {
			n          seq.Num
			sent, seen uint32
		}{
			{now, 0, 1<<32 - moved}, {now + 20, 20, 1<<32 - moved + 20}, {now + moved, moved, 0}, {now + 500, 500, 500 - moved},
			{before, 0, 0}, {before + 100, 100, 100}, // all of the incarnation before, and what acknowledges that
			{before + 101, 1<<32 + before + 101 - now, 1<<32 + before + 101 - now - moved},
		} {
			sent, seen := c.Relative(FromClient, base+row.n), c.RelativeSeen(FromClient, base+row.n)
			if sent != row.sent || seen != row.seen {
				t.Errorf("at %d: %d is %d to its sender and %d to its peer, want %d and %d", base, row.n, sent, seen, row.sent, row.seen)
			}
		}
		c.ends[FromClient].iss, c.ends[FromClient].nxt = base+before+50, base+before+200
		if got := c.Relative(FromClient, base+before+60); got != 10 {
			t.Errorf("where both incarnations were: %d, want 10 of this one", got)
		}
	}
}

// The numbers of the incarnation before tell nothing any more once those of this one have come there.
func TestOldNumbersComeRound(t *testing.T) {
	for _, set := range settings {
		l := newLab(t, set)
		l.run(`
			C> S 0:0 win 65535
			S> S. 0:0 ack 1 win 65535
			C> . 1:1001 ack 1 win 65535
			C> R. 1001:1001 ack 1
			+1m C> S 5000:5000 win 65535
			S> S. 5000:5000 ack 5001 win 65535
			C> . 5001:5001 ack 5001 win 65535
		`)
		x, y := &l.conn.ends[FromClient], &l.conn.ends[FromServer]
		send := func(from seq.Num, size uint32) Kinds {
			s := Segment{Seq: from, Len: size, Flags: wire.ACK, Ack: y.nxt}
			kinds := l.table.SentOn(l.now, l.conn, FromClient, &s)
			y.rcv, x.una = x.nxt, x.nxt
			return kinds
		}
		if kinds := send(l.conn.old[FromClient].From.Add(500), 10); !kinds.Has(KindStale) {
			t.Errorf("%s: what is late of the incarnation before is %v", set.name, kinds)
		}
		edge := l.conn.old[FromClient].From - 1000
		for x.nxt != edge {
			send(x.nxt, min(1<<29, x.nxt.Size(edge)))
		}
		send(edge.Add(10), 1400) // behind a hole, and not where the incarnation before was
		if x.nxt != edge.Add(1410) {
			t.Fatalf("%s: %d sent, want all", set.name, edge.Size(x.nxt))
		}
		if kinds := send(edge.Add(1100), 10); kinds.Has(KindStale) || !kinds.Has(KindRetransmission) {
			t.Errorf("%s: what is sent again before it has come round is %v", set.name, kinds)
		}
		send(x.nxt, 10_000)
		if kinds := send(edge.Add(1100), 10); kinds.Has(KindStale) || !kinds.Has(KindRetransmission) {
			t.Errorf("%s: what is sent again once it has come round is %v", set.name, kinds)
		}
		if n, want := l.conn.Relative(FromClient, edge.Add(1100)), x.iss.Size(edge.Add(1100)); n != want {
			t.Errorf("%s: its number is %d, want %d", set.name, n, want)
		}
	}
}
