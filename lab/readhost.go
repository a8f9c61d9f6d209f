package lab

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/tcpmangle/tcpmangle/internal/script"
	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

const maxCopies = 10_000

// host reads [client] or [server].
func (r *reader) host(side int, t *tomldoc.Table) *hostSpec {
	h := &hostSpec{}
	if v, ok := t.Value("script"); ok {
		h.script = r.script(v)
	}
	if v, ok := t.Value("run"); ok {
		h.run = command(v)
		if t.Has("script") {
			v.ErrorAt(t.KeyPlace("run"), `"run" and "script" (line %d) exclude each other`, t.KeyPlace("script").Line)
		}
	}
	if !t.Has("script") && !t.Has("run") {
		t.Errorf("", `needs "script" or "run"`)
	}
	if v, ok := t.Value("ready"); ok {
		h.ready = ready(v)
		if side == clientSide {
			t.Errorf("ready", "only the server is waited for")
		} else if t.Has("script") {
			t.Errorf("ready", "a script is ready when its listen is done")
		}
	}
	if v, ok := t.Value("copies"); ok {
		h.copies = whole(v, 1, maxCopies)
	}
	h.stagger, _ = t.Duration("stagger")
	if s, ok := t.Table("sysctl"); ok {
		h.sysctls = sysctls(s, "")
	}
	if e, ok := t.Table("env"); ok {
		for _, key := range e.Keys() {
			if text, ok := e.AnyText(key); ok {
				h.env = append(h.env, key+"="+text)
			}
		}
	}
	return h
}

// command reads a program and its arguments; these may be empty.
func command(v tomldoc.Value) (argv []string) {
	for i, item := range v.List() {
		read := item.AnyText
		if i == 0 {
			read = item.Text
		}
		if text, ok := read(); ok {
			argv = append(argv, text)
		}
	}
	return argv
}

// ready reads "tcp:PORT".
func ready(v tomldoc.Value) uint16 {
	text, ok := v.Text()
	if !ok {
		return 0
	}
	digits, tcp := strings.CutPrefix(text, "tcp:")
	port, err := strconv.ParseUint(digits, 10, 16)
	if !tcp || err != nil || port == 0 {
		v.Errorf(`%q is not like "tcp:8080"`, text)
	}
	return uint16(port)
}

// sysctls reads keys and values. A key with dots that is not quoted is tables within
// tables to TOML; they are put together again.
func sysctls(t *tomldoc.Table, prefix string) (all []sysctl) {
	for _, key := range t.Keys() {
		v, _ := t.Value(key)
		name := prefix + key
		switch value := v.Any().(type) {
		case string:
			all = append(all, sysctl{name, value})
		case int64:
			all = append(all, sysctl{name, strconv.FormatInt(value, 10)})
		case map[string]any:
			if below, ok := v.Table(); ok {
				all = append(all, sysctls(below, name+".")...)
			}
		default:
			v.Errorf("must be an integer or a string")
		}
	}
	return all
}

// script reads the little language and reports its mistakes where they stand in
// the file.
func (r *reader) script(v tomldoc.Value) *script.Script {
	text, ok := v.Text()
	if !ok {
		return nil
	}
	s, errs := script.Parse(text)
	for _, e := range errs {
		r.mistake(v, e)
	}
	return s
}

// servers refuses scripts that cannot serve as many connections as they have to.
func (r *reader) servers() {
	for side, name := range sideNames {
		h := r.file.hosts[side]
		if h == nil || !h.listens() || r.file.serves(side) == 1 {
			continue
		}
		if e := h.script.CannotServe(); e != nil {
			t, _ := r.doc.Root().Table(name)
			v, _ := t.Value("script")
			r.mistake(v, *e)
		}
	}
}

// mistake reports one of a script, where it stands in the file.
func (r *reader) mistake(v tomldoc.Value, e script.Error) {
	text, _ := v.Text()
	if at, ok := r.scriptPlace(v.Place(), text, e); ok {
		v.ErrorAt(at, "%s", e.Msg)
	} else {
		v.Errorf("line %d of the script: %s", e.Line, e.Msg)
	}
}

// scriptPlace finds a place of a script in the file around it. Where escapes make the
// two differ there is none.
func (r *reader) scriptPlace(start tomldoc.Place, text string, e script.Error) (at tomldoc.Place, ok bool) {
	line := start.Line + e.Line - 1
	from := 0
	opening := string([]rune(start.Source)[start.Col-1:])
	if opening == `"""` || opening == `'''` {
		line++ // TOML drops the line break after the opening quotes
	} else if e.Line == 1 {
		from = len(start.Source) - len(opening)
	}
	source, ok := r.line(line)
	wanted := strings.TrimSuffix(strings.Split(text, "\n")[e.Line-1], "\r")
	if !ok || from > len(source) {
		return at, false
	}
	n := strings.Index(source[from:], wanted)
	if n < 0 {
		return at, false
	}
	begin := min(from+n+e.Col-1, len(source))
	end := min(begin+e.Len, len(source))
	return tomldoc.Place{
		File: r.doc.File(), Line: line, Source: source,
		Col:   utf8.RuneCountInString(source[:begin]) + 1,
		Width: max(utf8.RuneCountInString(source[begin:end]), 1),
	}, true
}

// line is a line of the file, from 1.
func (r *reader) line(n int) (string, bool) {
	lines := strings.Split(r.text, "\n")
	if n < 1 || n > len(lines) {
		return "", false
	}
	return strings.TrimSuffix(lines[n-1], "\r"), true
}

// side reads the name of a host.
func side(name string) (int, error) {
	for i, n := range sideNames {
		if n == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%q is not client or server", name)
}
