package tunnel

import (
	"errors"
	"flag"
	"io"
	"io/fs"
	"testing"
)

func TestParseOffload(t *testing.T) {
	tests := []struct {
		text string
		want OffloadMode
		ok   bool
	}{
		{"auto", Auto, true},
		{"on", On, true},
		{"off", Off, true},

		// wrong
		{"", 0, false},
		{"On", 0, false},
		{"yes", 0, false},
	}
	for _, test := range tests {
		got, err := ParseOffload(test.text)
		if got != test.want || (err == nil) != test.ok {
			t.Errorf("ParseOffload(%q) = %v, %v", test.text, got, err)
		}
		if err != nil && !errors.Is(err, fs.ErrInvalid) {
			t.Errorf("ParseOffload(%q): %v does not wrap fs.ErrInvalid", test.text, err)
		}
		if test.ok && got.String() != test.text {
			t.Errorf("%q prints as %q", test.text, got)
		}
	}
	if got := OffloadMode(7).String(); got != "OffloadMode(7)" {
		t.Errorf("an unknown mode prints as %q", got)
	}
}

func TestOffloadFlag(t *testing.T) {
	var mode OffloadMode
	flags := flag.NewFlagSet("test", flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.TextVar(&mode, "offload", Auto, "")
	if err := flags.Parse([]string{"--offload=off"}); err != nil || mode != Off {
		t.Errorf("--offload=off is %v, %v", mode, err)
	}
	if err := flags.Parse([]string{"--offload=fast"}); err == nil {
		t.Error("--offload=fast is taken")
	}
}
