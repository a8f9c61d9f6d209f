package tomldoc

import (
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"0s": 0, "200ms": 200 * time.Millisecond, "1.5s": 1500 * time.Millisecond, "2m30s": 150 * time.Second, "1us": time.Microsecond,
	} {
		if got, err := ParseDuration(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"0":     `"0" has no unit; write "0s" or "0ms"`,
		"10 ms": `"10 ms" is not a duration; write "10ms"`,
		"10MS":  `"10MS" is not a duration; write "10ms"`,
		"-5s":   `"-5s" is negative`,
		"soon":  `"soon" is not a duration; write it like "200ms", "1.5s" or "2m"`,
		"1d":    `"1d" is not a duration; write it like "200ms", "1.5s" or "2m"`,
	} {
		if _, err := ParseDuration(text); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}

func TestParseSize(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "1500": 1500, "1B": 1, "64KiB": 65536, "64kB": 64000, "64KB": 64000, "1.5MiB": 1572864, "2GB": 2e9,
	} {
		if got, err := ParseSize(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "64K", "-1", "KiB", "1.2.3", "1e3", "99999999999GiB", "64 KiB"} {
		if got, err := ParseSize(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseRate(t *testing.T) {
	for text, want := range map[string]int64{
		"8bit": 8, "10mbit": 10e6, "10Mbit": 10e6, "10mbit/s": 10e6, "1gbit": 1e9, "1MB/s": 8e6, "64KiB/s": 524288, "1.5kbit": 1500,
	} {
		if got, err := ParseRate(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "10", "10mbps", "1MB", "0mbit", "-1mbit", "fast", "99999999999GiB/s"} {
		if got, err := ParseRate(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestParseProbability(t *testing.T) {
	for text, want := range map[string]float64{"0%": 0, "5%": 0.05, "0.5%": 0.005, "100%": 1} {
		if got, err := ParseProbability(text); err != nil || got != want {
			t.Errorf("%q: got %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "%", "5", "0.05", "101%", "-1%", "1e1%", "nan%", "5 %", "half"} {
		if got, err := ParseProbability(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, got)
		}
	}
}

func TestClosest(t *testing.T) {
	names := []string{"port", "client_state", "server_state", "segment", "state", "p", "r"}
	for word, want := range map[string]string{
		"sate":         "state",
		"prot":         "port",
		"Port":         "port",
		"client-state": "client_state",
		"segmnets":     "segment",
		"delay":        "",
		"x":            "",
		"":             "",
	} {
		if got := Closest(word, names); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
