package lab

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/internal/netns"
)

// Two states that were never there at once are not found, though one kernel is asked after
// the other: a client opens while the lab is between the two.
func TestBothEndsAtOneMoment(t *testing.T) {
	t.Parallel()
	fails(t, execute(t, `
		[server]
		script = """
		  listen 8080 backlog 4096
		  accept
		  recv eof
		"""
		[client]
		copies  = 400
		stagger = "1ms"
		script  = "connect server:8080"
		[[expect]]
		client = "CLOSED"
		server = ["SYN_RCVD", "ESTABLISHED"]`, Options{IP: 4}), "s client ESTABLISHED, server ESTABLISHED")
}

// The client's end is looked at before the server's and after it.
func TestMatchesBeforeAndAfter(t *testing.T) {
	a := tupleNamed("a")
	opens := pair{{}, {}}
	opens[clientSide].add("SYN_SENT")
	opens[serverSide].add("ESTABLISHED")
	tests := []struct {
		name         string
		first, after string // the client's end
		want         bool
	}{
		{"it stays", "SYN_SENT", "SYN_SENT", true},
		{"it comes too late", "CLOSED", "SYN_SENT", false},
		{"it has gone", "SYN_SENT", "ESTABLISHED", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := &sample{
				known: []tuple{a},
				conns: map[tuple]*[2]end{a: endsNamed(t, tt.after+" ESTABLISHED")},
				first: map[tuple]end{a: endsNamed(t, tt.first+" CLOSED")[clientSide]},
			}
			if got := opens.holds(s); got != tt.want {
				t.Errorf("holds is %t", got)
			}
			if one := (pair{opens[clientSide], nil}); !one.holds(s) && tt.after == "SYN_SENT" {
				t.Error("of one end, what it is in now counts")
			}
		})
	}
}

// A connection that is first seen once the server has been asked has a listener there all the same.
func TestFirstSeenAfterTheServer(t *testing.T) {
	a := tupleNamed("a")
	p := newPoller([2]*host{}, nil)
	p.take(serverSide, &netns.Socket{State: listenName, Local: a[serverSide]})
	p.take(clientSide, &netns.Socket{State: "SYN_SENT", Local: a[clientSide], Remote: a[serverSide]})
	if e := p.last.conns[a]; e == nil || !e[serverSide].listening || !e[clientSide].present {
		t.Errorf("the ends are %+v", e)
	}
}
