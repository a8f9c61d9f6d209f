package wire

import "testing"

func TestFlags(t *testing.T) {
	tests := []struct {
		flags Flags
		text  string
	}{
		{0, ""},
		{SYN, "S"},
		{SYN | ACK, "SA"},
		{FIN | ACK, "FA"},
		{PSH | ACK, "PA"},
		{FIN | PSH | ACK, "FPA"},
		{RST, "R"},
		{SYN | ECE | CWR, "SEC"},
		{FIN | SYN | RST | PSH | ACK | URG | ECE | CWR, "SFRPAUEC"},
	}
	for _, tt := range tests {
		if got := tt.flags.String(); got != tt.text {
			t.Errorf("Flags(%#x) = %q, want %q", uint16(tt.flags), got, tt.text)
		}
		if got, err := ParseFlags(tt.text); got != tt.flags || err != nil {
			t.Errorf("ParseFlags(%q) = %v, %v, want %v", tt.text, got, err, tt.flags)
		}
	}
	if got := (SYN | AE).String(); got != "S" {
		t.Errorf("with AE = %q, want it without letter", got)
	}
	if f, err := ParseFlags("asS"); f != SYN|ACK || err != nil {
		t.Errorf("other order and case = %v, %v, want SA", f, err)
	}
	for _, text := range []string{"X", "SX", "S A", ".", "+F", "ſ", "é"} {
		if f, err := ParseFlags(text); err == nil || f != 0 {
			t.Errorf("ParseFlags(%q) = %v, %v, want an error", text, f, err)
		}
	}
}

func TestFlagsHas(t *testing.T) {
	if f := FIN | ACK; !f.Has(FIN) || !f.Has(FIN|ACK) || f.Has(FIN|PSH) || f.Has(RST) {
		t.Errorf("%v has FIN %v, FA %v, FP %v, R %v", f, f.Has(FIN), f.Has(FIN|ACK), f.Has(FIN|PSH), f.Has(RST))
	}
}
