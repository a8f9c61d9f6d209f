package lab

import (
	"errors"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

// mistakes is what a text is refused for, a line each.
func mistakes(text string) string {
	_, err := Parse("f.toml", text)
	if err == nil {
		return ""
	}
	return err.Error()
}

const (
	aClient = "[client]\nscript = 'sleep 1ms'\n"
	aServer = "[server]\nscript = 'listen 80'\n"
	aRule   = "[[rule]]\nname = 'lose'\naction = 'drop'\n"
	aRun    = "[client]\nrun = ['true']\n"
)

func TestMistakes(t *testing.T) {
	tests := []struct{ name, text, want string }{
		// [lab]
		{"no duration", "[lab]\ntimeout = 30\n" + aClient,
			`f.toml:2:11: lab: timeout: 30 has no unit; write "30s" or "30ms"`},
		{"no time at all", "[lab]\ntimeout = '0s'\n" + aClient,
			`f.toml:2:11: lab: timeout: must be more than 0s`},
		{"family", "[lab]\nip = 5\n" + aClient,
			`f.toml:2:6: lab: ip: 5 is not 4 or 6`},
		{"families", "[lab]\nip = [4, 4]\n" + aClient,
			`f.toml:2:10: lab: ip: 4 stands here twice`},
		{"mtu", "[lab]\nmtu = 60\n" + aClient,
			`f.toml:2:7: lab: mtu: 60 is not from 68 to 65535`},
		{"link", "[lab]\nlink = { dely = '1ms', loss = 2, rate = 5 }\n" + aClient,
			"f.toml:2:10: lab: link: unknown key \"dely\"; did you mean \"delay\"?\n" +
				"f.toml:2:31: lab: link.loss: 2 is not from 0 to 1; a percentage is written \"5%\"\n" +
				"f.toml:2:41: lab: link.rate: 5 has no unit; write \"5kbit\" or \"5kB/s\""},
		{"unknown key", "[lab]\ntimeot = '1s'\n" + aClient,
			`f.toml:2:1: lab: unknown key "timeot"; did you mean "timeout"?`},
		{"unknown table", "[clinet]\nscript = 'sleep 1ms'\n",
			`f.toml:1:2: unknown key "clinet"; did you mean "client"?`},

		// hosts
		{"nothing to do", "[client]\ncopies = 2\n",
			`f.toml:1:1: client: needs "script" or "run"`},
		{"two things to do", "[client]\nscript = 'sleep 1ms'\nrun = 'true'\n",
			`f.toml:3:1: client: run: "run" and "script" (line 2) exclude each other`},
		{"ready of the client", "[client]\nrun = 'true'\nready = 'tcp:80'\n",
			`f.toml:3:1: client: ready: only the server is waited for`},
		{"ready of a script", "[server]\nscript = 'listen 80'\nready = 'tcp:80'\n",
			`f.toml:3:1: server: ready: a script is ready when its listen is done`},
		{"ready of something", "[server]\nrun = 'true'\nready = 'udp:53'\n",
			`f.toml:3:9: server: ready: "udp:53" is not like "tcp:8080"`},
		{"a program without a name", "[client]\nrun = ['', 'x']\n",
			`f.toml:2:8: client: run: must not be empty`},
		{"no copies", "[client]\ncopies = 0\nscript = 'sleep 1ms'\n",
			`f.toml:2:10: client: copies: 0 is not from 1 to 10000`},
		{"a sysctl of a kind", aClient + "[client.sysctl]\ntcp_sack = true\n",
			`f.toml:4:12: client: sysctl.tcp_sack: must be an integer or a string`},

		// scripts
		{"in one line", "[client]\nscript = 'conect server:80'\n",
			`f.toml:2:11: client: script: unknown command "conect"; did you mean "connect"?`},
		{"in several lines", "[client]\nscript = \"\"\"\n  connect server:80\n  recv many\n\"\"\"\n",
			`f.toml:4:8: client: script: recv: "many" is neither a number of bytes nor eof; to compare a text write recv-text`},
		{"in several lines that begin at once", "[client]\nscript = '''connect server:80\nsend\n'''\n",
			`f.toml:3:5: client: script: send: want TEXT or N bytes`},
		{"in the first of them", "[client]\nscript = '''sned\n'''\n",
			`f.toml:2:13: client: script: unknown command "sned"; did you mean "send"?`},
		{"a server for several with two accepts", "[server]\nscript = '''\nlisten 80\naccept\n  accept\n'''\n[client]\ncopies = 2\nscript = 'connect server:80'\n",
			`f.toml:5:3: server: script: a script that serves several connections has one accept, and expects no error of it`},
		{"its own copies are such, too", "[server]\ncopies = 3\nscript = '''\nlisten 80\nexpect-error EMFILE\naccept\n'''\n",
			`f.toml:6:1: server: script: a script that serves several connections has one accept, and expects no error of it`},
		{"behind escapes", "[client]\nscript = \"connect server:80\\nsned\"\n",
			`f.toml:2:10: client: script: line 2 of the script: unknown command "sned"; did you mean "send"?`},

		// [[expect]]
		{"a server outside of a lab", "[[expect]]\nserver = 'CLOSED'\n",
			`f.toml:2:1: expect 1: server: only a lab can tell, and the file has neither [client] nor [server]`},
		{"output outside of a lab", "[[expect]]\nstdout = 'client: ^ok'\n",
			`f.toml:2:1: expect 1: stdout: only a lab can tell, and the file has neither [client] nor [server]`},
		{"the server's exit outside of a lab", "[[expect]]\nexit = { server = 0 }\n",
			`f.toml:2:1: expect 1: exit: only a lab can tell, and the file has neither [client] nor [server]`},
		{"a step with nothing to run", "[[step]]\nat = '1s'\ndo = 'heal'\n",
			`f.toml:1:1: step 1: there is nothing to run: the file has neither [client] nor [server]`},
		{"a proxy without a place", "[[proxy]]\nupstream = '127.0.0.1:80'\n",
			`f.toml:1:1: proxy 1: has no place: it needs address or listen`},
		{"a proxy without an upstream", "[[proxy]]\nlisten = '127.0.0.1:80'\n",
			`f.toml:1:1: proxy 1: "upstream" is missing`},
		{"addresses of a proxy", "[[proxy]]\nlisten = 'here'\naddress = 'localhost:80'\nupstream = 'web:http'\n",
			"f.toml:2:10: proxy 1: listen: \"here\" is not like \"127.0.0.1:6379\"\n" +
				"f.toml:3:11: proxy 1: address: \"localhost:80\" is not like \"198.18.0.2:6379\"\n" +
				"f.toml:4:12: proxy 1: upstream: \"web:http\" is not like \"127.0.0.1:6379\""},
		{"nothing expected", aClient + "[[expect]]\nwithin = '1s'\n",
			`f.toml:3:1: expect 1: says nothing; it needs one of client, server, rule, error, exit, stdout, stderr`},
		{"two things expected", aClient + aRule + "[[expect]]\nclient = 'CLOSED'\nrule = 'lose'\n",
			`f.toml:8:1: expect 1: rule: "rule" and "client" (line 7) want an [[expect]] each`},
		{"unknown state", aClient + "[[expect]]\nclient = 'TIMEWAIT'\nserver = ['CLOSED', 'LISTENING']\n",
			"f.toml:4:10: expect 1: client: unknown state \"TIMEWAIT\"; did you mean \"TIME_WAIT\"?\n" +
				"f.toml:5:21: expect 1: server: unknown state \"LISTENING\"; did you mean \"LISTEN\"?"},
		{"unknown rule", aClient + aRule + "[[expect]]\nrule = 'loose'\n",
			`f.toml:7:8: expect 1: rule: there is no rule "loose"; did you mean "lose"?`},
		{"a range", aClient + aRule + "[[expect]]\nrule = 'lose'\nfired = 'often'\n",
			`f.toml:8:9: expect 1: fired: "often" is not a number or range; write it like 5, "2-4" or ">=3"`},
		{"lasts of a rule", aClient + aRule + "[[expect]]\nrule = 'lose'\nlasts = '1s'\n",
			`f.toml:8:1: expect 1: lasts: goes with client or server`},
		{"fired of a state", aClient + "[[expect]]\nclient = 'CLOSED'\nfired = 1\n",
			`f.toml:5:1: expect 1: fired: goes with rule`},
		{"no side", aClient + "[[expect]]\nerror = 'ECONNRESET'\n",
			`f.toml:4:9: expect 1: error: "ECONNRESET" is not like "client: ECONNRESET"`},
		{"no such error", aClient + "[[expect]]\nerror = 'client: ECONRESET'\n",
			`f.toml:4:9: expect 1: error: unknown error "ECONRESET"; did you mean "ECONNRESET"?`},
		{"no such host", aClient + "[[expect]]\nerror = 'server: ECONNRESET'\n",
			`f.toml:4:9: expect 1: error: there is no [server]`},
		{"the exit of a script", aClient + "[[expect]]\nexit = 'client: 0'\n",
			`f.toml:4:8: expect 1: exit: the client runs a script; expect its error`},
		{"the error of a program", aRun + "[[expect]]\nerror = 'client: EOF'\n",
			`f.toml:4:9: expect 1: error: the client runs a program; expect its exit, stdout or stderr`},
		{"no status", aRun + "[[expect]]\nexit = 'client: done'\n",
			`f.toml:4:8: expect 1: exit: "done" is not an exit status`},
		{"no expression", aRun + "[[expect]]\nstdout = { client = '(' }\n",
			"f.toml:4:21: expect 1: stdout.client: error parsing regexp: missing closing ): `(`"},
		{"a table of neither", aRun + "[[expect]]\nexit = { clinet = 0 }\n",
			"f.toml:4:10: expect 1: exit: unknown key \"clinet\"; did you mean \"client\"?"},

		// [[step]]
		{"never", aClient + "[[step]]\ndo = 'heal'\n",
			`f.toml:3:1: step 1: needs "when" or "at"`},
		{"twice", aClient + "[[step]]\nwhen = { client = 'CLOSED' }\nat = '1s'\ndo = 'heal'\n",
			`f.toml:5:6: step 1: at: "at" and "when" (line 4) exclude each other`},
		{"nothing", aClient + "[[step]]\nat = '1s'\n",
			`f.toml:3:1: step 1: needs "do"`},
		{"unknown", aClient + "[[step]]\nat = '1s'\ndo = 'kil client'\n",
			`f.toml:5:6: step 1: do: unknown step "kil"; did you mean "kill"?`},
		{"whom", aClient + "[[step]]\nat = '1s'\ndo = 'kill all'\n",
			`f.toml:5:6: step 1: do: kill: "all" is not client or server`},
		{"nobody there", aClient + "[[step]]\nat = '1s'\ndo = 'restart server'\n",
			`f.toml:5:6: step 1: do: there is no [server]`},
		{"which rule", aClient + aRule + "[[step]]\nat = '1s'\ndo = 'release loss'\n",
			`f.toml:8:6: step 1: do: there is no rule "loss"; did you mean "lose"?`},
		{"heal whom", aClient + "[[step]]\nat = '1s'\ndo = 'heal client'\n",
			`f.toml:5:6: step 1: do: heal stands alone`},
		{"when what", aClient + "[[step]]\nwhen = {}\ndo = 'heal'\n",
			`f.toml:4:8: step 1: when: needs client, server or rule`},
		{"when both", aClient + aRule + "[[step]]\nwhen = { rule = 'lose', client = 'CLOSED' }\ndo = 'heal'\n",
			`f.toml:7:17: step 1: when.rule: a rule and states exclude each other`},

		// everywhere at once
		{"several", "[lab]\nip = 5\n[[rule]]\nname = 'r'\naction = 'dorp'\n" + aClient + "[[step]]\nat = 1\ndo = 'heal'\n",
			"f.toml:2:6: lab: ip: 5 is not 4 or 6\n" +
				"f.toml:5:10: rule 1 \"r\": action: unknown action \"dorp\"; did you mean \"drop\"?\n" +
				"f.toml:9:6: step 1: at: 1 has no unit; write \"1s\" or \"1ms\""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := mistakes(tt.text); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestErrorsAreRuleErrors(t *testing.T) {
	_, err := Parse("f.toml", "[lab]\nip = 5\n")
	errs, ok := errors.AsType[rules.Errors](err)
	if !ok {
		t.Fatalf("got %T", err)
	}
	var text strings.Builder
	_ = errs.Render(&text)
	want := "f.toml:2:6: lab: ip: 5 is not 4 or 6\n    2 | ip = 5\n      |      ^\n"
	if text.String() != want {
		t.Errorf("got\n%swant\n%s", text.String(), want)
	}
}

func TestFile(t *testing.T) {
	f := parse(t, `
		title = "Everything"
		[lab]
		timeout = "5s"
		ip      = [4, 6]
		mtu     = 1400
		agree   = false
		link    = { delay = "10ms", rate = "10mbit", loss = "1%" }
		[server]
		run     = ["nginx", "-g", "daemon off;"]
		ready   = "tcp:8080"
		env     = { A = "b" }
		sysctl  = { tcp_fin_timeout = 3 }
		[client]
		script  = "connect server:8080"
		copies  = 100
		stagger = "1ms"
		[client.sysctl]
		net.ipv4.tcp_rfc1337 = 1
		[[expect]]
		client      = ["time-wait", "CLOSED"]
		server      = "listen"
		within      = "2s"
		lasts       = "3s"
		connections = ">= 100"
		[[expect]]
		exit = { server = 0 }
		[[expect]]
		error = { client = "ECONNRESET" }
		within = "1s"
		[[expect]]
		stderr = "server: a: b"
		[[step]]
		when = { server = ["CLOSE_WAIT", "LAST_ACK"] }
		do   = "kill server"
		[[step]]
		at = "2s"
		do = "heal"`)
	if f.Title != "Everything" || f.Timeout != 5*time.Second || !reflect.DeepEqual(f.IP, []int{4, 6}) || f.MTU != 1400 || f.Agree {
		t.Errorf("got %+v", f)
	}
	if want := (Link{10 * time.Millisecond, 10_000_000, 0.01}); f.Link != want {
		t.Errorf("link: got %+v, want %+v", f.Link, want)
	}
	server, client := f.hosts[serverSide], f.hosts[clientSide]
	if server.ready != 8080 || !reflect.DeepEqual(server.env, []string{"A=b"}) || server.sysctls[0] != (sysctl{"tcp_fin_timeout", "3"}) {
		t.Errorf("server: got %+v", server)
	}
	if client.copies != 100 || client.stagger != time.Millisecond || client.sysctls[0] != (sysctl{"net.ipv4.tcp_rfc1337", "1"}) || !client.stack().RFC1337 {
		t.Errorf("client: got %+v", client)
	}
	wants := []string{
		">=100 connections with client TIME_WAIT or CLOSED, server LISTEN within 2s for 3s",
		"exit server: 0",
		"error client: ECONNRESET within 1s",
		"stderr server: a: b",
	}
	for i, want := range wants {
		if got := f.expects[i].String(); got != want {
			t.Errorf("expectation %d: got %q, want %q", i+1, got, want)
		}
	}
	for i, want := range []string{"kill server when server CLOSE_WAIT or LAST_ACK", "heal at 2s"} {
		if got := f.steps[i].String(); got != want {
			t.Errorf("step %d: got %q, want %q", i+1, got, want)
		}
	}
}

func TestDefaults(t *testing.T) {
	f := parse(t, aClient)
	if f.Timeout != 30*time.Second || !reflect.DeepEqual(f.IP, []int{4}) || f.MTU != 1500 || !f.Agree || !f.IsLab() {
		t.Errorf("got %+v", f)
	}
	if parse(t, aRule).IsLab() {
		t.Error("a rule file is taken for a lab")
	}
}

func TestExamplesParse(t *testing.T) {
	files, _ := filepath.Glob(filepath.Join("..", "examples", "rules", "*.toml"))
	if len(files) == 0 {
		t.Fatal("there are no examples")
	}
	for _, file := range files {
		if _, err := Load(file); err != nil {
			t.Error(err)
		}
	}
}

// FuzzParse: no text breaks the reader, and every mistake lies inside the file.
func FuzzParse(f *testing.F) {
	for _, text := range []string{
		pingPong, aClient + aServer + aRule, "[client]\nscript = '''\nsned \"\\q\n'''\n",
		aRun + "[[expect]]\nstdout = { client = '(' }\n[[step]]\nat = '1s'\ndo = 'kill client'\n",
		"[lab]\nip = [4, 6]\nlink = { loss = '5%' }\n", "[client]\r\nscript = \"\"\"recv ä\r\n  ö\r\n\"\"\"",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := Parse("f.toml", text)
		errs, _ := errors.AsType[rules.Errors](err)
		lines := strings.Split(text, "\n")
		for _, e := range errs {
			if e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len([]rune(lines[e.Line-1]))+1 {
				t.Errorf("%v lies outside the file", e)
			}
		}
	})
}
