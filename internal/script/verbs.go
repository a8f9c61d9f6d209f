package script

import (
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A verb is the first word of a command.
type verb struct {
	usage string
	needs kind // the socket without which it makes no sense
	makes kind // the socket it opens
	ends  bool // it closes the socket
	parse func(a *arguments) step
}

var (
	verbs     map[string]verb
	verbNames []string
)

// The table is filled here because the parsers in it mention it.
func init() {
	verbs = map[string]verb{
		"listen":       {usage: "listen PORT [backlog N]", makes: listener, parse: parseListen},
		"accept":       {usage: "accept", needs: listener, makes: connection, parse: parseAccept},
		"connect":      {usage: "connect HOST:PORT [from PORT]", makes: connection, parse: parseConnect},
		"send":         {usage: "send TEXT or send N bytes", needs: connection, parse: parseSend},
		"recv":         {usage: "recv N or recv eof, with pattern after it to check the bytes", needs: connection, parse: parseRecv},
		"recv-text":    {usage: "recv-text TEXT", needs: connection, parse: parseRecvText},
		"shutdown":     {usage: "shutdown", needs: connection, parse: parseShutdown},
		"close":        {usage: "close", needs: either, ends: true, parse: parseClose},
		"abort":        {usage: "abort", needs: either, ends: true, parse: parseAbort},
		"sleep":        {usage: "sleep D", parse: parseSleep},
		"set":          {usage: "set OPTION [VALUE]", parse: parseSet},
		"expect-error": {usage: "expect-error E ..."}, // read by the parser itself
	}
	verbNames = slices.Sorted(maps.Keys(verbs))
}

func parseAccept(*arguments) step   { return acceptStep{} }
func parseShutdown(*arguments) step { return shutdownStep{} }
func parseClose(*arguments) step    { return closeStep{} }
func parseAbort(*arguments) step    { return abortStep{} }

func parseListen(a *arguments) step {
	s := listenStep{port: a.port(), backlog: defaultBacklog}
	if a.keyword("backlog") {
		s.backlog = int(a.number(0, 65535))
	}
	return s
}

func parseConnect(a *arguments) step {
	w, ok := a.next()
	if !ok {
		a.wants("HOST:PORT")
		return nil
	}
	host, port, err := net.SplitHostPort(w.text)
	if err != nil || host == "" {
		a.fail(w, "connect: %q is not HOST:PORT", w.text)
		return nil
	}
	at := w.col + len(w.text) - len(port)
	s := connectStep{host: host, port: a.portOf(word{port, at})}
	if a.keyword("from") {
		s.from = a.port()
	}
	return s
}

// parseSend tells N bytes of the pattern from a text. A text that looks so
// must be quoted.
func parseSend(a *arguments) step {
	if f := strings.Fields(a.rest); len(f) == 2 && (f[1] == "bytes" || f[1] == "byte") && isDigit(f[0][0]) {
		n := a.size(1)
		a.next()
		return sendPatternStep{n: n}
	}
	if a.rest == "" {
		a.wants("TEXT or N bytes")
		return nil
	}
	return sendStep{text: a.nonEmptyText()}
}

func parseRecv(a *arguments) step {
	var s recvStep
	switch {
	case a.rest == "":
		a.wants("a number of bytes, or eof")
		return nil
	case a.keyword("eof"):
		s.n = untilEOF
	case isDigit(a.rest[0]):
		s.n = a.size(1)
	default:
		w, _ := a.next()
		a.fail(w, "recv: %q is neither a number of bytes nor eof; to compare a text write recv-text", w.text)
		a.rest = ""
		return nil
	}
	s.pattern = a.keyword("pattern")
	return s
}

func parseRecvText(a *arguments) step {
	if a.rest == "" {
		a.wants("TEXT")
		return nil
	}
	return recvTextStep{text: a.nonEmptyText()}
}

func parseSleep(a *arguments) step {
	w, ok := a.next()
	if !ok {
		a.wants("a duration, as 10ms")
		return nil
	}
	return sleepStep{d: a.durationOf(w)}
}

func parseSet(a *arguments) step {
	w, ok := a.next()
	if !ok {
		a.wants("an option")
		return nil
	}
	parse, ok := options[w.text]
	if !ok {
		a.fail(w, "set: unknown option %q%s", w.text, didYouMean(w.text, optionNames))
		a.rest = ""
		return nil
	}
	return setStep{name: w.text, settings: parse(a)}
}

// keyword takes the next word if it is this one.
func (a *arguments) keyword(k string) bool {
	rest, ok := strings.CutPrefix(a.rest, k)
	if !ok || rest != "" && !strings.ContainsAny(rest[:1], blanks) {
		return false
	}
	a.skip(len(k))
	return true
}

func (a *arguments) nonEmptyText() string {
	w := word{a.rest, a.col}
	before := len(*a.errs)
	s := a.textArgument()
	if s == "" && len(*a.errs) == before {
		a.fail(w, "%s: the text is empty", a.verb.text)
	}
	return s
}

func (a *arguments) port() uint16 {
	w, ok := a.next()
	if !ok {
		a.wants("a port")
		return 0
	}
	return a.portOf(w)
}

func (a *arguments) portOf(w word) uint16 {
	n, err := strconv.ParseUint(w.text, 10, 16)
	if err != nil || n == 0 {
		a.fail(w, "%s: %q is not a port; write 1 to 65535", a.verb.text, w.text)
	}
	return uint16(n)
}

// number takes a plain number between the bounds.
func (a *arguments) number(low, high int64) int64 {
	w, ok := a.next()
	if !ok {
		a.wants("a number")
		return 0
	}
	n, err := strconv.ParseInt(w.text, 10, 64)
	if err != nil || n < low || n > high {
		a.fail(w, "%s: %q is not a number from %d to %d", a.verb.text, w.text, low, high)
	}
	return n
}

// units of a size, in the order they are tried.
var units = []struct {
	name string
	size int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30},
	{"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9},
}

const maxSize = 1 << 40 // bytes; no lab sends more, and nothing overflows

// size takes a number of bytes, with or without a unit.
func (a *arguments) size(low int64) int64 {
	w, ok := a.next()
	if !ok {
		a.wants("a number of bytes")
		return 0
	}
	digits, unit := w.text, int64(1)
	for _, u := range units {
		if d, ok := strings.CutSuffix(w.text, u.name); ok {
			digits, unit = d, u.size
			break
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 0 || n > maxSize/unit || n*unit < low {
		a.fail(w, "%s: %q is not a number of bytes; write 1000 or 64KiB", a.verb.text, w.text)
		return 0
	}
	return n * unit
}

func (a *arguments) durationOf(w word) time.Duration {
	d, err := time.ParseDuration(w.text)
	if err != nil || d < 0 {
		a.fail(w, "%s: %q is not a duration; write 10ms or 1.5s", a.verb.text, w.text)
	}
	return d
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
