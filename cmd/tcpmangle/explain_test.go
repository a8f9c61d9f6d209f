package main

import (
	"regexp"
	"strings"
	"testing"
)

// Before the report stand the segments, each with what the rules made of it.
func TestLabExplains(t *testing.T) {
	needLab(t)
	t.Parallel()
	o := tcpmangle(t, "lab", "--explain", "testdata/exchange.toml")
	o.wants(t, 0)
	explained, _, _ := strings.Cut(o.stdout, "testdata/exchange.toml: One FIN lost\n")
	for _, want := range []string{
		`\d\.\d{6} #1 open 10\.77\.1\.1:\d+ > 10\.77\.2\.1:8080  CLOSED CLOSED\n`,
		`\d\.\d{6} #1 client S 0:0  syn  SYN_SENT CLOSED\n    lose-fin  no: segment is syn, not first-fin\n`,
		`\d\.\d{6} #1 client FA 5:5 ack 5  fin first-fin  FIN_WAIT_1 ESTABLISHED\n    lose-fin  fired: drop\n`,
		`    lose-fin  no: count = 1\n`,
	} {
		if !regexp.MustCompile(want).MatchString(explained) {
			t.Errorf("nothing is %s:\n%s", want, o.stdout)
		}
	}
}
