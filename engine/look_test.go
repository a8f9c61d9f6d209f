package engine_test

import (
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/internal/wire"
)

// Each line says what a rule made of what came by, the first predicate that failed,
// or what takes a segment before any rule looks.
func TestLooks(t *testing.T) {
	var text []byte
	w := newWorld(engine.BoxConfig{
		Rules: mustParse(t, `
			[[rule]]
			name = "elsewhere"
			match = { port = 9 }
			action = "drop"

			[[rule]]
			name = "second"
			match = { connection = 2, client = "10.77.0.0/16" }
			action = "drop"

			[[rule]]
			name = "keep-fin"
			match = { segment = "fin", from = "client" }
			action = { hold = { until = "release", behind = true } }

			[[rule]]
			name = "third-data"
			match = { segment = "data" }
			nth = 3
			action = "drop"

			[[rule]]
			name = "much"
			match = { payload = "[\\x00-\\xff]", length = ">=10", client_state = "FIN_WAIT_1" }
			actions = [{ tag = "a" }, { blackhole = "server" }]

			[[rule]]
			name = "marked"
			match = { tag = "a" }
			at = { age = "2s" }
			action = { reset = "server" }

			[[rule]]
			name = "old"
			match = { not_tag = "a" }
			at = { age = "2s" }
			action = { reset = "server" }
		`),
		OnLook: func(l *engine.Look) { text = l.AppendText(text) },
	})
	w.send(handshake(0)...)
	w.advance(time.Second)
	fin := segment{from: client, flags: wire.ACK | wire.FIN, seq: 11, ack: 1}
	w.send(
		segment{from: client, flags: wire.ACK | wire.PSH, seq: 1, ack: 1, size: 10},
		fin, fin,
		segment{from: client, flags: wire.ACK, seq: 12, ack: 1},
		segment{from: server, flags: wire.ACK, seq: 1, ack: 11, size: 100},
	)
	w.advance(3 * time.Second)
	const want = `
0.000000 #1 open 10.77.1.1:40000 > 10.77.2.1:8080  CLOSED CLOSED
    elsewhere  no: port is 8080, not 9
    second     no: connection is 1, not 2
0.000000 #1 client S 0:0  syn  SYN_SENT CLOSED
    keep-fin    no: segment is syn, not fin
    third-data  no: segment is syn, not data
    much        no: length is 0, not >=10
0.000000 #1 server SA 0:0 ack 1  syn-ack  SYN_SENT SYN_RCVD
    keep-fin    no: from is server, not client
    third-data  no: segment is syn-ack, not data
    much        no: length is 0, not >=10
0.000000 #1 client A 1:1 ack 1  handshake-ack ack  ESTABLISHED SYN_RCVD
    keep-fin    no: segment is handshake-ack,ack, not fin
    third-data  no: segment is handshake-ack,ack, not data
    much        no: length is 0, not >=10
1.000000 #1 client PA 1:11 ack 1  data  ESTABLISHED ESTABLISHED
    keep-fin    no: segment is data, not fin
    third-data  no: number is 1, not 3
    much        no: client_state is ESTABLISHED, not FIN_WAIT_1
1.000000 #1 client FA 11:11 ack 1  fin first-fin  FIN_WAIT_1 ESTABLISHED
    keep-fin  fired: hold
1.000000 #1 client FA 11:11 ack 1  fin first-fin retransmission  FIN_WAIT_1 ESTABLISHED
    keep-fin  swallowed: it repeats what the rule holds
1.000000 #1 client A 12:12 ack 1  ack dup-ack  FIN_WAIT_1 ESTABLISHED
    keep-fin    no: segment is ack,dup-ack, not fin
    third-data  no: segment is ack,dup-ack, not data
    much        no: length is 0, not >=10
    keep-fin    held: it stands behind what the rule holds
1.000000 #1 server A 1:101 ack 11  data  FIN_WAIT_1 ESTABLISHED
    keep-fin    no: from is server, not client
    third-data  no: number is 1, not 3
    much        fired: tag, blackhole
2.000000 #1 at age = 2s  FIN_WAIT_1 ESTABLISHED
    marked  fired: reset
2.000000 #1 at age = 2s  FIN_WAIT_1 CLOSED
    old  no: not_tag = ["a"]
`
	if got := "\n" + string(text); got != want {
		t.Errorf("got%s\nwant%s", got, want)
	}
}

// What a rule has done before ends segments that no rule looks at.
func TestLookAtWhatIsLost(t *testing.T) {
	var text strings.Builder
	w := newWorld(engine.BoxConfig{
		Rules: mustParse(t, "[[rule]]\nname = \"hole\"\nmatch = { segment = \"data\" }\naction = \"blackhole\"\n"),
		OnLook: func(l *engine.Look) {
			text.Write(l.AppendText(nil))
		},
	})
	w.send(handshake(0)...)
	text.Reset()
	data := segment{from: client, flags: wire.ACK, seq: 1, ack: 1, size: 10}
	w.send(data, data)
	const want = `0.000000 #1 client A 1:11 ack 1  data  ESTABLISHED ESTABLISHED
    hole  fired: blackhole
0.000000 #1 client A 1:11 ack 1  data retransmission  ESTABLISHED ESTABLISHED
    hole  dropped: for what the rule did before
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
}
