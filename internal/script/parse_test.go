package script

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseCommands(t *testing.T) {
	const conn = "connect h:1\n" // so that a command has its connection
	for _, tt := range []struct {
		name, text string
		want       step
	}{
		{"listen", "listen 8080", listenStep{8080, defaultBacklog}},
		{"listen with backlog", "listen 8080 backlog 0", listenStep{8080, 0}},
		{"connect", "connect server:8080", connectStep{"server", 8080, 0}},
		{"connect from a port", "connect client:7777 from 8888", connectStep{"client", 7777, 8888}},
		{"connect to IPv6", "connect [fd77:2::1]:80", connectStep{"fd77:2::1", 80, 0}},
		{"bare word", conn + "send ping", sendStep{"ping"}},
		{"bare words keep their blanks", conn + "send  GET  /x ", sendStep{"GET  /x"}},
		{"bare text has no escapes", conn + `send a\n"b"`, sendStep{`a\n"b"`}},
		{"quoted", conn + `send "GET / HTTP/1.0\r\n\r\n"`, sendStep{"GET / HTTP/1.0\r\n\r\n"}},
		{"every escape", conn + `send "\n\r\t\0\\\"\x7f\xC3"`, sendStep{"\n\r\t\x00\\\"\x7f\xc3"}},
		{"quoted comment sign", conn + `send "a # b" # c`, sendStep{"a # b"}},
		{"comment after a bare text", conn + "send a#b # c", sendStep{"a#b"}},
		{"pattern", conn + "send 1000 bytes", sendPatternStep{1000}},
		{"pattern, one byte", conn + "send 1 byte", sendPatternStep{1}},
		{"pattern with unit", conn + "send 64KiB bytes", sendPatternStep{65536}},
		{"text that looks like a pattern", conn + `send "1000 bytes"`, sendStep{"1000 bytes"}},
		{"text that ends in bytes", conn + "send some bytes", sendStep{"some bytes"}},
		{"recv", conn + "recv 4", recvStep{4, false}},
		{"recv with unit", conn + "recv 2MB", recvStep{2e6, false}},
		{"recv eof", conn + "recv eof", recvStep{untilEOF, false}},
		{"recv pattern", conn + "recv 10 pattern", recvStep{10, true}},
		{"recv eof pattern", conn + "recv eof pattern", recvStep{untilEOF, true}},
		{"recv-text", conn + `recv-text "a b"`, recvTextStep{"a b"}},
		{"shutdown", conn + "shutdown", shutdownStep{}},
		{"close", conn + "close", closeStep{}},
		{"abort", conn + "abort", abortStep{}},
		{"sleep", "sleep 1.5s", sleepStep{1500 * time.Millisecond}},
		{"tab, CR and comment", "\tsleep 1ms\t# why\r", sleepStep{time.Millisecond}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, errs := Parse(tt.text)
			if errs != nil {
				t.Fatalf("mistakes: %v", errs)
			}
			if got := s.commands[len(s.commands)-1].step; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %#v, want %#v", got, tt.want)
			}
		})
	}
}

// Each row is one text and all its mistakes, as line:col: message.
func TestParseMistakes(t *testing.T) {
	for _, tt := range []struct{ text, want string }{
		{"conect server:80", `1:1: unknown command "conect"; did you mean "connect"?`},
		{"  foo", `1:3: unknown command "foo"`},
		{"close#now", `1:1: unknown command "close#now"`},
		{"listen", `1:7: listen: want a port`},
		{"listen 0", `1:8: listen: "0" is not a port; write 1 to 65535`},
		{"listen 80 90", `1:11: listen: "90" is too much; write listen PORT [backlog N]`},
		{"listen 80 backlog", `1:18: listen: want a number`},
		{"listen 80 backlog -1", `1:19: listen: "-1" is not a number from 0 to 65535`},
		{"connect", `1:8: connect: want HOST:PORT`},
		{"connect server", `1:9: connect: "server" is not HOST:PORT`},
		{"connect :80", `1:9: connect: ":80" is not HOST:PORT`},
		{"connect server:http", `1:16: connect: "http" is not a port; write 1 to 65535`},
		{"connect server:80 from", `1:23: connect: want a port`},
		{"connect server:80 form 9", `1:19: connect: "form 9" is too much; write connect HOST:PORT [from PORT]`},
		{"sleep", `1:6: sleep: want a duration, as 10ms`},
		{"sleep 10", `1:7: sleep: "10" is not a duration; write 10ms or 1.5s`},
		{"sleep 10 ms", "1:7: sleep: \"10\" is not a duration; write 10ms or 1.5s\n" +
			`1:10: sleep: "ms" is too much; write sleep D`},
		{"sleep -1s", `1:7: sleep: "-1s" is not a duration; write 10ms or 1.5s`},

		{"connect h:1\nsend", `2:5: send: want TEXT or N bytes`},
		{"connect h:1\nsend \"\"", `2:6: send: the text is empty`},
		{"connect h:1\nsend 1OO bytes", `2:6: send: "1OO" is not a number of bytes; write 1000 or 64KiB`},
		{"connect h:1\nsend 0 bytes", `2:6: send: "0" is not a number of bytes; write 1000 or 64KiB`},
		{`connect h:1` + "\n" + `send "a" b`, `2:10: send: "b" is too much; write send TEXT or send N bytes`},
		{`connect h:1` + "\n" + `send "a\qb"`, `2:8: send: unknown escape \q; there are \n \r \t \0 \\ \" \xHH`},
		{`connect h:1` + "\n" + `send "a\x4"`, `2:8: send: unknown escape \x; there are \n \r \t \0 \\ \" \xHH`},
		{`connect h:1` + "\n" + `send "abc`, `2:6: send: the text has no closing quote (in TOML write the script between ''' so that \n stays as it is)`},
		{"connect h:1\nrecv", `2:5: recv: want a number of bytes, or eof`},
		{"connect h:1\nrecv ping", `2:6: recv: "ping" is neither a number of bytes nor eof; to compare a text write recv-text`},
		{"connect h:1\nrecv 4 patern", `2:8: recv: "patern" is too much; write recv N or recv eof, with pattern after it to check the bytes`},
		{"connect h:1\nrecv 99999TiB", `2:6: recv: "99999TiB" is not a number of bytes; write 1000 or 64KiB`},
		{"connect h:1\nrecv 9999GiB", `2:6: recv: "9999GiB" is not a number of bytes; write 1000 or 64KiB`},
		{"connect h:1\nrecv-text", `2:10: recv-text: want TEXT`},

		{"set", `1:4: set: want an option`},
		{"set nodely", `1:5: set: unknown option "nodely"; did you mean "nodelay"?`},
		{"set nodelay maybe", `1:13: set: "maybe" is neither on nor off`},
		{"set keepalive 1s/1s", `1:15: set: "1s/1s" is not IDLE/INTERVAL/COUNT, as 1s/1s/3`},
		{"set keepalive 1s/1500ms/0", "1:18: set: \"1500ms\": the kernel counts this in units of 1s\n" +
			`1:25: set: "0" is not a number from 1 to 127`},
		{"set keepalive 0s/1s/3", `1:15: set: "0s" is out of range; write 1s to 9h6m7s`},
		{"set user-timeout", `1:17: set: want a duration, or off`},
		{"set user-timeout 1us", `1:18: set: "1us": the kernel counts this in units of 1ms`},
		{"set linger 1.5s", `1:12: set: "1.5s": the kernel counts this in units of 1s`},
		{"set linger2 3m", `1:13: set: "3m" is out of range; write 1s to 2m0s`},
		{"set rcvbuf 4GiB", `1:12: set: "4GiB" is more than 1GiB`},
		{"set syncnt 128", `1:12: set: "128" is not a number from 1 to 127`},
		{"set congestion", `1:15: set: want the name of a congestion control, as reno`},

		{"expect-error", "1:1: expect-error: no command follows that could fail\n" +
			`1:13: expect-error: want an error's name, as ECONNRESET or EOF`},
		{"expect-error econnreset\nconnect h:1", `1:14: expect-error: unknown error "econnreset"; did you mean "ECONNRESET"?`},
		{"expect-error ECONRESET\nconnect h:1", `1:14: expect-error: unknown error "ECONRESET"; did you mean "ECONNRESET"?`},
		{"expect-error EOF\n# only a comment", `1:1: expect-error: no command follows that could fail`},
		{"expect-error EOF\nexpect-error EPIPE\nconnect h:1",
			`2:1: expect-error: line 1 expects an error of the same command; write the names on one line`},

		// Sockets that are not there.
		{"accept", `1:1: accept needs a listener, and none is open here; listen first`},
		{"connect h:1\naccept", `2:1: accept needs a listener, and none is open here; listen first`},
		{"listen 80\nsend x", `2:1: send needs a connection, and none is open here; connect or accept first`},
		{"close", `1:1: close needs a socket, and none is open here`},
		{"listen 80\nclose\naccept", `3:1: accept needs a listener, and none is open here; listen first`},
		{"connect h:1\nclose\nrecv eof", `3:1: recv needs a connection, and none is open here; connect or accept first`},
		{"expect-error ECONNREFUSED\nconnect h:1\nsend x", `3:1: send needs a connection, and none is open here; connect or accept first`},

		// Each mistake at once, and none that only follows from another.
		{"connect h\nsend\nfoo\nclose", "1:9: connect: \"h\" is not HOST:PORT\n" +
			"2:5: send: want TEXT or N bytes\n" + `3:1: unknown command "foo"`},
	} {
		t.Run(tt.text, func(t *testing.T) {
			s, errs := Parse(tt.text)
			var got []string
			for _, e := range errs {
				got = append(got, e.Error())
			}
			if s != nil || strings.Join(got, "\n") != tt.want {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), tt.want)
			}
		})
	}
}

// What an error underlines is what its message quotes.
func TestErrorLength(t *testing.T) {
	text := "  connect server:http from x"
	_, errs := Parse(text)
	var got []string
	for _, e := range errs {
		got = append(got, text[e.Col-1:e.Col-1+e.Len])
	}
	if want := []string{"http", "x"}; !reflect.DeepEqual(got, want) {
		t.Errorf("underlined %q, want %q", got, want)
	}
}

func TestParseAcceptsSocketsInAnyOrder(t *testing.T) {
	for name, text := range map[string]string{
		"nothing":                   " \n# only this\n\n",
		"every option":              "set keepalive\nset keepalive off\nset keepalive 2s/1s/2\nset user-timeout 3s\nset user-timeout off\nset linger 0s\nset linger off\nset linger2 2s\nset linger2 off\nset defer-accept 1s\nset nodelay\nset cork off\nset quickack on\nset fastopen\nset reuseaddr\nset reuseport\nset rcvbuf 4KiB\nset sndbuf 9000\nset window-clamp 1000\nset syncnt 2\nset maxseg 536\nset congestion reno",
		"the listener closes last":  "listen 80\naccept\nclose\nclose\nlisten 80",
		"the older connection":      "connect h:1\nconnect h:2\nclose\nsend x",
		"several accepts":           "listen 80\naccept\naccept\nclose\nclose\nclose",
		"an error, then a success":  "expect-error ECONNREFUSED\nconnect h:1\nconnect h:1\nsend x",
		"either of two errors":      "connect h:1\nexpect-error ECONNRESET EPIPE\nsend x\nclose",
		"both ends connect":         "connect client:7777 from 8888\nrecv eof",
		"listener older than a new": "listen 80\nconnect h:1\naccept\nrecv eof",
	} {
		t.Run(name, func(t *testing.T) {
			if _, errs := Parse(text); errs != nil {
				t.Errorf("mistakes: %v", errs)
			}
		})
	}
}

func TestPorts(t *testing.T) {
	s, errs := Parse("listen 80\nexpect-error EADDRINUSE\nlisten 80\nlisten 443")
	if errs != nil {
		t.Fatal(errs)
	}
	if got, want := s.Ports(), []uint16{80, 443}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// The package's documentation of the language leaves out no verb and no option.
func TestDocumented(t *testing.T) {
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Concat(verbNames, optionNames) {
		if !regexp.MustCompile(`(?m)^//\t([a-z, -]+, )?` + name + `\b`).Match(doc) {
			t.Errorf("doc.go says nothing of %s", name)
		}
	}
	for name, v := range verbs {
		if !strings.HasPrefix(v.usage, name) {
			t.Errorf("usage of %s is %q", name, v.usage)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{"conect", "connect"},
		{"reciev", "recv"},
		{"receive", ""}, // three slips
		{"rcev", "recv"},
		{"sends", "send"},
		{"lsiten", "listen"},
		{"CLOSE", "close"},
		{"recv_text", "recv-text"},
		{"x", ""},
		{"closed-for-good", ""},
	} {
		want := ""
		if tt.want != "" {
			want = fmt.Sprintf("; did you mean %q?", tt.want)
		}
		if got := didYouMean(tt.got, verbNames); got != want {
			t.Errorf("%s: got %q, want %q", tt.got, got, want)
		}
	}
}

func TestPattern(t *testing.T) {
	p := make([]byte, 40)
	Pattern(p, 0)
	if got, want := string(p), "0000000\n0000008\n0000010\n0000018\n0000020\n"; got != want {
		t.Errorf("from 0: %q, want %q", got, want)
	}
	for at := range int64(40) { // any cut of the stream is a cut of the whole
		q := make([]byte, 40-at)
		Pattern(q, at)
		if string(q) != string(p[at:]) {
			t.Errorf("from %d: %q, want %q", at, q, p[at:])
		}
	}
	Pattern(p[:8], 1<<28-8)
	if got, want := string(p[:8]), "ffffff8\n"; got != want {
		t.Errorf("end of the period: %q, want %q", got, want)
	}
}

// Whatever the text: no panic, each mistake stands inside it, and what was
// understood is understood again from the commands as reported.
func FuzzParse(f *testing.F) {
	f.Add("listen 8080 backlog 3\naccept\nrecv 4\nsend pong\nrecv eof\nclose")
	f.Add("set keepalive 1s/1s/3\nconnect [::1]:80 from 9\nsend \"a\\x41\\n\" # c\nexpect-error EOF EPIPE\nrecv 4\nabort")
	f.Add("conect\nsend \"\nsend \"\\\n set linger\n recv 1 2\r\n\tsleep é")
	f.Fuzz(func(t *testing.T, text string) {
		s, errs := Parse(text)
		lines := strings.Split(text, "\n")
		for _, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Len < 0 || e.Col-1+e.Len > len(lines[e.Line-1]) {
				t.Fatalf("%v (%d bytes) is outside of %q", e, e.Len, text)
			}
		}
		if (s == nil) != (len(errs) > 0) {
			t.Fatalf("script %v with mistakes %v", s, errs)
		}
		if s == nil {
			return
		}
		again, errs := Parse(reported(s))
		if errs != nil {
			t.Fatalf("%q as reported, %q: %v", text, reported(s), errs)
		}
		if reported(again) != reported(s) {
			t.Fatalf("%q became %q", reported(s), reported(again))
		}
	})
}

func reported(s *Script) string {
	var b strings.Builder
	for _, c := range s.commands {
		if c.expect != nil {
			fmt.Fprintln(&b, "expect-error", strings.Join(c.expect, " "))
		}
		fmt.Fprintln(&b, c.text)
	}
	return b.String()
}
