package integration

import (
	"fmt"
	"strings"
	"testing"
)

// What the kernel was in before a segment arrives, by script.
const (
	inSynSent  = "app connect\n"
	inRequest  = "say S honest\n"
	refused    = inRequest + "say SA seq isn len 100\n= SYN_RCVD\n" // by the socket that it has been made for
	listened   = inRequest + "say A honest\n= ESTABLISHED\n"
	inFinWait1 = listened + "app shutdown\n= FIN_WAIT_1\n"
	inFinWait2 = inFinWait1 + "say A honest\n= FIN_WAIT_2\n"
	inClosing  = inFinWait1 + "say FA ack -1 honest\n= CLOSING\n"
	inTimeWait = inFinWait2 + "say FA honest\n= TIME_WAIT\n"
	closeWait  = listened + "say FA honest\n= CLOSE_WAIT\n"
	inLastAck  = closeWait + "app shutdown\n= LAST_ACK\n"
	inSynRcvd  = inSynSent + "say S honest\n= SYN_RCVD\n"
	holed      = listened + "say A seq +100 len 100\n"
)

// verdicts are segments, one a row, and what the kernel makes of each. That the model
// makes the same of it is the claim.
var verdicts = []struct{ before, says, state string }{
	{inSynSent, "RA", "CLOSED"},
	{inSynSent, "RA seq +12345", "CLOSED"},
	{inSynSent, "RA ack +1", "SYN_SENT"},
	{inSynSent, "RA ack -1", "SYN_SENT"},
	{inSynSent, "RA ecr -1", "SYN_SENT"},
	{inSynSent, "RA ecr zero", "CLOSED"},
	{inSynSent, "RA ts none", "CLOSED"},
	{inSynSent, "R", "SYN_SENT"},
	{inSynSent, "A", "SYN_SENT"},
	{inSynSent, "FA", "SYN_SENT"},
	{inSynSent, "SA ack -1", "SYN_SENT"},
	{inSynSent, "SA ack +1", "SYN_SENT"},
	{inSynSent, "SA ecr -1", "SYN_SENT"},
	{inSynSent, "SA ecr -1000000", "SYN_SENT"},
	{inSynSent, "SA", "ESTABLISHED"},
	{inSynSent, "S", "SYN_RCVD"},
	{inSynSent, "SF", "SYN_RCVD"},

	{inRequest, "A", "ESTABLISHED"},
	{inRequest, "A ack +1", "SYN_RCVD"},
	{inRequest, "A ack -1", "SYN_RCVD"},
	{inRequest, "A ts -1", "SYN_RCVD"},
	{inRequest, "A ecr -1", "SYN_RCVD"},
	{inRequest, "A seq -1", "SYN_RCVD"},
	{inRequest, "A seq edge", "ESTABLISHED"},
	{inRequest, "A seq edge+1", "SYN_RCVD"},
	{inRequest, "FA", "CLOSE_WAIT"},
	{inRequest, "F", "SYN_RCVD"},
	{inRequest, "R", "CLOSED"},
	{inRequest, "R seq +1", "SYN_RCVD"},
	{inRequest, "R seq isn", "SYN_RCVD"},
	{inRequest, "R ts -1", "SYN_RCVD"},
	{inRequest, "S seq isn", "SYN_RCVD"},
	{inRequest, "S", "CLOSED"},
	{inRequest, "SA", "CLOSED"},
	{inRequest, "S seq +70000", "SYN_RCVD"},
	{inRequest, "SA seq isn", "SYN_RCVD"},
	{inRequest, "SA seq isn len 100", "SYN_RCVD"},

	{refused, "R", "CLOSED"},
	{refused, "R seq isn", "SYN_RCVD"},
	{refused, "S", "SYN_RCVD"},
	{refused, "A", "ESTABLISHED"},
	{refused, "A ack -1", "SYN_RCVD"},
	{refused, "FA ack -1", "SYN_RCVD"},
	{refused, "FA len 10", "CLOSE_WAIT"},

	{inSynRcvd, "R", "CLOSED"},
	{inSynRcvd, "R seq +1", "SYN_RCVD"},
	{inSynRcvd, "S", "SYN_RCVD"},
	{inSynRcvd, "A ack +1", "SYN_RCVD"},
	{inSynRcvd, "A ack -1", "ESTABLISHED"},
	{inSynRcvd, "A", "ESTABLISHED"},
	{inSynRcvd, "FA", "CLOSE_WAIT"},
	{inSynRcvd, "SA seq isn", "ESTABLISHED"},
	{inSynRcvd, "SA seq isn len 1", "SYN_RCVD"},

	{listened, "R", "CLOSED"},
	{listened, "RA ack +100000", "CLOSED"},
	{listened, "SR", "CLOSED"},
	{listened, "FR len 10", "CLOSED"},
	{listened, "R ts -1000", "CLOSED"},
	{listened, "R ts none", "CLOSED"},
	{listened, "R seq +1", "ESTABLISHED"},
	{listened, "R seq -1", "ESTABLISHED"},
	{listened, "R seq edge", "ESTABLISHED"},
	{listened, "R seq edge+1", "ESTABLISHED"},
	{listened, "S", "ESTABLISHED"},
	{listened, "S seq +100000", "ESTABLISHED"},
	{listened, "SA", "ESTABLISHED"},
	{listened, "SFA", "ESTABLISHED"},
	{listened, "FA", "CLOSE_WAIT"},
	{listened, "FA len 100", "CLOSE_WAIT"},
	{listened, "FA seq +1", "ESTABLISHED"},
	{listened, "FA ack +1", "ESTABLISHED"},
	{listened, "FA ack -200000", "ESTABLISHED"},
	{listened, "FA ts -1", "CLOSE_WAIT"},
	{listened, "FA ts -2", "ESTABLISHED"},
	{listened, "FA ts +2000000000", "CLOSE_WAIT"},
	{listened, "FA ts none", "CLOSE_WAIT"},
	{listened, "F", "ESTABLISHED"},
	{listened, "-", "ESTABLISHED"},
	{listened, "FAU", "CLOSE_WAIT"},
	{listened, "FAEC", "CLOSE_WAIT"},
	{listened + "say A len 10 ts +268435456\n", "FA ts -268435456", "ESTABLISHED"}, // as is all that its peer says

	{holed, "R", "CLOSED"},
	{holed, "R seq highest", "CLOSED"},
	{holed, "R seq highest-1", "ESTABLISHED"},
	{holed, "R seq +100", "ESTABLISHED"},
	{holed, "FA len 100", "CLOSE_WAIT"},
	{holed, "FA len 50", "CLOSE_WAIT"},

	{inFinWait1, "A", "FIN_WAIT_2"},
	{inFinWait1, "A ack -1", "FIN_WAIT_1"},
	{inFinWait1, "A ack -1 len 10", "FIN_WAIT_1"},
	{inFinWait1, "A ack +1", "FIN_WAIT_1"},
	{inFinWait1, "A seq -1", "FIN_WAIT_1"},
	{inFinWait1, "A ts -2", "FIN_WAIT_1"},
	{inFinWait1, "FA", "TIME_WAIT"},
	{inFinWait1, "FA ack -1", "CLOSING"},
	{inFinWait1, "R", "CLOSED"},
	{inFinWait1, "R seq +1", "FIN_WAIT_1"},
	{inFinWait1, "S", "FIN_WAIT_1"},

	{inFinWait2, "R", "CLOSED"},
	{inFinWait2, "R seq +1", "FIN_WAIT_2"},
	{inFinWait2, "FA", "TIME_WAIT"},
	{inFinWait2, "FA ack +1", "FIN_WAIT_2"},
	{inFinWait2, "A len 100", "FIN_WAIT_2"},
	{inFinWait2, "S seq +100", "FIN_WAIT_2"},

	{closeWait, "R", "CLOSED"},
	{closeWait, "R seq -1", "CLOSED"},
	{closeWait, "R seq -2", "CLOSE_WAIT"},
	{closeWait, "R seq +1", "CLOSE_WAIT"},
	{closeWait, "A seq -2 len 10", "CLOSED"},
	{closeWait, "A len 10", "CLOSE_WAIT"},
	{closeWait, "FA", "CLOSE_WAIT"},
	{closeWait, "S", "CLOSE_WAIT"},

	{inClosing, "A", "TIME_WAIT"},
	{inClosing, "A ack -1", "CLOSING"},
	{inClosing, "R", "CLOSED"},
	{inClosing, "R seq -1", "CLOSED"},
	{inClosing, "R seq -2", "CLOSING"},

	{inLastAck, "A", "CLOSED"},
	{inLastAck, "A ack -1", "LAST_ACK"},
	{inLastAck, "A ack +1", "LAST_ACK"},
	{inLastAck, "R", "CLOSED"},
	{inLastAck, "R seq -1", "CLOSED"},
	{inLastAck, "R seq -2", "LAST_ACK"},
	{inLastAck, "A seq -2 len 10", "CLOSED"},

	{inTimeWait, "R", "CLOSED"},
	{inTimeWait, "R seq -1", "TIME_WAIT"},
	{inTimeWait, "R seq +1", "TIME_WAIT"},
	{inTimeWait, "R ts -1", "TIME_WAIT"},
	{inTimeWait, "R ts none", "CLOSED"},
	{inTimeWait, "A", "TIME_WAIT"},
	{inTimeWait, "FA seq -1", "TIME_WAIT"},
	{inTimeWait, "A seq -10 len 5", "TIME_WAIT"},
	{inTimeWait, "SA seq +1", "TIME_WAIT"},
	{inTimeWait, "S seq +1", "SYN_RCVD"},
	{inTimeWait, "S seq +1 ts none", "SYN_RCVD"},
	{inTimeWait, "S seq +1 ts -1", "TIME_WAIT"},
	{inTimeWait, "S", "TIME_WAIT"},
	{inTimeWait, "S ts +1", "SYN_RCVD"},
	{inTimeWait, "S ts none", "TIME_WAIT"},
	{inTimeWait, "S seq -100000", "TIME_WAIT"},
	{inTimeWait, "S seq -100000 ts none", "TIME_WAIT"},
	{inTimeWait, "S seq -100000 ts +1", "SYN_RCVD"},
	{inTimeWait, "SF seq +1", "CLOSED"},
}

// TestVerdicts: one segment in each state, judged by the kernel and by the model.
func TestVerdicts(t *testing.T) {
	for _, ip := range []int{4, 6} {
		p := newPuppet(t, ip, nil)
		for _, v := range verdicts {
			t.Run(fmt.Sprintf("IPv%d %s to %s", ip, v.says, lastState(v.before)), func(t *testing.T) {
				script := v.before + "say " + v.says + "\n= " + v.state
				if !p.agrees(func() bool { return p.runAll(script) }) {
					t.Error(p)
				}
			})
		}
	}
}

// lastState is the state that a script ends in, or its last step.
func lastState(script string) string {
	steps := strings.Split(strings.TrimSpace(script), "\n")
	return strings.TrimPrefix(steps[len(steps)-1], "= ")
}
