package rules_test

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tcpmangle/tcpmangle/rules"
)

func TestRanges(t *testing.T) {
	for _, row := range []struct {
		text    string
		in, out []int64
	}{
		{"3", []int64{3}, []int64{2, 4}},
		{"==3", []int64{3}, []int64{2, 4}},
		{"= 3", []int64{3}, []int64{2, 4}},
		{"!=3", []int64{0, 2, 4, 1 << 62}, []int64{3}},
		{"!=0", []int64{1}, []int64{0}},
		{"2-4", []int64{2, 3, 4}, []int64{1, 5}},
		{">3", []int64{4, 1 << 62}, []int64{3}},
		{">= 3", []int64{3}, []int64{2}},
		{"<3", []int64{0, 2}, []int64{3}},
		{"<=3", []int64{3}, []int64{4}},
	} {
		rs, err := rules.ParseRanges(row.text)
		if err != nil {
			t.Errorf("%q: %v", row.text, err)
		}
		for _, n := range row.in {
			if !rs.Match(n) {
				t.Errorf("%q leaves out %d", row.text, n)
			}
		}
		for _, n := range row.out {
			if rs.Match(n) {
				t.Errorf("%q has %d", row.text, n)
			}
		}
	}
	for _, text := range []string{"", "x", "-5", "5-", "5-2", ">2-4", "<0", "1.5", "99999999999999999999", ">9223372036854775807"} {
		if rs, err := rules.ParseRanges(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, rs)
		}
	}
	if !(rules.Ranges)(nil).Match(7) {
		t.Error("no range is not every number")
	}
	if got, want := matchOf(t, `port = [80, "8000-8099", ">60000", "<=3"]`).Port.String(), "80, 8000-8099, 60001-65535, 1-3"; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
	if got, want := matchOf(t, `length = [">0", "<=3"]`).Length.String(), ">=1, <=3"; got != want {
		t.Errorf("string: got %s, want %s", got, want)
	}
}

func TestOrdinals(t *testing.T) {
	for _, row := range []struct {
		connection string
		want       []int64 // of 1 to 10
	}{
		{`1`, []int64{1}},
		{`"2-4"`, []int64{2, 3, 4}},
		{`">=9"`, []int64{9, 10}},
		{`"every 5"`, []int64{5, 10}},
		{`[1, "every 4"]`, []int64{1, 4, 8}},
	} {
		os := matchOf(t, "connection = "+row.connection).Connection
		var got []int64
		for n := int64(1); n <= 10; n++ {
			if os.Match(n) {
				got = append(got, n)
			}
		}
		if !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s (%s): got %v, want %v", row.connection, os, got, row.want)
		}
	}
	if got := matchOf(t, `incarnation = [2, "every 5"]`).Incarnation.String(); got != "2, every 5" {
		t.Errorf("string: got %s", got)
	}
}

func TestDurationRanges(t *testing.T) {
	const ms = time.Millisecond
	for _, row := range []struct {
		text    string
		in, out time.Duration
	}{
		{">=5s", 5 * time.Second, 5*time.Second - 1},
		{">5s", 5*time.Second + 1, 5 * time.Second},
		{"<5ms", 5*ms - 1, 5 * ms},
		{"<= 5ms", 5 * ms, 5*ms + 1},
		{"1s-2s", 2 * time.Second, 2*time.Second + 1},
	} {
		r, err := rules.ParseDurationRange(row.text)
		if err != nil || !r.Match(row.in) || r.Match(row.out) || r.String() != strings.ReplaceAll(row.text, " ", "") {
			t.Errorf("%q: got %v, %v", row.text, r, err)
		}
	}
	for _, text := range []string{"", "5s", "=5s", ">5", "<0s", "2s-1s", ">1s-2s", "1s-"} {
		if r, err := rules.ParseDurationRange(text); err == nil {
			t.Errorf("%q: got %v, want an error", text, r)
		}
	}
	idle := matchOf(t, `idle = ["<1s", ">=5s"]`).Idle
	if !idle.Match(0) || idle.Match(time.Second) || !idle.Match(time.Hour) || idle.String() != "<1s, >=5s" {
		t.Errorf("a list is not any of: %s", idle)
	}
}
