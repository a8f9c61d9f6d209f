package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"golang.org/x/sys/unix"

	"github.com/tcpmangle/tcpmangle/engine"
	"github.com/tcpmangle/tcpmangle/lab"
	"github.com/tcpmangle/tcpmangle/rules"
)

// outputs are the flags for what comes out, the same on every command that
// moves segments.
type outputs struct {
	events    string
	allEvents bool
	json      bool
	seed      seedFlag
}

func (o *outputs) flags(f *pflag.FlagSet) {
	f.StringVar(&o.events, "events", "", "write what happened to this `file`, as JSON lines (- is standard output)")
	f.BoolVar(&o.allEvents, "events-all", false, "also events of connections that no rule concerns")
	f.BoolVar(&o.json, "json", false, "print the report as JSON")
	f.Var(&o.seed, "seed", "`number` that the dice start from (default: the file's, else 1)")
}

// defaultSeed is used where neither the call nor the file names one, so that a
// run can be repeated without having noted anything.
const defaultSeed = 1

// seedOf is the seed of a run.
func (o *outputs) seedOf(set *rules.Set) uint64 {
	switch {
	case o.seed.given:
		return o.seed.seed
	case set != nil && set.HasSeed:
		return set.Seed
	}
	return defaultSeed
}

// report is where the report goes: standard output, unless the events have it for themselves.
func (o *outputs) report(cmd *cobra.Command) io.Writer {
	if o.events == "-" {
		return cmd.ErrOrStderr()
	}
	return cmd.OutOrStdout()
}

// An eventFile writes events as JSON lines; without a file it does nothing.
type eventFile struct {
	file *os.File
	w    *bufio.Writer
	line []byte
	err  error
}

// open opens the events file; record is nil if none was asked for.
func (o *outputs) open() (*eventFile, error) {
	switch o.events {
	case "":
		return &eventFile{}, nil
	case "-":
		return &eventFile{w: bufio.NewWriter(os.Stdout)}, nil
	}
	f, err := os.Create(o.events)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	return &eventFile{file: f, w: bufio.NewWriter(f)}, nil
}

func (f *eventFile) record(e *engine.Event) {
	if f.w == nil || f.err != nil {
		return
	}
	f.line = e.AppendJSON(f.line[:0])
	_, f.err = f.w.Write(f.line)
}

// close finishes the file; it returns err, or what went wrong here.
func (f *eventFile) close(err error) error {
	if f.w == nil {
		return err
	}
	if f.err == nil {
		f.err = f.w.Flush()
	}
	if f.file != nil {
		f.err = errors.Join(f.err, f.file.Close())
	}
	if f.err != nil {
		return errors.Join(err, fmt.Errorf("events: %w", f.err))
	}
	return err
}

func writeJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// verdicts counts segments by what became of them.
func verdicts(s engine.Stats) map[string]uint64 {
	m := make(map[string]uint64)
	for v, n := range s.Verdicts {
		if n > 0 {
			m[engine.Verdict(v).String()] = n
		}
	}
	return m
}

// verdictLines are the counts that are not zero, in words.
func verdictLines(s engine.Stats) (lines []string) {
	for v, n := range s.Verdicts {
		if n > 0 {
			lines = append(lines, fmt.Sprintf("%-7s %d", engine.Verdict(v), n))
		}
	}
	for i, name := range engine.OtherNames() {
		if n := s.Others[i]; n > 0 {
			lines = append(lines, fmt.Sprintf("other   %d: %s; passed byte for byte", n, name))
		}
	}
	for i, name := range engine.LossNames() {
		if n := s.Losses[i]; n > 0 {
			lines = append(lines, fmt.Sprintf("lost    %d: %s", n, name))
		}
	}
	return lines
}

type ruleJSON struct {
	Name     string `json:"name"`
	Fired    uint64 `json:"fired"`
	Optional bool   `json:"optional,omitempty"`
	Enabled  bool   `json:"enabled"`
	WhyNot   string `json:"why_not,omitempty"`
}

func rulesJSON(reports []engine.RuleReport) []ruleJSON {
	out := make([]ruleJSON, 0, len(reports))
	for _, r := range reports {
		out = append(out, ruleJSON(r))
	}
	return out
}

// writeRules lists how often each rule has fired, and why one has not.
func writeRules(w io.Writer, reports []engine.RuleReport) {
	for _, r := range reports {
		if r.Fired > 0 {
			fmt.Fprintf(w, "rule %q fired %s\n", r.Name, times(r.Fired))
		} else {
			fmt.Fprintln(w, neverFiredText(r))
		}
	}
}

// neverFiredText says of a rule that it has not fired, and why.
func neverFiredText(r engine.RuleReport) string {
	return fmt.Sprintf("rule %q never fired; %s", r.Name, r.WhyNot)
}

func times(n uint64) string {
	if n == 1 {
		return "once"
	}
	return fmt.Sprintf("%d times", n)
}

// neverFired tells whether a rule that had to fire has not.
func neverFired(reports []engine.RuleReport) bool {
	for _, r := range reports {
		if r.Fired == 0 && r.Enabled && !r.Optional {
			return true
		}
	}
	return false
}

// An output is where a command's standard output goes. It keeps the first error, so that nobody
// has to look at each line, and takes nothing after it.
type output struct {
	io.Writer
	mu  sync.Mutex
	err error
}

// Write writes on, and notes what went wrong.
func (o *output) Write(b []byte) (n int, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil {
		n, o.err = o.Writer.Write(b)
	}
	return n, o.err
}

// also is err, and what went wrong here if err does not know of it.
func (o *output) also(err error) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err == nil || errors.Is(err, o.err) {
		return err
	}
	return errors.Join(err, o.err)
}

// bare is the file that a command's output goes to, for a process that shall write there too.
func bare(w io.Writer) io.Writer {
	if o, ok := w.(*output); ok {
		return o.Writer
	}
	return w
}

// isTerminal tells whether somebody looks at what is written.
func isTerminal(w io.Writer) bool {
	f, ok := bare(w).(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// terminalOf is what there is to know of the terminal, if w is one.
func terminalOf(w io.Writer) lab.Terminal {
	on := lab.Terminal{Color: isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
	if f, ok := bare(w).(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil {
			on.Columns = int(size.Col)
		}
	}
	return on
}
