package conntrack

import "testing"

// The states in which a RST may find an endpoint: S in each of these scripts.
// RCV.NXT of S is 101, and its window ends at 1101, unless the row says otherwise.
const (
	inEstablished = openData
	inFinWait1    = openData + `
		Sx F. 101:101 ack 101      = ESTABLISHED FIN_WAIT_1
	`
	inFinWait2 = openData + `
		S> F. 101:101 ack 101
		C> . 101:101 ack 102       = CLOSE_WAIT FIN_WAIT_2
	`
	// The FIN of C is 101: RCV.NXT of S is 102.
	inCloseWait = openData + `
		C> F. 101:101 ack 101
		Sx . 101:101 ack 102       = FIN_WAIT_1 CLOSE_WAIT
	`
	inLastAck = inCloseWait + `
		Sx F. 101:101 ack 102      = FIN_WAIT_1 LAST_ACK
	`
	inClosing = openData + `
		Sx F. 101:101 ack 101
		C> F. 101:101 ack 101
		Sx . 102:102 ack 102       = FIN_WAIT_1 CLOSING
	`
	inTimeWait = openData + `
		S> F. 101:101 ack 101
		C> F. 101:101 ack 102
		Sx . 102:102 ack 102       = LAST_ACK TIME_WAIT
	`
	inRequest script = `
		C> S 0:0
		Sx S. 0:0 ack 1            = SYN_SENT SYN_RCVD
	`
	inSynRcvd script = `
		C~ S 0:0
		S~ S 0:0
		~C
		Cx S. 0:0 ack 1
		Sx S. 0:0 ack 1            = SYN_RCVD SYN_RCVD
	`
	// A block above a hole: S has 201 to 301.
	holed = openData + `
		C> P. 201:301 ack 101
		Sx . 101:101 ack 101
	`
)

// TestReset holds the acceptance of RST against what Linux does with each
// number (RFC 5961, section 3; tcp_validate_incoming, tcp_reset_check).
func TestReset(t *testing.T) {
	const (
		closes = true
		kept   = false
	)
	for _, row := range []struct {
		name  string
		to    script
		state string // of S before
		seq   string
		want  bool
	}{
		{"exact", inEstablished, "ESTABLISHED", "101", closes},
		{"one above", inEstablished, "ESTABLISHED", "102", kept},
		{"right edge", inEstablished, "ESTABLISHED", "1101", kept},
		{"beyond the right edge", inEstablished, "ESTABLISHED", "1102", kept},
		{"one below", inEstablished, "ESTABLISHED", "100", kept},
		{"the last acknowledgment, newer data was delivered", openData + "C> P. 101:111 ack 101\n", "ESTABLISHED", "101", kept},
		{"what was delivered, not yet acknowledged", openData + "C> P. 101:111 ack 101\n", "ESTABLISHED", "111", closes},

		{"below the hole", holed, "ESTABLISHED", "101", closes},
		{"left edge of the block", holed, "ESTABLISHED", "201", kept},
		{"inside the block", holed, "ESTABLISHED", "250", kept},
		{"right edge of the block", holed, "ESTABLISHED", "301", closes},
		{"right edge of a lower block", holed + "C> P. 401:501 ack 101\n", "ESTABLISHED", "301", kept},
		{"right edge of the highest block", holed + "C> P. 401:501 ack 101\n", "ESTABLISHED", "501", closes},
		{"right edge of a FIN out of order", openData + "Cx P. 101:201 ack 101\nC> F. 201:201 ack 101\n", "ESTABLISHED", "202", closes},
		{"that FIN's number", openData + "Cx P. 101:201 ack 101\nC> F. 201:201 ack 101\n", "ESTABLISHED", "201", kept},

		{"exact", inFinWait1, "FIN_WAIT_1", "101", closes},
		{"one below", inFinWait1, "FIN_WAIT_1", "100", kept},
		{"one above", inFinWait1, "FIN_WAIT_1", "102", kept},
		{"exact", inFinWait2, "FIN_WAIT_2", "101", closes},
		{"one below", inFinWait2, "FIN_WAIT_2", "100", kept},

		{"exact", inCloseWait, "CLOSE_WAIT", "102", closes},
		{"the FIN's number", inCloseWait, "CLOSE_WAIT", "101", closes},
		{"two below", inCloseWait, "CLOSE_WAIT", "100", kept},
		{"one above", inCloseWait, "CLOSE_WAIT", "103", kept},
		{"exact", inLastAck, "LAST_ACK", "102", closes},
		{"the FIN's number", inLastAck, "LAST_ACK", "101", closes},
		{"two below", inLastAck, "LAST_ACK", "100", kept},
		{"exact", inClosing, "CLOSING", "102", closes},
		{"the FIN's number", inClosing, "CLOSING", "101", closes},
		{"two below", inClosing, "CLOSING", "100", kept},

		{"exact", inTimeWait, "TIME_WAIT", "102", closes},
		{"the FIN's number", inTimeWait, "TIME_WAIT", "101", kept},
		{"one above", inTimeWait, "TIME_WAIT", "103", kept},

		{"exact", inRequest, "SYN_RCVD", "1", closes},
		{"the SYN's number", inRequest, "SYN_RCVD", "0", kept},
		{"in the window", inRequest, "SYN_RCVD", "2", kept},
		{"exact", inSynRcvd, "SYN_RCVD", "1", closes},
		{"in the window", inSynRcvd, "SYN_RCVD", "2", kept},
	} {
		for _, flags := range []string{"R", "R.", "FR."} { // its other flags do not matter, nor does its ack
			t.Run(row.state+" "+row.name+" "+flags, func(t *testing.T) {
				after := row.state
				if row.want == closes {
					after = "CLOSED"
				}
				reset := script("C! " + flags + " " + row.seq + ":" + row.seq + " ack 77777\n")
				for _, set := range settings {
					l := newLab(t, set)
					l.run(row.to)
					if got := l.state("S").String(); got != row.state {
						t.Fatalf("%s: before the RST: %s", set.name, got)
					}
					l.run(reset)
					if got := l.state("S").String(); got != after {
						t.Errorf("%s: got %s, want %s", set.name, got, after)
					}
				}
			})
		}
	}
}

func (l *lab) state(who string) State {
	c, d := l.find(who)
	if c == nil {
		return Closed
	}
	return c.State(d)
}

func TestResetMore(t *testing.T) {
	playAll(t, []life{
		{"refused SYN", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> R. 0:0 ack 1          = CLOSED CLOSED : rst
		`},
		{"a RST that answers something older than the SYN", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> R. 0:0 ack 77         = SYN_SENT SYN_RCVD
			S> R 5:5 ack 1           = SYN_SENT SYN_RCVD
			S> R. 0:0 ack 1          = CLOSED CLOSED
		`},
		{"a RST sent tells that there is no socket, whatever its number", openData, true, `
			S> R 50:50               = ESTABLISHED CLOSED
		`},
		{"RST without ack in SYN_SENT", inRequest, false, `
			S! R 1:1                 = SYN_SENT SYN_RCVD
		`},
		{"RST in SYN_SENT that acknowledges the wrong number", inRequest, false, `
			S! R. 0:0 ack 0          = SYN_SENT SYN_RCVD
			S! R. 0:0 ack 2          = SYN_SENT SYN_RCVD
			S! R. 12345:12345 ack 1  = CLOSED SYN_RCVD                  // its own number does not matter
		`},
		{"a listener refuses a wrong ack and keeps its request", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1
			Cx . 1:1 ack 1           = ESTABLISHED SYN_RCVD
			C! . 1:1 ack 0           = ESTABLISHED SYN_RCVD
			S> R 0:0                 = ESTABLISHED SYN_RCVD : rst               // out of C's window
			C! . 1:1 ack 2           = ESTABLISHED SYN_RCVD
			S> R 2:2                 = ESTABLISHED SYN_RCVD : rst               // in it
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED : handshake-ack,ack,dup-ack,challenge-ack
		`},
		{"a listener that is gone refuses the right ack", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1
			Cx . 1:1 ack 1
			C> P. 1:5 ack 1          = ESTABLISHED ESTABLISHED
			S> R 1:1                 = CLOSED CLOSED
		`},
		{"a SYN at RCV.NXT ends a request", inRequest, false, `
			C! S 1:1                 = SYN_SENT CLOSED
		`},
		{"a SYN-ACK at RCV.NXT too", inRequest, false, `
			C! S. 1:1 ack 1          = SYN_SENT CLOSED
		`},
		{"a SYN-ACK at the ISN does not complete a request", inRequest, false, `
			C! S. 0:0 ack 1          = SYN_SENT SYN_RCVD
		`},
		{"a request takes its ACK up to the right edge, if it carries nothing", inRequest, false, `
			C! . 1002:1002 ack 1     = SYN_SENT SYN_RCVD
			C! P. 1001:1011 ack 1    = SYN_SENT SYN_RCVD
			C! . 0:0 ack 1           = SYN_SENT SYN_RCVD
			C! . 1001:1001 ack 1     = SYN_SENT ESTABLISHED
		`},
		{"a SYN far off is answered by ACK", inRequest, false, `
			C! S 70000:70000         = SYN_SENT SYN_RCVD
			S> . 1:1 ack 1           = SYN_SENT SYN_RCVD : ack,dup-ack,challenge-ack
		`},
		{"SYN and SYN-ACK in synchronized states are challenged", openData, true, `
			S! S. 0:0 ack 1          = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			S! S 101:101             = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			S! S 99999:99999         = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
		`},
		{"an in-window RST is challenged, one outside is not", openData, true, `
			S! R 102:102             = ESTABLISHED ESTABLISHED
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			S! R 1101:1101
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack,challenge-ack
			S! R 1102:1102
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack
			S! R 100:100
			C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack,dup-ack
		`},
		{"a challenge is answered by the exact RST", openData, true, `
			Cx R. 101:101 ack 101    = CLOSED ESTABLISHED
			S> P. 101:111 ack 101    = CLOSED ESTABLISHED
			C> R 101:101             = CLOSED CLOSED
		`},
		{"abort", openData, true, `
			C> R. 101:101 ack 101    = CLOSED CLOSED : rst
			+119s                    = CLOSED CLOSED
			+2s                      = none none
		`},
		{"RST lost", openData, true, `
			Cx R. 101:101 ack 101    = CLOSED ESTABLISHED
		`},
		{"exact RST into TIME_WAIT with an old timestamp", openTS, true, `
			C> F. 1:1 ack 1 ts 200
			S> F. 1:1 ack 2 ts 600   = TIME_WAIT LAST_ACK
			S! R 2:2 ts 599          = TIME_WAIT LAST_ACK
			S! R 2:2 ts 600          = CLOSED LAST_ACK
		`},
		{"exact RST into TIME_WAIT without a timestamp", openTS, true, `
			C> F. 1:1 ack 1 ts 200
			S> F. 1:1 ack 2 ts 600
			S! R 2:2                 = CLOSED LAST_ACK
		`},
		{"an old timestamp does not save an established connection from RST", openTS, true, `
			S! R 1:1 ts 1            = CLOSED ESTABLISHED
		`},
		{"TIME_WAIT is ended by the RST that its ACK provokes", openData, true, `
			C> F. 101:101 ack 101
			S> F. 101:101 ack 102
			C> . 102:102 ack 102     = TIME_WAIT CLOSED
			S! P. 51:101 ack 101     = TIME_WAIT CLOSED
			C> . 102:102 ack 102     = TIME_WAIT CLOSED : ack,dup-ack,ack-of-fin,last-ack
			S> R 102:102             = CLOSED CLOSED
		`},
	})
}

// TestTimeWaitRearmed: what begins the wait again, and what does not.
func TestTimeWaitRearmed(t *testing.T) {
	const before = `
		C> F. 1:1 ack 1 ts 200
		S> F. 1:1 ack 2 ts 600     = TIME_WAIT LAST_ACK
		Cx . 2:2 ack 2 ts 201
		+30s
	`
	for _, row := range []struct {
		name, segment string
		rearms        bool
	}{
		{"old data", "S! P. 0:1 ack 1 ts 600", true},
		{"old data with an old timestamp", "S! P. 0:1 ack 1 ts 500", true},
		{"bare ACK", "S! . 2:2 ack 2 ts 600", true},
		{"bare ACK with an old timestamp", "S! . 2:2 ack 2 ts 500", true},
		{"FIN", "S! F. 1:1 ack 2 ts 600", true},
		{"RST left of it", "S! R 1:1 ts 600", false},
		{"RST with an old timestamp", "S! R 2:2 ts 1", false},
		{"SYN below, no timestamp", "S! S 1:1", false},
		{"SYN with an old timestamp", "S! S 900:900 ts 1", true},
	} {
		t.Run(row.name, func(t *testing.T) {
			after := "+40s = CLOSED LAST_ACK timer"
			if row.rearms {
				after = "+40s = TIME_WAIT LAST_ACK\n+22s = CLOSED LAST_ACK timer"
			}
			body := script(before + row.segment + " = TIME_WAIT LAST_ACK\n" + after)
			play(t, openTS, body, true, [2]Stack{})
		})
	}
}
