package main

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// A passing run says what it did, and nothing on standard error.
func TestLabPasses(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "testdata/exchange.toml")
	o.wants(t, 0)
	if o.stderr != "" {
		t.Errorf("got %q on standard error, want silence", o.stderr)
	}
	lines := strings.Split(o.stdout, "\n")
	if want := "testdata/exchange.toml: One FIN lost"; lines[0] != want {
		t.Errorf("begins with %q, want %q", lines[0], want)
	}
	for _, want := range []string{
		`^ +client 10\.77\.1\.1:\d+ +server 10\.77\.2\.1:8080$`,
		`^    0\.\d{3}     SYN_SENT \|S 0:0 -+>\| SYN_RCVD$`,
		`^    \d\.\d{3}   FIN_WAIT_1 \|FA 5:5 ack 5 -+x +\| +lose-fin$`,
		`^PASS  client FIN_WAIT_1, server ESTABLISHED within 10s  \(at \d\.\d{3}s\)$`,
		`^PASS  rule lose-fin fired 1  \(at \d\.\d{3}s\)$`,
		`^rule  lose-fin  fired 1$`,
		`^states: inferred and kernel's agree in \d+ of \d+ samples, longest difference \d+\.\dms$`,
		`^PASS  testdata/exchange\.toml in \d+\.\d+m?s \(IPv4, offload (on|off), seed 1, ring drops 0\)$`,
	} {
		if !regexp.MustCompile("(?m)" + want).MatchString(o.stdout) {
			t.Errorf("no line is %s:\n%s", want, o.stdout)
		}
	}
}

func TestLabVerbose(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "-v", "testdata/exchange.toml")
	o.wants(t, 0)
	for line := range strings.Lines(o.stderr) {
		if !strings.HasPrefix(line, "client") && !strings.HasPrefix(line, "server") {
			t.Errorf("a line does not say whose it is: %q", line)
		}
	}
	has(t, "standard error", o.stderr, "send ping", "recv 4", "accept")
}

// A failure exits with 1 and gives its reason on standard output.
func TestLabFails(t *testing.T) {
	needLab(t)
	tests := []struct {
		file    string
		reasons []string
	}{
		{"wrong.toml", []string{
			"FAIL  client FIN_WAIT_2 within 2s\n      at 2.", // and the rest of the moment
			"s client ESTABLISHED, server ESTABLISHED\n",
			"FAIL  testdata/wrong.toml in ",
		}},
		{"never.toml", []string{
			"FAIL  rule syn-from-server never fired; closest: ",
			"got as far as segment = syn, the last one had syn-ack\n",
			"rule  syn-from-server  fired 0\n",
			"FAIL  testdata/never.toml in ",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			t.Parallel()
			o := tcpmangle(t, "lab", "testdata/"+tt.file)
			o.wants(t, 1)
			has(t, "report", o.stdout, tt.reasons...)
			if o.stderr != "" {
				t.Errorf("got %q on standard error, want silence", o.stderr)
			}
		})
	}
}

// A labReport has every key of the JSON: another one fails the decoding, and a
// missing one shows in TestLabJSON.
type labReport struct {
	File, Title  string
	IP           int
	Offload      bool
	Workers      int
	Steering     string
	Seed         uint64
	Verdict      string
	Interrupted  bool
	Duration     float64
	Expectations []struct {
		Text, Verdict, Why string
		At                 float64
	}
	Problems []string
	Steps    []any
	Rules    []struct {
		Name              string
		Fired             int
		Optional, Enabled bool
		WhyNot            string `json:"why_not"`
	}
	Agreement struct {
		OK                  bool
		Compared, Agreed    int
		Longest             float64
		Differences, Silent []any
		Refused             []any
	}
	Client, Server struct{ Output, Errors, Exit []any }
	Segments       int
	RingDrops      int `json:"ring_drops"`
}

// decode reads JSON that has no other keys than v, and nothing behind it.
func decode(t *testing.T, text string, v any) {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if d.More() {
		t.Fatalf("more than one value in\n%s", text)
	}
}

func TestLabJSON(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "--json", "testdata/exchange.toml")
	o.wants(t, 0)
	var r labReport
	decode(t, o.stdout, &r)
	switch {
	case r.File != "testdata/exchange.toml", r.Title != "One FIN lost", r.IP != 4, r.Seed != 1, r.Workers != 1, r.Steering != "none":
		t.Errorf("of another run: %+v", r)
	case r.Verdict != "pass", r.Interrupted, r.Duration <= 0, len(r.Problems) != 0, r.RingDrops != 0, r.Segments < 9:
		t.Errorf("no success: %+v", r)
	case len(r.Expectations) != 2, r.Expectations[0].Verdict != "pass", r.Expectations[0].At <= 0:
		t.Errorf("expectations %+v", r.Expectations)
	case len(r.Rules) != 1, r.Rules[0].Name != "lose-fin", r.Rules[0].Fired != 1, !r.Rules[0].Enabled:
		t.Errorf("rules %+v", r.Rules)
	case !r.Agreement.OK, r.Agreement.Compared == 0, r.Agreement.Agreed > r.Agreement.Compared:
		t.Errorf("agreement %+v", r.Agreement)
	case len(r.Client.Output) == 0, len(r.Server.Output) == 0, r.Client.Errors == nil, r.Server.Exit == nil:
		t.Errorf("sides %+v and %+v", r.Client, r.Server)
	}
}

func TestLabJSONFails(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "--json", "testdata/never.toml", "testdata/wrong.toml")
	o.wants(t, 1)
	var all []labReport
	decode(t, o.stdout, &all)
	if len(all) != 2 || all[0].Verdict != "fail" || all[1].Verdict != "fail" {
		t.Fatalf("got %+v, want two failures", all)
	}
	has(t, "problem", strings.Join(all[0].Problems, "\n"), "rule syn-from-server never fired")
	has(t, "why_not", all[0].Rules[0].WhyNot, "segment = syn")
	has(t, "why", all[1].Expectations[0].Why, "client ESTABLISHED")
}

// The flags of a run stand in its last line.
func TestLabFlags(t *testing.T) {
	needLab(t)
	tests := []struct{ flags, want string }{
		{"--ip 6", "IPv6, offload on, seed 1"},
		{"--ip 4 --offload off", "IPv4, offload off, seed 1"},
		{"--offload on --seed 18446744073709551615", "IPv4, offload on, seed 18446744073709551615"},
		{"--seed 0", "IPv4, offload on, seed 0"},
	}
	for _, tt := range tests {
		t.Run(tt.flags, func(t *testing.T) {
			t.Parallel()
			o := tcpmangle(t, append([]string{"lab", "testdata/exchange.toml"}, strings.Fields(tt.flags)...)...)
			o.wants(t, 0)
			has(t, "report", o.stdout, "("+tt.want+", ring drops 0)\n")
			if strings.Contains(tt.flags, "--ip 6") {
				has(t, "report", o.stdout, "client [fd77:1::1]:", "server [fd77:2::1]:8080")
			}
		})
	}
}

// Several runs are a line each, a failed one is told whole, and a summary ends it.
func TestLabSeveral(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "testdata/exchange.toml", "testdata/never.toml", "testdata/exchange.toml")
	o.wants(t, 1)
	has(t, "report", o.stdout, "testdata/never.toml: A rule that never fires\n", "FAIL  rule syn-from-server never fired")
	line := regexp.MustCompile(`(?m)^PASS testdata/exchange\.toml \(IPv4, seed 1, \d+\.\ds\)$`)
	if n := len(line.FindAllString(o.stdout, -1)); n != 2 {
		t.Errorf("%d lines are %v, want 2:\n%s", n, line, o.stdout)
	}
	if !strings.HasSuffix(o.stdout, "\n2 passed, 1 failed\n") {
		t.Errorf("no summary at the end:\n%s", o.stdout)
	}
}

// In a folder, files without hosts are passed over.
func TestLabFolder(t *testing.T) {
	needLab(t)
	t.Parallel()
	dir := readable(t, "exchange.toml", "good.toml", "faults.toml")
	o := tcpmangle(t, "lab", dir)
	o.wants(t, 0)
	has(t, "report", o.stdout, "PASS "+dir+"/exchange.toml", "PASS "+dir+"/faults.toml", "\n2 passed, 0 failed\n")
}

func TestLabRepeat(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "--repeat", "3", "testdata/exchange.toml")
	o.wants(t, 0)
	has(t, "report", o.stdout, "\n3 passed, 0 failed\n")

	o = tcpmangle(t, "lab", "--repeat", "3", "--json", "testdata/never.toml")
	o.wants(t, 1)
	var all []labReport // though one run is all that there was
	decode(t, o.stdout, &all)
	if len(all) != 1 {
		t.Errorf("%d results, want one", len(all))
	}

	o = tcpmangle(t, "lab", "--repeat", "3", "testdata/never.toml")
	o.wants(t, 1)
	if n := strings.Count(o.stdout, "FAIL  testdata/never.toml"); n != 1 {
		t.Errorf("ran %d times, want the first failure to end it:\n%s", n, o.stdout)
	}
}

// A run that cannot be made ends the call; those before it are told in every way that was asked for.
func TestLabThatCannotRun(t *testing.T) {
	needLab(t)
	t.Parallel()
	dir := readable(t, "exchange.toml")
	good, bad, junit := filepath.Join(dir, "exchange.toml"), filepath.Join(dir, "sysctl.toml"), filepath.Join(dir, "junit.xml")
	if err := os.WriteFile(bad, []byte("[server]\nscript = \"listen 80\"\nsysctl = { tcp_nothing = 1 }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	const why = "sysctl.toml: server: sysctl tcp_nothing = 1: "
	o := tcpmangle(t, "lab", good, bad, good, "--junit", junit)
	o.wants(t, 3)
	has(t, "report", o.stdout, "PASS "+good, "\n1 passed, 0 failed, 2 not run\n")
	has(t, "standard error", o.stderr, why)
	text, err := os.ReadFile(junit)
	has(t, fmt.Sprint(err), string(text), `<testsuite name="`+good+` (IPv4)"`, "</testsuites>")

	o = tcpmangle(t, "lab", good, bad, "--json")
	o.wants(t, 3)
	var all []labReport
	decode(t, o.stdout, &all)
	if len(all) != 1 || all[0].Verdict != "pass" {
		t.Errorf("got %+v, want the one that has run", all)
	}
	has(t, "standard error", o.stderr, why)

	o = tcpmangle(t, "lab", bad, "--json")
	o.wants(t, 3)
	if o.stdout != "" {
		t.Errorf("a report of no run: %s", o.stdout)
	}
}

func TestLabJUnit(t *testing.T) {
	needLab(t)
	t.Parallel()
	file := filepath.Join(t.TempDir(), "report.xml")
	tcpmangle(t, "lab", "--junit", file, "testdata/exchange.toml", "testdata/never.toml").wants(t, 1)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var report struct {
		XMLName xml.Name `xml:"testsuites"`
		Suites  []struct {
			Name     string `xml:"name,attr"`
			Tests    int    `xml:"tests,attr"`
			Failures int    `xml:"failures,attr"`
			Cases    []struct {
				Name    string `xml:"name,attr"`
				Failure *struct {
					Message string `xml:"message,attr"`
				} `xml:"failure"`
			} `xml:"testcase"`
			Output string `xml:"system-out"`
		} `xml:"testsuite"`
	}
	if err := xml.Unmarshal(text, &report); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	var got []string
	for _, s := range report.Suites {
		got = append(got, fmt.Sprintf("%s: %d tests, %d failed", s.Name, s.Tests, s.Failures))
		if len(s.Cases) != s.Tests {
			t.Errorf("%s: %d cases, said %d", s.Name, len(s.Cases), s.Tests)
		}
		has(t, "output", s.Output, "states: inferred and kernel's agree")
	}
	want := "testdata/exchange.toml (IPv4): 3 tests, 0 failed\ntestdata/never.toml (IPv4): 1 tests, 1 failed"
	if strings.Join(got, "\n") != want {
		t.Fatalf("got\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
	if f := report.Suites[1].Cases[0].Failure; f == nil {
		t.Error("the failure has no message")
	} else {
		has(t, "message", f.Message, "rule syn-from-server never fired")
	}
}

// The picture says what the report says, of a failure too.
func TestLabSVG(t *testing.T) {
	needLab(t)
	for name, status := range map[string]int{"exchange.toml": 0, "never.toml": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "out.svg")
			o := tcpmangle(t, "lab", "--svg", file, "testdata/"+name)
			o.wants(t, status)
			picture, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			var all struct {
				XMLName xml.Name `xml:"http://www.w3.org/2000/svg svg"`
				Texts   []string `xml:"text"`
			}
			if err := xml.Unmarshal(picture, &all); err != nil {
				t.Fatal(err)
			}
			title, rest, _ := strings.Cut(o.stdout, "\n\n")
			_, verdicts, ok := strings.Cut(rest, "\n\n")
			if !ok {
				t.Fatalf("where is the end of the ladder?\n%s", rest)
			}
			for line := range strings.Lines(verdicts) {
				if !strings.Contains(strings.Join(all.Texts, "\n"), strings.TrimSpace(line)) {
					t.Errorf("the picture lacks %q:\n%s", line, strings.Join(all.Texts, "\n"))
				}
			}
			if len(all.Texts) == 0 || all.Texts[0] != title {
				t.Errorf("the title is not %q: %q", title, all.Texts)
			}
		})
	}
}

// A file that cannot be written is told before anything has run.
func TestLabOutputsThatCannotBe(t *testing.T) {
	needLab(t)
	for _, flag := range []string{"--events", "--pcap", "--svg", "--junit"} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nowhere", "out")
			o := tcpmangle(t, "lab", flag, file, "testdata/exchange.toml")
			o.wants(t, 2)
			has(t, "standard error", o.stderr, "tcpmangle: ", file+": no such file or directory")
			if o.stdout != "" {
				t.Errorf("it has run:\n%s", o.stdout)
			}
		})
	}
}
