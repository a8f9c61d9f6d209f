// Package lab runs experiments that are written down in a file: two hosts, the box
// between them, what each host does, and what must come of it.
//
//	client host                    this process                    server host
//	┌──────────────────┐      ┌─────────────────────┐      ┌──────────────────┐
//	│ script, program  │      │   engine.Engine     │      │ script, program  │
//	│ kernel TCP       │◄─TUN─┤   rules of the file ├─TUN─►│ kernel TCP       │
//	│ 10.77.1.1        │      │                     │      │ 10.77.2.1        │
//	│ fd77:1::1        │      │ sock_diag, 5 ms ────┼─────►│ fd77:2::1        │
//	└──────────────────┘      └─────────────────────┘      └──────────────────┘
//
// Both hosts are network namespaces of this process: they need root, or a user
// namespace of our own, and vanish with the process however it ends.
//
//	file, err := lab.Load("last-ack-lost.toml")
//	result, err := lab.Execute(ctx, file, lab.Options{})
//	result.WriteText(os.Stdout, false)
//
// In a test it is one line: lab.Run(t, "last-ack-lost.toml").
//
// # The file
//
// A rule file (see package rules) with some tables more. Durations are strings with
// a unit; where several values make sense, a list will do.
//
//	[lab]
//	timeout = "30s"         # the whole experiment ends by then
//	ip      = 4             # 4, 6 or [4, 6]: once over each
//	mtu     = 1500
//	agree   = true          # inferred states must be the kernels'
//	link    = { delay = "10ms", rate = "10mbit", loss = "1%" }   # the base path, each way
//
//	[server]                # and [client]; one of them will do
//	script  = """ ... """   # see below
//	run     = ["nginx"]     # or a program; $CLIENT and $SERVER are the addresses, it
//	                        #   runs in the file's folder and may write to $TMPDIR
//	ready   = "tcp:8080"    # the client starts when this port listens
//	copies  = 100           # so many side by side
//	stagger = "1ms"         # between two starts
//	sysctl  = { tcp_fin_timeout = 3 }
//	env     = { MODE = "test" }
//
//	[[expect]]              # one kind of expectation each
//	client = "TIME_WAIT"    # states as the kernels report them, on one 4-tuple at
//	server = "LAST_ACK"     #   the same moment; LISTEN and CLOSED are states here
//	connections = ">= 100"  # so many at once
//	within = "2s"           # begins by then, counted from the client's start
//	lasts  = "3s"           # and holds so long without a break
//
//	[[expect]]
//	rule  = "lose-last-ack"
//	fired = ">= 2"          # the default is ">= 1"
//
//	[[expect]]
//	error = "client: ECONNRESET"   # a script's command met it
//
//	[[expect]]
//	exit = "client: 0"      # of a program; or { client = 0, server = 1 }
//
//	[[expect]]
//	stdout = "server: ^ready"      # RE2 that a line of it matches; also stderr
//
//	[[step]]                # what happens besides, one after the other
//	when = { server = "CLOSE_WAIT" }   # states, or { rule = NAME }, or at = "2s"
//	do   = "kill server"    # kill, restart, destroy SIDE; enable, disable, release
//	                        # RULE; heal
//
// within goes with every kind of expectation, connections and lasts only with states.
// A server's script that listens does so once, and what follows its accept once for
// each connection, where the client runs in several copies; [server] copies says
// another number of connections. CLOSED is an endpoint without a socket, LISTEN one with
// nothing but a listener.
//
// The experiment ends when every expectation is decided, every step is done and
// nobody makes progress any more, at the latest after the timeout. What nothing can
// bring about any more is decided: see docs/lab.md. It fails with an
// expectation, with a script's command that fails unexpectedly (an error expectation
// expects it), with a program that ends with another status than 0 (an exit
// expectation judges it in place of that), with a rule that is not optional and never
// fired, with a step that never came, with packets that the kernel lost on the way to
// us, and with an inferred state that differs from the kernel's for more than 100 ms
// (see Agreement).
package lab
