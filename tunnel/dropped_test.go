package tunnel

import (
	"errors"
	"strings"
	"testing"
)

const netDev = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     101     102  103  104  105   106        107       108      109     110  111  112  113   114     115        116
  mgl0:       1       2    3    4    5     6          7         8        9      10   11   12   13    14      15         16
 mgl01:     201     202  203  204  205   206        207       208      209     210  211  212  213   214     215        216
wide:1 2 3 4 5 6 7 8 9 10 11 18446744073709551615 13 14 15 16
 short:       1       2    3    4    5     6          7         8        9      10   11
  word: 1 2 3 4 5 6 7 8 9 10 11 twelve 13 14 15 16
`

func TestParseDropped(t *testing.T) {
	tests := []struct {
		name string
		want uint64
		ok   bool
	}{
		{"lo", 112, true},
		{"mgl0", 12, true},
		{"mgl01", 212, true},
		{"wide", 1<<64 - 1, true},

		// not there, or not what we know
		{"mgl", 0, false},
		{"short", 0, false},
		{"word", 0, false},
		{"", 0, false},
	}
	for _, test := range tests {
		got, err := parseDropped(strings.NewReader(netDev), test.name)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("%q: %d, %v, want %d", test.name, got, err, test.want)
		}
	}
	if _, err := parseDropped(strings.NewReader(netDev), "eth0"); !errors.Is(err, errNoCounters) {
		t.Errorf("missing interface: %v, want errNoCounters", err)
	}
}

func FuzzParseDropped(f *testing.F) {
	f.Add(netDev, "mgl0")
	f.Fuzz(func(t *testing.T, table, name string) {
		if n, err := parseDropped(strings.NewReader(table), name); err != nil && n != 0 && !strings.Contains(err.Error(), "range") {
			t.Errorf("%d with an error: %v", n, err)
		}
	})
}
