package conntrack

import (
	"testing"
	"time"
)

// What random connections between two kernels have taught: each row is the shortest
// form of a difference that the co-simulation of package integration has found.
func TestAsTheKernelDoes(t *testing.T) {
	playAll(t, []life{
		{"without SACK there is no RST beyond a hole", "", false, `
			C> S 0:0 sack 0
			S> S. 0:0 ack 1 sack 0
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
			Cx P. 1:101 ack 1
			C> P. 101:201 ack 1
			C! R. 201:201 ack 1      = ESTABLISHED ESTABLISHED
			C! R. 1:1 ack 1          = ESTABLISHED CLOSED
		`},
		{"SACK permitted by one side alone", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1 sack 0
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
			Cx P. 1:101 ack 1
			C> P. 101:201 ack 1
			C! R. 201:201 ack 1      = ESTABLISHED ESTABLISHED
		`},
		{"a RST to something older crosses the SYN", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> R 77:77               = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
		`},
		{"a RST to something older crosses the SYN-ACK", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			C> R 77:77               = ESTABLISHED SYN_RCVD
			C> . 1:1 ack 1           = ESTABLISHED ESTABLISHED
			C> R 77:77               = CLOSED ESTABLISHED
		`},
		{"the RST that refuses the SYN-ACK", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1          = ESTABLISHED SYN_RCVD
			C> R 1:1                 = CLOSED CLOSED
		`},
		{"the RST that refuses the SYN acknowledges it", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S> R. 0:0 ack 1          = CLOSED CLOSED
		`},
		{"out of memory: a window taken back has thrown away what was in it", openData, true, `
			C> P. 101:601 ack 101
			C> F. 601:601 ack 101         = FIN_WAIT_1 CLOSE_WAIT
			S> . 101:101 ack 101 win 0    = FIN_WAIT_1 ESTABLISHED evidence
			C> F. 601:601 ack 101         = FIN_WAIT_1 ESTABLISHED
			S> . 101:101 ack 101 win 1000 = FIN_WAIT_1 ESTABLISHED
			C> P. 101:601 ack 101         = FIN_WAIT_1 ESTABLISHED
			C> F. 601:601 ack 101         = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"a request takes the echo of its SYN-ACKs only", "", true, `
			C> S 0:0 ts 10
			S> S. 0:0 ack 1 ts 50 ecr 10
			C! P. 1:101 ack 1 ts 11 ecr 51     = ESTABLISHED SYN_RCVD
			C! P. 1:101 ack 1 ts 11 ecr 49     = ESTABLISHED SYN_RCVD
			C! P. 1:101 ack 1 ts 11 ecr 0      = ESTABLISHED ESTABLISHED
		`},
		{"who opens takes no echo from before its first SYN", "", true, `
			C> S 0:0 ts 10
			Cx S 0:0 ts 20
			S! S. 0:0 ack 1 ts 50 ecr 9        = SYN_SENT SYN_RCVD
			Cx R 1:1                           = SYN_SENT SYN_RCVD
			S! R. 0:0 ack 1 ts 50 ecr 9        = SYN_SENT SYN_RCVD
			S! S. 0:0 ack 1 ts 50 ecr 10       = ESTABLISHED SYN_RCVD
		`},
		{"what its peer's SYN said is no such time", "", true, `
			C> S 0:0 ts 1000
			S> S 0:0 ts 50                     = SYN_RCVD SYN_RCVD
			Sx R. - ack 1                      = SYN_RCVD SYN_SENT evidence
			C> S. 0:0 ack 1 ts 1001 ecr 50     = SYN_RCVD ESTABLISHED
		`},
		{"and one of 0 is none", "", true, `
			C> S 0:0 ts 10
			S! R. 0:0 ack 1 ts 50 ecr 0        = CLOSED SYN_RCVD
		`},
		{"a request's socket refuses the SYN-ACK with data that it is made for", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1
			C! S. 0:100 ack 1                  = ESTABLISHED SYN_RCVD
			S> . 1:1 ack 1                     = ESTABLISHED SYN_RCVD : ack,dup-ack,challenge-ack
			C! F. 1:1 ack 0                    = ESTABLISHED SYN_RCVD
			S> R 0:0                           = ESTABLISHED SYN_RCVD
			C> . 1:1 ack 1                     = ESTABLISHED ESTABLISHED
			C! F. 1:1 ack 0                    = ESTABLISHED ESTABLISHED
		`},
		{"and may be closed before that is acknowledged", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1
			C! S. 0:100 ack 1                  = ESTABLISHED SYN_RCVD
			S> F. 1:1 ack 1                    = CLOSE_WAIT FIN_WAIT_1
		`},
		{"Fast Open: who has taken data with the SYN may answer before it is acknowledged itself", "", false, `
			C> S 0:4
			S> S. 0:0 ack 5                    = ESTABLISHED SYN_RCVD
			S> P. 1:5 ack 5                    = ESTABLISHED SYN_RCVD
			C! . 5:5 ack 6                     = ESTABLISHED SYN_RCVD
			C> . 5:5 ack 5                     = ESTABLISHED ESTABLISHED
		`},
		{"and close", "", false, `
			C> S 0:4
			S> S. 0:0 ack 5
			S> FP. 1:5 ack 5                   = CLOSE_WAIT FIN_WAIT_1
			C> . 5:5 ack 6                     = CLOSE_WAIT FIN_WAIT_2
		`},
		{"and be reset", "", false, `
			C> S 0:4
			S> S. 0:0 ack 5
			C! R 6:6                           = ESTABLISHED SYN_RCVD
			C! R 5:5                           = ESTABLISHED CLOSED
		`},
		{"and not of the SYN-ACK of its peer, whose own open is active", "", true, `
			C> S 0:0 ts 10
			Sx S. 0:0 ack 1 ts 50 ecr 10
			S! S 0:0 ts 50 ecr 10              = SYN_RCVD SYN_RCVD
			C> S. 0:0 ack 1 ts 90 ecr 50
			S> . 1:1 ack 1 ts 60 ecr 10        = ESTABLISHED SYN_RCVD
			C> P. 1:101 ack 1 ts 91 ecr 60     = ESTABLISHED SYN_RCVD
		`},
		{"and of a later SYN-ACK, and of what lies between", "", true, `
			C> S 0:0 ts 10
			S> S. 0:0 ack 1 ts 50 ecr 10
			S> S. 0:0 ack 1 ts 60 ecr 10
			C! P. 1:101 ack 1 ts 11 ecr 61     = ESTABLISHED SYN_RCVD
			C! P. 1:101 ack 1 ts 11 ecr 55     = ESTABLISHED ESTABLISHED
		`},
		{"who has called takes an acknowledgment of nothing, and then what comes with it", open, false, `
			S! FP. 1:11 ack 0                  = CLOSE_WAIT ESTABLISHED
			C! FP. 1:11 ack 0                  = CLOSE_WAIT ESTABLISHED
			S! FP. 1:11 ack -1                 = CLOSE_WAIT ESTABLISHED
		`},
		{"a request of the incarnation before takes the echo of its own SYN-ACK", "", false, `
			C> S 0:0 ts 10
			S> S. 0:0 ack 1 ts 50 ecr 10
			C~ . 1:1 ack 1 ts 11 ecr 50        = ESTABLISHED SYN_RCVD
			Cx R. 1:1 ack 1                    = CLOSED SYN_RCVD
			C> S 5000:5000 ts 12               = SYN_SENT SYN_RCVD inc 2
			~C                                 = SYN_SENT ESTABLISHED
		`},
		{"and of that when it is repeated", "", false, `
			C> S 0:0 ts 10
			S> S. 0:0 ack 1 ts 50 ecr 10
			Cx R. 1:1 ack 1                    = CLOSED SYN_RCVD
			C> S 5000:5000 ts 12               = SYN_SENT SYN_RCVD inc 2
			Sx S. 0:0 ack 1 ts 60 ecr 10       = SYN_SENT SYN_RCVD
			C! . 1:1 ack 1 ts 13 ecr 60        = SYN_SENT ESTABLISHED
		`},
		{"of two FINs beyond a hole the first counts, even if one acknowledges more", openData, true, `
			C~ P. 101:201 ack 101
			C! F. 201:201 ack 101
			C! P. 202:302 ack 101
			C! F. 302:302 ack 101
			~C                                 = ESTABLISHED CLOSE_WAIT
			S> . 101:101 ack 302
			S> F. 101:101 ack 302              = ESTABLISHED LAST_ACK
		`},
		{"a RST to something wrong crosses the handshake's last ACK", "", false, `
			C> S 0:0
			S> S. 0:0 ack 1
			C! P. 1:11 ack -50                 = ESTABLISHED SYN_RCVD
			C> . 1:1 ack 1                     = ESTABLISHED ESTABLISHED
			S> R -50:-50                       = ESTABLISHED ESTABLISHED
			+100ms S> R -50:-50                = ESTABLISHED CLOSED
		`},
		{"a SYN that crosses another agrees with that on what both offer", "", false, `
			C> S 0:0 sack 0                    = SYN_SENT SYN_RCVD
			S> S 0:0                           = SYN_RCVD SYN_RCVD
			S> S. 0:0 ack 1
			C> S. 0:0 ack 1 sack 0             = ESTABLISHED ESTABLISHED
			Cx P. 1:101 ack 1
			C> P. 101:201 ack 1
			C! R. 201:201 ack 1                = ESTABLISHED ESTABLISHED
		`},
		{"and its windows are scaled from then on", "", false, `
			C> S 0:0 wscale 4                  = SYN_SENT SYN_RCVD
			S> S 0:0 wscale 4 win 100          = SYN_RCVD SYN_RCVD
			S> S. 0:0 ack 1 wscale 4 win 100
			C> S. 0:0 ack 1 wscale 4           = ESTABLISHED ESTABLISHED
			S> . 1:1 ack 1 win 100
			C> P. 1:1501 ack 1
			C> F. 1501:1501 ack 1              = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"whose SYN another has crossed scales its windows, asked to or not", "", false, `
			C> S 0:0                           = SYN_SENT SYN_RCVD
			S> S 0:0 wscale 4 win 100          = SYN_RCVD SYN_RCVD
			S> S. 0:0 ack 1 wscale 4 win 100
			C> S. 0:0 ack 1                    = ESTABLISHED ESTABLISHED
			S> . 1:1 ack 1 win 100
			C> P. 1:1501 ack 1
			C> F. 1501:1501 ack 1              = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"a FIN just behind the FIN is received like that", openData, true, `
			C> F. 101:101 ack 101              = FIN_WAIT_1 CLOSE_WAIT
			C! F. 101:102 ack 101              = FIN_WAIT_1 CLOSE_WAIT
			C! R. 101:101 ack 101              = FIN_WAIT_1 CLOSE_WAIT
			C! R. 103:103 ack 101              = FIN_WAIT_1 CLOSED
		`},
		{"no room: data where a FIN was, and not that", openData, true, `
			S> . 101:101 ack 101 win 0
			C! FP. 102:106 ack 101
			C> P. 101:201 ack 101
			S> . 101:101 ack 201 win 0         = ESTABLISHED ESTABLISHED
		`},
		{"who has closed a hole has acknowledged that at once, seen or not", openData, true, `
			C~ P. 101:201 ack 101
			C> P. 201:301 ack 101
			S~ F. 101:101 ack 101
			~C
			C! . 150:150 ack 102               = ESTABLISHED FIN_WAIT_1
			C! . 301:301 ack 102               = ESTABLISHED FIN_WAIT_2
		`},
		{"out of memory: the RST after what was thrown away is not exact", openData, true, `
			C> P. 101:601 ack 101
			C> R. 601:601 ack 101         = CLOSED CLOSED
			S> . 101:101 ack 301 win 0    = CLOSED ESTABLISHED evidence
		`},
		{"what does not fit into the window does not count at all", openData, true, `
			S> F. 101:101 ack 101 win 0   = CLOSE_WAIT FIN_WAIT_1
			C> P. 101:201 ack 102         = CLOSE_WAIT FIN_WAIT_1
			C> . 101:101 ack 102          = CLOSE_WAIT FIN_WAIT_2
		`},
		{"an acknowledgment from before the SYN, of the incarnation before", "", false, `
			C> S 0:0
			S> S 0:0                      = SYN_RCVD SYN_RCVD
			C> S. 0:0 ack 1               = SYN_RCVD ESTABLISHED
			Cx F. 1:1 ack 1               = FIN_WAIT_1 ESTABLISHED
			S> P. 1:3 ack -500            = FIN_WAIT_1 ESTABLISHED
			S> F. 3:3 ack -500            = FIN_WAIT_1 FIN_WAIT_1
		`},
		{"a window that data have filled takes nothing back", openData, true, `
			C> P. 101:1101 ack 101
			S> . 101:101 ack 1101 win 0
			C> F. 1101:1101 ack 101  = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"opening just after having refused", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			S~ S 0:0                 = SYN_SENT SYN_RCVD
			Sx R. - ack 1            = SYN_SENT SYN_SENT evidence
			~S                       = SYN_RCVD SYN_SENT
			C> S. 0:0 ack 1          = SYN_RCVD ESTABLISHED
		`},
		{"opening after having refused", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			Sx R. 0:0 ack 1          = SYN_SENT CLOSED
			S~ S 0:0                 = SYN_SENT SYN_SENT
			C> S 0:0                 = SYN_SENT SYN_RCVD
			~S                       = SYN_RCVD SYN_RCVD
			C> S. 0:0 ack 1          = SYN_RCVD ESTABLISHED
		`},
		{"a SYN repeated across the peer's next incarnation", "", false, `
			S~ S 0:0                 = CLOSED SYN_SENT
			C> S 0:0                 = SYN_SENT SYN_RCVD
			C~ S 5000:5000           = SYN_SENT SYN_RCVD inc 2
			S> S 0:0                 = SYN_RCVD SYN_RCVD
			~C                       = SYN_RCVD SYN_RCVD
			S> S. 0:0 ack 1          = SYN_RCVD SYN_RCVD
			C> R 1:1                 = SYN_RCVD CLOSED
		`},
		{"a first SYN across the peer's next incarnation answers the former", "", false, `
			C> S 0:0                 = SYN_SENT SYN_RCVD
			C~ S 5000:5000           = SYN_SENT SYN_RCVD inc 2
			Sx S 0:0                 = SYN_SENT SYN_RCVD
			S> S. 0:0 ack 1          = SYN_SENT SYN_RCVD
			C> R 1:1                 = SYN_SENT CLOSED
		`},
		{"the SYN-ACK of a simultaneous open offers, and does not agree", "", false, `
			C~ S 0:0
			S> S 0:0 sack 0          = SYN_RCVD SYN_SENT
			~C                       = SYN_RCVD SYN_RCVD
			C> S. 0:0 ack 1          = SYN_RCVD ESTABLISHED
			S> S. 0:0 ack 1 sack 0   = ESTABLISHED ESTABLISHED
			Sx P. 1:101 ack 1
			S> P. 101:201 ack 1
			S! R. 201:201 ack 1      = ESTABLISHED ESTABLISHED
		`},
		{"the SYN-ACK after a SYN is no retransmission", "", false, `
			Cx S 0:0
			S> S 0:0                 = SYN_RCVD SYN_SENT
			Cx S. 0:0 ack 1
			+4s                      = SYN_RCVD SYN_SENT
		`},
		{"a forged SYN that TIME_WAIT would take, but nobody listens", closedByS, false, `
			C! S 5000:5000                = CLOSED SYN_RCVD
			S> . 102:102 ack 102          = CLOSED TIME_WAIT evidence
			C! R 102:102                  = CLOSED CLOSED
		`},
		{"the last words of the incarnation before are on their way as the next one opens", openData, false, `
			C> R 101:101                  = CLOSED CLOSED
			C~ S 5000:5000                = SYN_SENT CLOSED inc 2
			S> P. 101:111 ack 101         = SYN_SENT CLOSED : data,stale
			~C                            = SYN_SENT SYN_RCVD
			S> S. 7000:7000 ack 5001      = ESTABLISHED SYN_RCVD
		`},
		{"long after it, they are of a socket that lives", openData, false, `
			C> R 101:101                  = CLOSED CLOSED
			+1s C~ S 5000:5000            = SYN_SENT CLOSED inc 2
			S> P. 101:111 ack 101         = SYN_SENT ESTABLISHED evidence : data,stale
		`},
		{"no room for what came beyond a hole: the acknowledgment falls short", openData, true, `
			C~ P. 101:201 ack 101
			C> P. 201:301 ack 101
			C> F. 301:301 ack 101         = FIN_WAIT_1 ESTABLISHED
			~C                            = FIN_WAIT_1 CLOSE_WAIT
			S> . 101:101 ack 201          = FIN_WAIT_1 ESTABLISHED evidence
			C> FP. 201:301 ack 101        = FIN_WAIT_1 CLOSE_WAIT
		`},
		{"and so it does when two holes are closed before it is seen", openData, true, `
			C~ P. 101:201 ack 101
			C> P. 201:301 ack 101
			C~ P. 301:401 ack 101
			C> F. 401:401 ack 101         = FIN_WAIT_1 ESTABLISHED
			~C
			~C                            = FIN_WAIT_1 CLOSE_WAIT
			S> . 101:101 ack 201          = FIN_WAIT_1 ESTABLISHED evidence
		`},
		{"a socket of the incarnation before goes on to TIME_WAIT, and nobody listens behind it", openData, false, `
			C> S 5000:5000                = SYN_SENT ESTABLISHED inc 2
			S> F. 101:101 ack 101         = SYN_SENT FIN_WAIT_1
			C! F. 101:101 ack 102         = SYN_SENT TIME_WAIT
			C! S 6000:6000                = SYN_SENT SYN_RCVD
			S> . 102:102 ack 102          = SYN_SENT TIME_WAIT evidence
		`},
		{"TIME_WAIT that nobody listens behind, and a RST for who would have", closedByS, false, `
			C> S 5000:5000                = SYN_SENT SYN_RCVD inc 2
			C! R 5001:5001                = SYN_SENT CLOSED
			S> . 102:102 ack 102          = SYN_SENT TIME_WAIT evidence
		`},
		{"a SYN-ACK that crosses another must carry nothing", "", false, `
			C~ S 0:0
			S> S 0:0                      = SYN_RCVD SYN_SENT
			~C                            = SYN_RCVD SYN_RCVD
			C> S. 0:0 ack 1               = SYN_RCVD ESTABLISHED
			Sx S. 0:0 ack 1
			S! SF. 0:0 ack 1              = SYN_RCVD ESTABLISHED
			C> . 1:1 ack 1                = SYN_RCVD ESTABLISHED : ack,dup-ack,challenge-ack
			S> . 1:1 ack 1                = ESTABLISHED ESTABLISHED
		`},
		{"a forged SYN meets a socket that nobody knew of", "", false, `
			C! S 0:0                      = none none
			Cx S 0:0                      = SYN_SENT CLOSED
			S> R. 0:0 ack 1               = CLOSED CLOSED
			C! S 50:50                    = CLOSED SYN_RCVD
			S> . 777:777 ack 888          = CLOSED ESTABLISHED evidence
			C! R 888:888                  = CLOSED CLOSED
		`},
		{"a simultaneous open takes an acknowledgment of nothing for one of its SYN", "", false, `
			C~ S 0:0
			S> S 0:0                      = SYN_RCVD SYN_SENT
			~C                            = SYN_RCVD SYN_RCVD
			C! . 1:1 ack -1               = SYN_RCVD SYN_RCVD
			C! . 1:1 ack 2                = SYN_RCVD SYN_RCVD
			C! . 1:1 ack 0                = SYN_RCVD ESTABLISHED
		`},
		{"a repeated SYN crosses the RST that refuses it", "", false, `
			C> S 0:0                      = SYN_SENT SYN_RCVD
			S> R. - ack 1                 = CLOSED CLOSED
			C> S 0:0                      = CLOSED SYN_RCVD inc 1
			S> R. - ack 1                 = CLOSED CLOSED
		`},
		{"old acknowledgments of who was reset are none of TIME_WAIT", openData, false, `
			C> P. 101:201 ack 101
			C> R 201:201                  = CLOSED CLOSED
			C> S 5000:5000                = SYN_SENT SYN_RCVD inc 2
			S> . 101:101 ack 201          = SYN_SENT SYN_RCVD
			S> R. - ack 5001              = CLOSED CLOSED
		`},
		{"who answers at once repeats no old acknowledgment for long", openData, true, `
			C> F. 101:101 ack 101         = FIN_WAIT_1 CLOSE_WAIT
			+2ms S> . 101:101 ack 101     = FIN_WAIT_1 CLOSE_WAIT
			+10ms S> . 101:101 ack 101    = FIN_WAIT_1 ESTABLISHED evidence
		`},
	})
}

// TestReadLate: a segment that has waited to be read may have crossed what was delivered
// meanwhile, however long ago that is.
func TestReadLate(t *testing.T) {
	const body = openData + "C> F. 101:101 ack 101 = FIN_WAIT_1 CLOSE_WAIT\n"
	for _, row := range []struct {
		waited time.Duration
		then   script
	}{
		{20 * time.Millisecond, "S> . 101:101 ack 101 = FIN_WAIT_1 CLOSE_WAIT"},
		{0, "S> . 101:101 ack 101 = FIN_WAIT_1 ESTABLISHED evidence"},
	} {
		l := newLab(t, settings[0])
		l.run(body)
		l.pass(20 * time.Millisecond)
		l.table.SentAfter(l.now - row.waited)
		l.run(row.then)
	}
}
