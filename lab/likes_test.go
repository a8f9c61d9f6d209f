package lab

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

func TestLikes(t *testing.T) {
	itself := func(s string) string { return s }
	got := likes(strings.Fields("b a b c b a"), itself)
	want := []string{"b; 2 more like it", "a; 1 more like it", "c"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got := likes(nil, itself); got != nil {
		t.Errorf("of nothing got %q", got)
	}
}

// Differences of many connections are one line, those of another sort another; their
// times count from the client's start.
func TestLikesOfAgreement(t *testing.T) {
	a, b := tupleNamed("a"), tupleNamed("b")
	c := newComparison()
	c.report.Differences = []Difference{
		{a[0], a[1], "server", conntrack.CloseWait, conntrack.Closed, 3 * time.Second, 458 * time.Millisecond},
		{b[0], b[1], "server", conntrack.CloseWait, conntrack.Closed, 4 * time.Second, 300 * time.Millisecond},
		{b[0], b[1], "client", conntrack.CloseWait, conntrack.Closed, 4 * time.Second, 300 * time.Millisecond},
	}
	c.report.Silent = []SilentEnd{
		{a[0], a[1], "client", conntrack.FinWait1, 5 * time.Second},
		{b[0], b[1], "client", conntrack.FinWait1, 6 * time.Second},
	}
	agreement := c.result(2 * time.Second)
	differences := fmt.Sprint(likes(agreement.Differences, Difference.kind))
	if !strings.Contains(differences, "since 1.000s for 458ms; 1 more like it") || strings.Count(differences, "inferred") != 2 {
		t.Errorf("got %s", differences)
	}
	silent := likes(agreement.Silent, SilentEnd.kind)
	if len(silent) != 1 || !strings.HasSuffix(silent[0], "ended silently in FIN_WAIT_1 at 3.000s; 1 more like it") {
		t.Errorf("got %q", silent)
	}
	if c.report.Differences[0].Since != 3*time.Second {
		t.Error("asking for the result has moved the report")
	}
}

// Programs that fail alike are one problem, whatever each of them says.
func TestManyFail(t *testing.T) {
	t.Parallel()
	res := execute(t, `
		[client]
		copies = 20
		run = ["sh", "-c", "cat /proc/sys/kernel/random/uuid >&2; exit 3"]`, Options{})
	if len(res.Problems) != 1 || !strings.HasPrefix(res.Problems[0], "the client ended with status 3, saying ") ||
		!strings.HasSuffix(res.Problems[0], "; 19 more like it") {
		t.Errorf("problems %q", res.Problems)
	}
}

// Fifty clients that are refused are one problem.
func TestManyRefused(t *testing.T) {
	text := strings.Replace(pingPong, "[client]", "[client]\ncopies = 50", 1)
	text = strings.Replace(text, "server:8080", "server:8081", 1)
	res := execute(t, text, Options{})
	want := "the client failed: line 1: connect server:8081: ECONNREFUSED; 49 more like it"
	if !slices.Contains(res.Problems, want) || len(res.Client.Errors) != 50 {
		t.Errorf("%d errors, problems %q", len(res.Client.Errors), res.Problems)
	}
}
