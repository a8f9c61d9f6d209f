package lab

import (
	"encoding/xml"
	"strings"
	"testing"
)

// A report is XML whatever stands in the file.
func TestJUnitIsXML(t *testing.T) {
	r := &Result{
		File: "a&b.toml", Title: "a ]]> \x01 \x1b[31m \ufffe <b> \xff",
		Expectations: []Expectation{{Text: "stdout client: \x01 <&>", Why: "no \x02 \" line"}},
		Problems:     []string{"the client ended with status 1, saying \"]]>\x03\""},
	}
	var out strings.Builder
	if err := WriteJUnit(&out, []*Result{r}); err != nil {
		t.Fatal(err)
	}
	var back junitSuites
	if err := xml.Unmarshal([]byte(out.String()), &back); err != nil {
		t.Fatalf("%v in\n%s", err, out.String())
	}
	if text := back.Suites[0].Output.Text; !strings.Contains(text, "a ]]> \ufffd \ufffd[31m \ufffd <b>") {
		t.Errorf("the title is lost: %q", text)
	}
}
