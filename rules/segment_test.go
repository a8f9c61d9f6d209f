package rules

import (
	"testing"

	"github.com/tcpmangle/tcpmangle/conntrack"
)

// An unknown word is answered with the nearest, a short list, or the page that has the list.
func TestUnknown(t *testing.T) {
	few := []string{"drop", "pass"}
	for _, tt := range []struct {
		what, word string
		names      []string
		want       string
	}{
		{"action", "dorp", few, `unknown action "dorp"; did you mean "drop"?`},
		{"action", "explode", few, `unknown action "explode"; there is drop, pass`},
		{"segment kind", "explode", conntrack.KindNames(), `unknown segment kind "explode"; tcpmangle help kinds lists them`},
		{"side", "explode", conntrack.KindNames(), `unknown side "explode"`},
	} {
		if got := unknown(tt.what, tt.word, tt.names).Error(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
