package script

import (
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What the reference says is what the parser reads: every spelling of every usage.
func TestReferenceIsWhatIsRead(t *testing.T) {
	for _, d := range Commands() {
		for _, line := range spellings(d.Usage) {
			reads(t, line)
		}
	}
	for _, d := range Options() {
		for _, line := range spellings(d.Usage) {
			reads(t, "set "+line)
		}
	}
}

// reads fails the test unless a line means something where both sorts of socket are open.
func reads(t *testing.T, line string) {
	t.Helper()
	text := "listen 1\nconnect h:1\n" + line + "\n"
	if strings.HasPrefix(line, "expect-error") {
		text += "recv eof\n"
	}
	if _, errs := Parse(text); errs != nil {
		t.Errorf("%q: %v", line, errs)
	}
}

// examples stand for what a usage leaves open.
var examples = strings.NewReplacer("IDLE/INTERVAL/COUNT", "1s/1s/3", "HOST", "h", "PORT", "80", "TEXT", "ping", "OPTION", "keepalive",
	"VALUE", "on", "NAME", "reno", "E ...", "EPIPE ECONNRESET", " N", " 100", " D", " 2s")

var optional = regexp.MustCompile(`^(.*?) ?\[(.*?)\](.*)$`)

// spellings are the lines that a usage allows, with examples put in.
func spellings(usage string) (lines []string) {
	if m := optional.FindStringSubmatch(usage); m != nil {
		lines = spellings(m[1] + m[3])
		for one := range strings.SplitSeq(m[2], "|") {
			lines = append(lines, spellings(m[1]+" "+one+m[3])...)
		}
		return lines
	}
	name, values, several := strings.Cut(usage, " ")
	if !several || !strings.Contains(values, "|") {
		return []string{examples.Replace(usage)}
	}
	for one := range strings.SplitSeq(values, "|") {
		lines = append(lines, examples.Replace(name+" "+one))
	}
	return lines
}

func TestSpellings(t *testing.T) {
	got := strings.Join(slices.Concat(spellings("linger D|off"), spellings("nodelay [on|off]"), spellings("listen PORT [backlog N]")), ", ")
	if want := "linger 2s, linger off, nodelay, nodelay on, nodelay off, listen 80, listen 80 backlog 100"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What the parser reads is in the reference.
func TestReferenceIsComplete(t *testing.T) {
	for _, part := range []struct {
		known []string
		docs  []Doc
	}{{verbNames, Commands()}, {optionNames, Options()}} {
		var names []string
		for _, d := range part.docs {
			name, _, _ := strings.Cut(d.Usage, " ")
			names = append(names, name)
			if d.Doc == "" {
				t.Errorf("%s says nothing", d.Usage)
			}
		}
		slices.Sort(names)
		if names = slices.Compact(names); !slices.Equal(names, part.known) {
			t.Errorf("the reference has %v, the parser %v", names, part.known)
		}
	}
}
