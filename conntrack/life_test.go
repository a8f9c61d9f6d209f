package conntrack

import "testing"

// The openings that scripts begin with.
const (
	open script = `
		C> S 0:0                 = SYN_SENT SYN_RCVD : syn
		S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD : syn-ack
		C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED : handshake-ack,ack
	`
	openTS script = `
		C> S 0:0 ts 100          = SYN_SENT SYN_RCVD
		S> S. 0:0 ack 1 ts 100   = ESTABLISHED SYN_RCVD
		C> . 1:1 ack 1 ts 100    = ESTABLISHED ESTABLISHED
	`
	// Both have sent and acknowledged data, so that windows lie on both sides.
	openData = open + `
		C> P. 1:101 ack 1        = ESTABLISHED ESTABLISHED : data
		S> P. 1:101 ack 101      = ESTABLISHED ESTABLISHED : data
		C> . 101:101 ack 101     = ESTABLISHED ESTABLISHED : ack
	`
)

// A life is a script under a name.
type life struct {
	name      string
	opening   script
	symmetric bool // true of C and S in each other's place, once opened
	script    script
}

func playAll(t *testing.T, lives []life) {
	for _, l := range lives {
		t.Run(l.name, func(t *testing.T) {
			play(t, l.opening, l.script, l.symmetric, [2]Stack{})
		})
	}
}

func TestOpening(t *testing.T) {
	playAll(t, []life{
		{"three-way handshake", open, false, `
			S> P. 1:11 ack 1         = ESTABLISHED ESTABLISHED : data
		`},
		{"lost SYN", "", false, `
			Cx S 0:0                 = SYN_SENT CLOSED : syn
			+1s                      = SYN_SENT CLOSED
			C> S 0:0                 = SYN_SENT SYN_RCVD : syn,retransmission
		`},
		{"lost SYN-ACK", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx S. 0:0 ack 1          = SYN_SENT SYN_RCVD : syn-ack
			+1s C> S 0:0             = SYN_SENT SYN_RCVD : syn,retransmission
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD : syn-ack,retransmission
		`},
		{"lost handshake ACK, idle client", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			Cx . 1:1 ack 1           = ESTABLISHED SYN_RCVD : handshake-ack,ack
			+1s S> S. 0:0 ack 1      = ESTABLISHED SYN_RCVD : syn-ack,retransmission
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED : handshake-ack,ack,dup-ack,challenge-ack
		`},
		{"lost handshake ACK, repeated with SND.NXT", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			Cx . 1:1 ack 1           = ESTABLISHED SYN_RCVD
			Cx P. 1:3 ack 1          = ESTABLISHED SYN_RCVD : data
			+1s S> S. 0:0 ack 1      = ESTABLISHED SYN_RCVD
			C> . 3:3 ack 1           = ESTABLISHED ESTABLISHED : handshake-ack,ack,dup-ack,challenge-ack
		`},
		{"data completes the handshake", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			Cx . 1:1 ack 1           = ESTABLISHED SYN_RCVD
			C> P. 1:3 ack 1          = ESTABLISHED ESTABLISHED : data
		`},
		{"data and FIN complete the handshake", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			Cx . 1:1 ack 1           = ESTABLISHED SYN_RCVD
			C> FP. 1:3 ack 1         = FIN_WAIT_1 CLOSE_WAIT : data,fin,first-fin
		`},
		{"repeated SYN-ACK shows that the ACK was not taken", open, false, `
			S> S. 0:0 ack 1          = ESTABLISHED ESTABLISHED                  // that one crossed the ACK
			+1s S> S. 0:0 ack 1      = ESTABLISHED SYN_RCVD evidence : syn-ack,retransmission
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED : handshake-ack,ack,dup-ack,challenge-ack
		`},
		{"a full accept queue takes neither data nor FIN", open, false, `
			C> FP. 1:11 ack 1        = FIN_WAIT_1 CLOSE_WAIT
			+1s S> S. 0:0 ack 1      = FIN_WAIT_1 SYN_RCVD evidence
			C> FP. 1:11 ack 1        = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"a request's data shows that it was acknowledged", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			Cx . 1:1 ack 1           = ESTABLISHED SYN_RCVD
			S> P. 1:5 ack 1          = ESTABLISHED ESTABLISHED evidence : data
		`},
		{"data from a request whose SYN-ACK nobody saw", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> P. 1:6 ack 1          = SYN_SENT ESTABLISHED evidence
		`},
		{"the client never got the SYN-ACK, we think", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx S. 0:0 ack 1          = SYN_SENT SYN_RCVD
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED evidence : handshake-ack,ack
		`},
		{"simultaneous open", "", false, `
			C~ S 0:0                 = SYN_SENT CLOSED : syn
			S~ S 0:0                 = SYN_SENT SYN_SENT inc 1 : syn
			~C                       = SYN_SENT SYN_RCVD
			~S                       = SYN_RCVD SYN_RCVD
			C~ S. 0:0 ack 1          = SYN_RCVD SYN_RCVD : syn-ack,retransmission
			S~ S. 0:0 ack 1          = SYN_RCVD SYN_RCVD : syn-ack,retransmission
			~C                       = SYN_RCVD ESTABLISHED
			~S                       = ESTABLISHED ESTABLISHED
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
			S> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
		`},
		{"simultaneous open, SYNs met on the wire", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> S 0:0                 = SYN_RCVD SYN_RCVD inc 1
			C> S. 0:0 ack 1          = SYN_RCVD ESTABLISHED
			S> S. 0:0 ack 1          = ESTABLISHED ESTABLISHED
		`},
		{"simultaneous open, the SYN-ACK lost and a bare ACK instead", "", false, `
			C~ S 0:0                 = SYN_SENT CLOSED
			S~ S 0:0                 = SYN_SENT SYN_SENT
			~C
			~S                       = SYN_RCVD SYN_RCVD
			Cx S. 0:0 ack 1          = SYN_RCVD SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
		`},
		{"simultaneous open, a wrong ack is refused with a RST and the state kept", "", false, `
			C~ S 0:0
			S~ S 0:0
			~C
			~S                       = SYN_RCVD SYN_RCVD
			C! . 1:1 ack 7           = SYN_RCVD SYN_RCVD
			Sx R 7:7                 = SYN_RCVD SYN_RCVD : rst
			C! R 1:1                 = SYN_RCVD CLOSED                          // exact
		`},
		{"simultaneous open, closed before it is acknowledged", "", false, `
			C~ S 0:0
			S~ S 0:0
			~C
			~S                       = SYN_RCVD SYN_RCVD
			Cx S. 0:0 ack 1
			Cx F. 1:1 ack 1          = FIN_WAIT_1 SYN_RCVD : fin,first-fin
		`},
		{"split handshake: ACK, then SYN", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> . 0:0 ack 1           = SYN_SENT SYN_RCVD : ack
			S> S 0:0                 = SYN_RCVD SYN_RCVD inc 1 : syn
			C> S. 0:0 ack 1          = SYN_RCVD ESTABLISHED
			S> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
		`},
		{"split handshake made by us: the listener's request ignores the SYN-ACK", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx S. 0:0 ack 1          = SYN_SENT SYN_RCVD
			S! S 0:0                 = SYN_RCVD SYN_RCVD
			C> S. 0:0 ack 1          = SYN_RCVD SYN_RCVD : syn-ack,retransmission
			S> . 1:1 ack 1           = ESTABLISHED SYN_RCVD : ack,dup-ack,challenge-ack
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
		`},
		{"an ACK in place of the SYN-ACK means nothing", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx S. 0:0 ack 1          = SYN_SENT SYN_RCVD
			S! . 1:1 ack 1           = SYN_SENT SYN_RCVD
		`},
		{"SYN-ACK with a wrong ack is refused by RST", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx S. 0:0 ack 1          = SYN_SENT SYN_RCVD
			S! S. 0:0 ack 2          = SYN_SENT SYN_RCVD
			C> R 2:2                 = SYN_SENT SYN_RCVD : rst                  // in the request's window: a challenge
			S> . 1:1 ack 1           = SYN_SENT SYN_RCVD : ack,dup-ack,challenge-ack
			S! S. 0:0 ack 0          = SYN_SENT SYN_RCVD
			C> R 0:0                 = SYN_SENT SYN_RCVD : rst                  // out of it
		`},
		{"data with the SYN is acknowledged by the SYN-ACK", "", false, `
			C> S 0:10                = SYN_SENT SYN_RCVD : syn,data
			S> S. 0:0 ack 11         = ESTABLISHED SYN_RCVD
			C> . 11:11 ack 1         = ESTABLISHED ESTABLISHED : handshake-ack,ack
			C> F. 11:11 ack 1        = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"another SYN-ACK number for a repeated SYN", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx S. 0:0 ack 1          = SYN_SENT SYN_RCVD
			+1s C> S 0:0             = SYN_SENT SYN_RCVD
			S> S. 900:900 ack 1      = ESTABLISHED SYN_RCVD
			C> . 1:1 ack 901         = ESTABLISHED ESTABLISHED : handshake-ack,ack
		`},
		{"SYN with FIN is dropped by a listener", "", false, `
			C> SF 0:0                = SYN_SENT CLOSED
		`},
	})
}

func TestClosing(t *testing.T) {
	playAll(t, []life{
		{"four segments", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT : fin,first-fin
			S> . 101:101 ack 102     = FIN_WAIT_2 CLOSE_WAIT : ack,ack-of-fin
			S> F. 101:101 ack 102    = TIME_WAIT LAST_ACK : fin,second-fin,ack-of-fin
			C> . 102:102 ack 102     = TIME_WAIT CLOSED : ack,ack-of-fin,last-ack
			+62s                     = CLOSED CLOSED timer
			+120s                    = none none
		`},
		{"three segments", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			S> F. 101:101 ack 102    = TIME_WAIT LAST_ACK : fin,second-fin,ack-of-fin
			C> . 102:102 ack 102     = TIME_WAIT CLOSED : ack,ack-of-fin,last-ack
		`},
		{"half-close with data", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			S> P. 101:201 ack 102    = FIN_WAIT_2 CLOSE_WAIT : data,ack-of-fin
			C> . 102:102 ack 201     = FIN_WAIT_2 CLOSE_WAIT : ack
			S> FP. 201:301 ack 102   = TIME_WAIT LAST_ACK : data,fin,second-fin,ack-of-fin
			C> . 102:102 ack 302     = TIME_WAIT CLOSED : ack,ack-of-fin,last-ack
		`},
		{"ACK of the FIN lost, data brings it", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			Sx . 101:101 ack 102     = FIN_WAIT_1 CLOSE_WAIT : ack,ack-of-fin
			S> P. 101:111 ack 102    = FIN_WAIT_2 CLOSE_WAIT : data,ack-of-fin
		`},
		{"first FIN lost", openData, true, `
			Cx F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED : fin,first-fin
			+207ms C> F. 101:101 ack 101 = FIN_WAIT_1 CLOSE_WAIT : fin,first-fin,retransmission
		`},
		{"FIN retransmitted with the data before it", openData, true, `
			Cx P. 101:108 ack 101    = ESTABLISHED ESTABLISHED : data
			Cx F. 108:108 ack 101    = FIN_WAIT_1 ESTABLISHED : fin,first-fin
			+207ms C> FP. 101:108 ack 101 = FIN_WAIT_1 CLOSE_WAIT : data,fin,first-fin,retransmission
			S> . 101:101 ack 109     = FIN_WAIT_2 CLOSE_WAIT : ack,ack-of-fin
		`},
		{"passive closer's FIN lost carried the ACK too", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			Sx F. 101:101 ack 102    = FIN_WAIT_1 LAST_ACK
			+207ms C> F. 101:101 ack 101 = FIN_WAIT_1 LAST_ACK : fin,first-fin,retransmission
			S> . 102:102 ack 102     = FIN_WAIT_2 LAST_ACK : ack,dup-ack,ack-of-fin
			+207ms S> F. 101:101 ack 102 = TIME_WAIT LAST_ACK : fin,second-fin,ack-of-fin,retransmission
		`},
		{"FIN stripped from the passive closer", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			Sx F. 101:101 ack 102    = FIN_WAIT_1 LAST_ACK
			S! . 101:101 ack 102     = FIN_WAIT_2 LAST_ACK
		`},
		{"last ACK lost, each FIN begins TIME_WAIT again", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			S> F. 101:101 ack 102    = TIME_WAIT LAST_ACK
			Cx . 102:102 ack 102     = TIME_WAIT LAST_ACK : ack,ack-of-fin,last-ack
			+20s S> F. 101:101 ack 102 = TIME_WAIT LAST_ACK : fin,second-fin,ack-of-fin,retransmission
			Cx . 102:102 ack 102     = TIME_WAIT LAST_ACK : ack,dup-ack,ack-of-fin,last-ack
			+40s S> F. 101:101 ack 102 = TIME_WAIT LAST_ACK
			Cx . 102:102 ack 102     = TIME_WAIT LAST_ACK
			+60s                     = TIME_WAIT LAST_ACK
			+2s                      = CLOSED LAST_ACK timer
			+60s                     = CLOSED CLOSED timer                  // and the other falls silent
		`},
		{"simultaneous close", openData, true, `
			C~ F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED : fin,first-fin
			S~ F. 101:101 ack 101    = FIN_WAIT_1 FIN_WAIT_1 : fin,second-fin
			~C                       = FIN_WAIT_1 CLOSING
			~S                       = CLOSING CLOSING
			C~ . 102:102 ack 102     = CLOSING CLOSING : ack,ack-of-fin,last-ack
			S~ . 102:102 ack 102     = CLOSING CLOSING : ack,ack-of-fin,last-ack
			~C                       = CLOSING TIME_WAIT
			~S                       = TIME_WAIT TIME_WAIT
			+62s                     = CLOSED CLOSED timer
		`},
		{"simultaneous close, the repeated FIN carries the ACK", openData, true, `
			C~ F. 101:101 ack 101
			S~ F. 101:101 ack 101    = FIN_WAIT_1 FIN_WAIT_1
			~C
			~S                       = CLOSING CLOSING
			Cx . 102:102 ack 102
			+207ms C> F. 101:101 ack 102 = CLOSING TIME_WAIT : fin,first-fin,ack-of-fin,last-ack,retransmission
			S> . 102:102 ack 102     = TIME_WAIT TIME_WAIT : ack,ack-of-fin,last-ack
		`},
		{"CLOSING that nobody acknowledges ends without TIME_WAIT", openData, true, `
			C~ F. 101:101 ack 101
			S~ F. 101:101 ack 101
			~C
			~S                       = CLOSING CLOSING
			+200ms Cx F. 101:101 ack 102
			Sx F. 101:101 ack 102
			+200ms Cx F. 101:101 ack 102
			Sx F. 101:101 ack 102
			+400ms Cx F. 101:101 ack 102
			Sx F. 101:101 ack 102    = CLOSING CLOSING
			+3s                      = CLOSED CLOSED timer
		`},
		{"a FIN sent before the peer's arrived is read after it was delivered", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			S~ F. 101:101 ack 101    = FIN_WAIT_1 CLOSING : fin,second-fin      // it did not know
			S~ . 102:102 ack 102     = FIN_WAIT_1 CLOSING : ack,ack-of-fin,last-ack
			~S                       = CLOSING CLOSING
			~S                       = TIME_WAIT CLOSING
			C> . 102:102 ack 102     = TIME_WAIT TIME_WAIT : ack,ack-of-fin,last-ack
		`},
		{"data sent before the peer's FIN arrived is no contradiction", openData, true, `
			C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
			S> P. 101:111 ack 101    = FIN_WAIT_1 CLOSE_WAIT : data
		`},
		{"FIN out of order, then the hole is filled", openData, true, `
			Cx P. 101:201 ack 101    = ESTABLISHED ESTABLISHED
			C> F. 201:201 ack 101    = FIN_WAIT_1 ESTABLISHED : fin,first-fin
			S> . 101:101 ack 101     = FIN_WAIT_1 ESTABLISHED : ack,dup-ack
			C> P. 101:201 ack 101    = FIN_WAIT_1 CLOSE_WAIT : data,retransmission
			S> . 101:101 ack 202     = FIN_WAIT_2 CLOSE_WAIT : ack,ack-of-fin
		`},
		{"holes filled from the back", openData, true, `
			Cx P. 101:201 ack 101
			Cx P. 201:301 ack 101
			C> P. 301:401 ack 101
			C> F. 401:401 ack 101    = FIN_WAIT_1 ESTABLISHED
			C> P. 201:301 ack 101    = FIN_WAIT_1 ESTABLISHED
			C> P. 101:201 ack 101    = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"FIN forged out of order where there is data later", openData, true, `
			C! F. 151:151 ack 101    = ESTABLISHED ESTABLISHED
			C> P. 101:201 ack 101    = ESTABLISHED ESTABLISHED
			C> F. 201:201 ack 101    = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"data beyond a forged FIN is ignored", openData, true, `
			C! F. 101:101 ack 101    = ESTABLISHED CLOSE_WAIT
			C> P. 102:202 ack 101    = ESTABLISHED CLOSE_WAIT
		`},
		{"data across a forged FIN resets", openData, true, `
			C! F. 101:101 ack 101    = ESTABLISHED CLOSE_WAIT
			C> P. 101:201 ack 101    = ESTABLISHED CLOSED
			S> R 101:101             = CLOSED CLOSED : rst
		`},
		{"what acknowledges a forged FIN is not believed, its own FIN included", openData, true, `
			S! F. 101:101 ack 101    = CLOSE_WAIT ESTABLISHED
			C> F. 101:101 ack 102    = LAST_ACK ESTABLISHED
			S> . 101:101 ack 101     = LAST_ACK ESTABLISHED : ack,dup-ack,challenge-ack
		`},
		{"FIN_WAIT_1 by shutdown, the peer's FIN comes first, then its ACK", openData, true, `
			Cx F. 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED
			S> F. 101:101 ack 101    = CLOSING FIN_WAIT_1
			C> F. 101:101 ack 102    = CLOSING TIME_WAIT
			S> . 102:102 ack 102     = TIME_WAIT TIME_WAIT
		`},
		{"bare FIN into a closed window is taken, data is not", openData, true, `
			C> P. 101:1101 ack 101
			S> . 101:101 ack 1101 win 0 = ESTABLISHED ESTABLISHED : ack
			C! P. 1101:1102 ack 101  = ESTABLISHED ESTABLISHED
			C! F. 1102:1102 ack 101  = ESTABLISHED ESTABLISHED
			C! F. 1101:1101 ack 101  = ESTABLISHED CLOSE_WAIT
		`},
		{"out of memory: the window is taken back", openData, true, `
			S> . 101:101 ack 101 win 0 = ESTABLISHED ESTABLISHED : ack,window-update
			C> P. 101:201 ack 101
			C! F. 201:201 ack 101    = ESTABLISHED ESTABLISHED
			C! F. 101:101 ack 101    = ESTABLISHED CLOSE_WAIT
		`},
	})
}

func TestTimeWaitStacks(t *testing.T) {
	const close script = `
		C> F. 101:101 ack 101    = FIN_WAIT_1 CLOSE_WAIT
	`
	play(t, openData+close, `
		S> F. 101:101 ack 102    = CLOSED LAST_ACK timer
		+207ms S> F. 101:101 ack 102 = CLOSED LAST_ACK
		C> R 102:102             = CLOSED CLOSED
	`, false, [2]Stack{{NoTimeWait: true}, {}})
	play(t, openData+close, `
		S> F. 101:101 ack 102    = TIME_WAIT LAST_ACK
		C> . 102:102 ack 102     = TIME_WAIT CLOSED
		S! R 102:102             = TIME_WAIT CLOSED
		S> R 102:102             = TIME_WAIT CLOSED
	`, false, [2]Stack{{RFC1337: true}, {}})
}
