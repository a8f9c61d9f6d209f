package lab

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

type (
	junitSuites struct {
		XMLName xml.Name     `xml:"testsuites"`
		Suites  []junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name     string      `xml:"name,attr"`
		Tests    int         `xml:"tests,attr"`
		Failures int         `xml:"failures,attr"`
		Skipped  int         `xml:"skipped,attr,omitempty"`
		Time     string      `xml:"time,attr"`
		Cases    []junitCase `xml:"testcase"`
		Output   junitOutput `xml:"system-out"`
	}
	junitOutput struct {
		Text string `xml:",cdata"`
	}
	junitCase struct {
		Name    string        `xml:"name,attr"`
		Class   string        `xml:"classname,attr"`
		Time    string        `xml:"time,attr"`
		Failure *junitMessage `xml:"failure"`
		Skipped *junitMessage `xml:"skipped"`
	}
	junitMessage struct {
		Message string `xml:"message,attr"`
	}
)

// WriteJUnit writes results as CI systems read them: a suite for each, in which every
// expectation is a test, and one more stands for all that may fail besides.
func WriteJUnit(w io.Writer, results []*Result) error {
	var all junitSuites
	for _, r := range results {
		all.Suites = append(all.Suites, r.junit())
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

func (r *Result) junit() junitSuite {
	var out strings.Builder
	_ = r.WriteText(&out, false) // a Builder refuses nothing
	s := junitSuite{
		Name:   fmt.Sprintf("%s (IPv%d)", r.File, r.IP),
		Time:   fmt.Sprintf("%.3f", r.Duration.Seconds()),
		Output: junitOutput{strings.Map(inXML, out.String())},
	}
	for _, x := range r.Expectations {
		if x.Open {
			s.skip(x.Text)
			continue
		}
		s.add(x.Text, fmt.Sprintf("%.3f", x.At.Seconds()), x.OK, x.Why)
	}
	problems := r.Problems
	if r.Interrupted {
		problems = append(problems[:len(problems):len(problems)], "interrupted")
	}
	s.add("nothing else fails", s.Time, len(problems) == 0, strings.Join(problems, "; "))
	return s
}

// inXML puts a sign in place of what XML 1.0 has no room for, in CDATA as little as elsewhere.
func inXML(r rune) rune {
	if r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0xfffe || r == 0xffff {
		return utf8.RuneError
	}
	return r
}

func (s *junitSuite) add(name, time string, ok bool, why string) {
	c := junitCase{Name: name, Class: s.Name, Time: time}
	if !ok {
		c.Failure = &junitMessage{why}
		s.Failures++
	}
	s.Tests++
	s.Cases = append(s.Cases, c)
}

// skip adds what was not decided.
func (s *junitSuite) skip(name string) {
	s.Tests++
	s.Skipped++
	s.Cases = append(s.Cases, junitCase{Name: name, Class: s.Name, Time: "0.000", Skipped: &junitMessage{"interrupted"}})
}
