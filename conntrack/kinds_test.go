package conntrack

import (
	"testing"
	"time"
)

func TestKinds(t *testing.T) {
	playAll(t, []life{
		{"retransmission, and data past a hole", openData, true, `
			C> P. 101:201 ack 101    = ESTABLISHED ESTABLISHED : data
			C> P. 101:201 ack 101    = ESTABLISHED ESTABLISHED : data,retransmission
			C> P. 151:301 ack 101    = ESTABLISHED ESTABLISHED : data,retransmission    // some of it is new
			C> P. 401:501 ack 101    = ESTABLISHED ESTABLISHED : data,out-of-order
		`},
		{"duplicate ACK and window update", openData, true, `
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack
			C> . 101:101 ack 101 win 2000 = ESTABLISHED ESTABLISHED : ack,window-update
			S> P. 101:111 ack 101
			C> . 101:101 ack 111 win 3000 = ESTABLISHED ESTABLISHED : ack
		`},
		{"keepalive", openData, true, `
			+75s C> . 100:100 ack 101 = ESTABLISHED ESTABLISHED : ack,keepalive
			S> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,keepalive-ack
			+75s C> . 100:101 ack 101 = ESTABLISHED ESTABLISHED : data,keepalive        // with the byte of old
			S> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,keepalive-ack
			S> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack
		`},
		{"the last byte again is no keepalive", openData, true, `
			Cx P. 101:102 ack 101    = ESTABLISHED ESTABLISHED : data
			C> P. 101:102 ack 101    = ESTABLISHED ESTABLISHED : data,retransmission
			C> P. 101:102 ack 101    = ESTABLISHED ESTABLISHED : data,retransmission
			S> . 101:101 ack 102     = ESTABLISHED ESTABLISHED : ack
		`},
		{"window probe", openData, true, `
			S! . 101:101 ack 101 win 0 = ESTABLISHED ESTABLISHED
			+200ms C> . 100:100 ack 101 = ESTABLISHED ESTABLISHED : ack,window-probe
			S> . 101:101 ack 101 win 0 = ESTABLISHED ESTABLISHED : ack,window-update
			+400ms C> P. 101:102 ack 101 = ESTABLISHED ESTABLISHED : data,window-probe  // by a byte of data
			S> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,window-update
		`},
		{"one byte elsewhere is no window probe", openData, true, `
			Cx P. 101:201 ack 101
			S! . 101:101 ack 101 win 0
			C> P. 201:202 ack 101    = ESTABLISHED ESTABLISHED : data
			C> P. 150:151 ack 101    = ESTABLISHED ESTABLISHED : data,retransmission
		`},
		{"window probe with data in flight", openData, true, `
			Cx P. 101:201 ack 101    = ESTABLISHED ESTABLISHED : data
			S! . 101:101 ack 101 win 0 = ESTABLISHED ESTABLISHED
			+200ms C> . 100:100 ack 101 = ESTABLISHED ESTABLISHED : ack,window-probe
		`},
		{"an ACK above SND.NXT is challenged", openData, true, `
			S! . 101:101 ack 102     = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
		`},
		{"an ACK below what was ever sent is challenged", openData, true, `
			S! P. 101:111 ack -1     = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			S! P. 101:111 ack 1      = ESTABLISHED ESTABLISHED                  // old, but it may be
			C> . 101:101 ack 111     = ESTABLISHED ESTABLISHED : ack
		`},
		{"an old duplicate is answered, and that is no challenge", openData, true, `
			S! P. 51:101 ack 101     = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack
		`},
		{"data outside the window is challenged", openData, true, `
			S! P. 5000:5010 ack 101  = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
		`},
		{"without ACK, SYN and RST nothing counts", openData, true, `
			C! P 101:111             = ESTABLISHED ESTABLISHED
			C! P 9999:9999           = ESTABLISHED ESTABLISHED
			S> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack
		`},
	})
}

func TestTimestamps(t *testing.T) {
	playAll(t, []life{
		{"PAWS refuses data and FIN, one tick is let pass", openTS, true, `
			C> P. 1:11 ack 1 ts 200  = ESTABLISHED ESTABLISHED
			S> . 1:1 ack 11 ts 200
			C! F. 11:11 ack 1 ts 198 = ESTABLISHED ESTABLISHED
			S> . 1:1 ack 11 ts 200   = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			C! F. 11:11 ack 1 ts 199 = ESTABLISHED CLOSE_WAIT
		`},
		{"an old bare ACK is passed over", openTS, true, `
			C> P. 1:11 ack 1 ts 200  = ESTABLISHED ESTABLISHED
			C! . 1:1 ack 1 ts 100    = ESTABLISHED ESTABLISHED
			S> . 1:1 ack 11 ts 200   = ESTABLISHED ESTABLISHED : ack
			C! . 11:11 ack 1 ts 100                                         // but not at RCV.NXT
			S> . 1:1 ack 11 ts 200   = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			C! P. 1:2 ack 1 ts 100                                          // nor with data
			S> . 1:1 ack 11 ts 200   = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
		`},
		{"a segment without timestamps is taken", openTS, true, `
			C! F. 1:1 ack 1          = ESTABLISHED CLOSE_WAIT
		`},
		{"a timestamp from the future poisons", openTS, true, `
			C! P. 1:2 ack 1 ts 2000000 = ESTABLISHED ESTABLISHED
			+300ms Cx P. 1:11 ack 1 ts 200
			S> . 1:1 ack 2 ts 200
			C> F. 11:11 ack 1 ts 201 = FIN_WAIT_1 ESTABLISHED
		`},
		{"one out of order does not renew TS.Recent", openTS, true, `
			C! P. 101:201 ack 1 ts 2000000
			C> F. 1:1 ack 1 ts 101   = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"a first timestamp of zero is not held against the next", "", false, `
			C> S 0:0 ts 0
			S> S. 0:0 ack 1 ts 0
			C> . 1:1 ack 1 ts 3000000000 = ESTABLISHED ESTABLISHED
		`},
		{"a request allows no tick", "", false, `
			C> S 0:0 ts 100
			Sx S. 0:0 ack 1 ts 100
			C! . 1:1 ack 1 ts 99     = SYN_SENT SYN_RCVD
			C! . 1:1 ack 1 ts 100    = SYN_SENT ESTABLISHED
		`},
		{"stripped from the SYN-ACK: the client does not look at them", "", false, `
			C> S 0:0 ts 100
			Sx S. 0:0 ack 1 ts 100
			S! S. 0:0 ack 1
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
			S> P. 1:11 ack 1 ts 200
			C> . 1:1 ack 11
			S! F. 11:11 ack 1 ts 1   = CLOSE_WAIT ESTABLISHED
		`},
		{"stripped from the SYN: nobody looks at them", "", false, `
			Cx S 0:0 ts 100
			C! S 0:0
			S> S. 0:0 ack 1
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
			C! P. 1:11 ack 1 ts 200
			C! F. 11:11 ack 1 ts 1   = ESTABLISHED CLOSE_WAIT
		`},
	})
}

// TestWindows looks at what each endpoint would accept, and thinks it may send.
func TestWindows(t *testing.T) {
	const scaled script = `
		C> S 0:0 win 1000 wscale 3
		S> S. 0:0 ack 1 win 2000 wscale 7
		C> . 1:1 ack 1 win 50
	`
	for _, row := range []struct {
		name         string
		script       script
		client       uint32 // the window of C
		server       uint32
		clientMaySee uint32 // of S's window, as C reads it
	}{
		{"a SYN's window is not scaled", "C> S 0:0 win 1000 wscale 3\nS> S. 0:0 ack 1 win 2000 wscale 7\n", 1000, 2000, 2000},
		{"scaled", scaled + "S> . 1:1 ack 1 win 40\nS> P. 1:2 ack 1 win 40\n", 1000 - 1, 40 << 7, 40 << 7},
		{"the edge does not come back", scaled, 1000, 2000, 2000},
		{"and goes on", scaled + "C> . 1:1 ack 1 win 500\n", 4000, 2000, 2000},
		{"the server has none", `
			C> S 0:0 win 1000 wscale 3
			S> S. 0:0 ack 1 win 2000
			C> . 1:1 ack 1 win 5000
			S> . 1:1 ack 1 win 6000
		`, 5000, 6000, 6000},
		{"stripped from the SYN-ACK only", `
			C> S 0:0 win 1000 wscale 3
			Sx S. 0:0 ack 1 win 2000 wscale 7
			S! S. 0:0 ack 1 win 2000
			C> . 1:1 ack 1 win 5000
			S> . 1:1 ack 1 win 40
		`, 5000, 40 << 7, 40},
		{"a shift above 14 is 14", `
			C> S 0:0 win 1000 wscale 99
			S> S. 0:0 ack 1 win 2000 wscale 7
			C> . 1:1 ack 1 win 2
		`, 2 << 14, 2000, 2000},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := newLab(t, settings[0])
			l.run(row.script)
			c, d := l.find("C")
			client, server := c.End(d), c.End(d.Peer())
			if got := client.Window(); got != row.client {
				t.Errorf("client's window: got %d, want %d", got, row.client)
			}
			if got := server.Window(); got != row.server {
				t.Errorf("server's window: got %d, want %d", got, row.server)
			}
			if client.peerWnd != row.clientMaySee {
				t.Errorf("server's window as the client reads it: got %d, want %d", client.peerWnd, row.clientMaySee)
			}
		})
	}
}

// TestOldestAck: how old an acknowledgment may be grows with the window, not beyond
// the SYN, whose own counts for who has called, and a connection of more than 4 GiB is no young one.
func TestOldestAck(t *testing.T) {
	x := Endpoint{iss: 1000, una: 1001, nxt: 1001, maxWnd: 5000}
	if got := x.oldestAck(); got != 1000 {
		t.Errorf("at the SYN: got %d", got)
	}
	x.una = 3001
	if got := x.oldestAck(); got != 1000 {
		t.Errorf("within the window: got %d", got)
	}
	x.set(passive)
	if got := x.oldestAck(); got != 1001 {
		t.Errorf("of who was called: got %d", got)
	}
	x.una = 101001
	if got := x.oldestAck(); got != 96001 {
		t.Errorf("beyond it: got %d", got)
	}
	x.una = 1011 // once round
	x.set(ackedMuch)
	if got := x.oldestAck(); got != 0xffffffff-3988 {
		t.Errorf("after a wrap: got %d", got)
	}
}

// TestTimesOfAConnection: Opened and LastSeen are about what was sent.
func TestTimesOfAConnection(t *testing.T) {
	l := newLab(t, settings[0])
	l.run(open + "+5s\nS! . 1:1 ack 1\n")
	c, _ := l.find("C")
	if got := c.Opened(); got != time.Second+time.Millisecond {
		t.Errorf("opened: got %v", got)
	}
	if got := c.LastSeen(); got != time.Second+3*time.Millisecond {
		t.Errorf("last seen: got %v", got)
	}
}
