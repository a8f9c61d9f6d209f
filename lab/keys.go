package lab

import (
	"slices"

	"github.com/tcpmangle/tcpmangle/rules"
)

// A TableDoc is one table of a lab file, besides [[rule]], in the reference.
type TableDoc struct {
	Name string // "lab", "client" ...
	List bool   // written [[name]], any number of times
	Doc  string // one sentence without a full stop
	Keys []rules.KeyDoc
}

// Tables is the reference of what a lab file holds besides rules. A test keeps it
// equal to what the reader asks for.
func Tables() []TableDoc {
	return []TableDoc{
		{Name: "lab", Doc: "the experiment as a whole", Keys: labKeys},
		{Name: "client", Doc: "what the client does", Keys: slices.DeleteFunc(slices.Clone(hostKeys), isReady)},
		{Name: "server", Doc: "what the server does", Keys: hostKeys},
		{Name: "expect", List: true, Doc: "one thing that has to come true, of one kind", Keys: expectKeys},
		{Name: "step", List: true, Doc: "what happens besides, in order", Keys: stepKeys},
		{Name: "proxy", List: true, Doc: "a service for tcpmangle run; no part of a lab", Keys: proxyKeys},
	}
}

func isReady(k rules.KeyDoc) bool { return k.Name == "ready" }

// LinkKeys is the reference of the table link in [lab].
func LinkKeys() []rules.KeyDoc { return slices.Clone(linkKeys) }

// WhenKeys is the reference of the table when in [[step]].
func WhenKeys() []rules.KeyDoc { return slices.Clone(whenKeys) }

var labKeys = []rules.KeyDoc{
	{Name: "timeout", Type: "duration", Default: `"30s"`, Doc: "the longest that a run may take"},
	{Name: "ip", Type: "integer", Values: []string{"4", "6"}, List: true, Default: "4", Doc: "the IP versions to run over"},
	{Name: "mtu", Type: "integer", Default: "1500", Doc: "of both devices, 68 to 65535"},
	{Name: "agree", Type: "boolean", Default: "true", Doc: "an inferred state that differs from the kernel's for more than 100 ms is a failure"},
	{Name: "link", Type: "table", Doc: "what the base path does to every segment, each way, after the rules"},
}

var linkKeys = []rules.KeyDoc{
	{Name: "delay", Type: "duration", Default: `"0s"`, Doc: "how much later everything leaves"},
	{Name: "rate", Type: "rate", Doc: "what passes each way, of all connections together"},
	{Name: "loss", Type: "probability", Default: "0", Doc: "the chance of each segment to be lost"},
}

var hostKeys = []rules.KeyDoc{
	{Name: "script", Type: "string", Doc: "one command a line; see docs/lab.md"},
	{Name: "run", Type: "text", List: true, Doc: "a program and its arguments, in place of a script"},
	{Name: "ready", Type: "string", Doc: `"tcp:8080": the client starts when a program listens there`},
	{Name: "copies", Type: "integer", Default: "1", Doc: "so many side by side"},
	{Name: "stagger", Type: "duration", Default: `"0s"`, Doc: "from the start of one copy to that of the next"},
	{Name: "sysctl", Type: "table", Doc: "of this host, by name: tcp_fin_timeout = 3"},
	{Name: "env", Type: "table", Doc: "further environment of the program"},
}

var expectKeys = []rules.KeyDoc{
	{Name: "client", Type: "string", List: true, Doc: "the state of a connection at the client, as its kernel reports it"},
	{Name: "server", Type: "string", List: true, Doc: "and at the server, on the same 4-tuple at the same moment"},
	{Name: "connections", Type: "number or range", Default: `">= 1"`, Doc: "how many are in these states"},
	{Name: "lasts", Type: "duration", Default: `"0s"`, Doc: "and for how long without a break"},
	{Name: "rule", Type: "string", Doc: "the name of a rule that fires"},
	{Name: "fired", Type: "number or range", Default: `">= 1"`, Doc: "how often it does"},
	{Name: "error", Type: "string or table", Doc: `"client: ECONNRESET": a command of that script met it`},
	{Name: "exit", Type: "string or table", Doc: `"client: 0": the exit status of that program`},
	{Name: "stdout", Type: "string or table", Doc: `"server: REGEXP": a program's output matches`},
	{Name: "stderr", Type: "string or table", Doc: `"server: REGEXP": a program's standard error matches`},
	{Name: "within", Type: "duration", Doc: "from the start; by default until the end"},
}

var stepKeys = []rules.KeyDoc{
	{Name: "at", Type: "duration", Doc: "when, from the start"},
	{Name: "when", Type: "table", Doc: "or once a connection is in these states, or a rule has fired"},
	{Name: "do", Type: "string", Doc: "kill SIDE, restart SIDE, destroy SIDE, enable RULE, disable RULE, release RULE, heal"},
}

var whenKeys = []rules.KeyDoc{
	{Name: "client", Type: "string", List: true, Doc: "the state of a connection at the client"},
	{Name: "server", Type: "string", List: true, Doc: "and at the server, on the same 4-tuple"},
	{Name: "rule", Type: "string", Doc: "the name of a rule that has fired"},
}

var proxyKeys = []rules.KeyDoc{
	{Name: "name", Type: "string", Doc: "what messages call it"},
	{Name: "address", Type: "string", Doc: `a virtual address for it: "198.18.0.2:6379"; else one is chosen`},
	{Name: "listen", Type: "string", Doc: `an address of this host that leads there: "127.0.0.1:26379"`},
	{Name: "upstream", Type: "string", Doc: `the real service, required: "127.0.0.1:6379"`},
}
