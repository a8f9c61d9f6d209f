package lab

import (
	"strings"
	"testing"

	"github.com/tcpmangle/tcpmangle/rules"
)

// A host has addresses of both families, whichever a run is over.
func TestTheOtherFamily(t *testing.T) {
	t.Parallel()
	const text = `
		[[rule]]
		name   = "lose"
		match  = { segment = "syn" }
		action = "drop"
		[client]
		script = "connect ADDRESS:8080"
		[[expect]]
		client = "SYN_SENT"
		server = "CLOSED"
		lasts  = "300ms"`
	for ip, address := range map[int]string{4: "[fd77:2::1]", 6: "10.77.2.1"} {
		res := execute(t, strings.Replace(text, "ADDRESS", address, 1), Options{IP: ip})
		passes(t, res)
		if text := render(res); !strings.Contains(text, "server "+address+":8080\n") {
			t.Errorf("the ladder has other hosts than %s:\n%s", address, text)
		}
	}
}

// A small device has no IPv6 (RFC 8200, section 5), and IPv4 none the less.
func TestSmallMTU(t *testing.T) {
	t.Parallel()
	const text = pingPong + "[lab]\nmtu = 576\n"
	passes(t, execute(t, text, Options{IP: 4}))
	if _, err := Execute(t.Context(), parse(t, text), Options{IP: 6}); err != ErrMTU6 {
		t.Errorf("IPv6: got %v", err)
	}
	_, err := Parse("f.toml", text+"ip = [4, 6]\n")
	if errs, ok := err.(rules.Errors); !ok || !strings.Contains(errs.Error(), ErrMTU6.Error()) {
		t.Errorf("in a file: got %v", err)
	}
}
