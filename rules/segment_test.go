package rules

import "testing"

// An unknown word is answered with the nearest, a short list, or the page that has the list.
func TestUnknown(t *testing.T) {
	for _, tt := range []struct{ what, word, want string }{
		{"action", "dorp", `unknown action "dorp"; did you mean "drop"?`},
		{"action", "explode", `unknown action "explode"; tcpmangle help actions lists them`},
		{"segment kind", "explode", `unknown segment kind "explode"; tcpmangle help kinds lists them`},
		{"side", "explode", `unknown side "explode"; there is drop, pass`},
	} {
		if got := unknown(tt.what, tt.word, []string{"drop", "pass"}).Error(); got != tt.want {
			t.Errorf("got %s, want %s", got, tt.want)
		}
	}
}
