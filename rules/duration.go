package rules

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A DurationRange is the durations from Lo to Hi, both included.
type DurationRange struct{ Lo, Hi time.Duration }

// forever is the upper end of a range that has none.
const forever = time.Duration(math.MaxInt64)

// Match tells whether d is in the range.
func (r DurationRange) Match(d time.Duration) bool { return r.Lo <= d && d <= r.Hi }

// String is the range as a rule file writes it.
func (r DurationRange) String() string {
	switch {
	case r.Hi == forever && isNext(r.Lo):
		return fmt.Sprintf(">%v", r.Lo-1)
	case r.Hi == forever:
		return fmt.Sprintf(">=%v", r.Lo)
	case r.Lo == 0 && isNext(-r.Hi):
		return fmt.Sprintf("<%v", r.Hi+1)
	case r.Lo == 0:
		return fmt.Sprintf("<=%v", r.Hi)
	}
	return fmt.Sprintf("%v-%v", r.Lo, r.Hi)
}

// isNext tells whether d is a nanosecond more than someone would have written: an
// open end of a range.
func isNext(d time.Duration) bool { return (d-1)%time.Microsecond == 0 }

// DurationRanges are alternatives; none at all means every duration.
type DurationRanges []DurationRange

// Match tells whether d is in one of the ranges.
func (rs DurationRanges) Match(d time.Duration) bool {
	for _, r := range rs {
		if r.Match(d) {
			return true
		}
	}
	return len(rs) == 0
}

// String lists the ranges.
func (rs DurationRanges) String() string { return list(rs) }

// ParseDurationRange reads ">=5s", ">5s", "<5s", "<=5s" or "1s-2s". A duration
// alone is refused, since no measured one equals it.
func ParseDurationRange(text string) (DurationRange, error) {
	op, rest := cutOperator(text)
	first, last, isSpan := strings.Cut(rest, "-")
	if first == "" || isSpan && last == "" {
		return DurationRange{}, notDurations(text)
	}
	d, err := tomldoc.ParseDuration(strings.TrimSpace(first))
	if err != nil {
		return DurationRange{}, err
	}
	if op == "" && isSpan {
		return durationSpan(text, d, last)
	}
	switch {
	case isSpan:
	case op == ">=":
		return DurationRange{d, forever}, nil
	case op == ">" && d < forever:
		return DurationRange{d + 1, forever}, nil
	case op == "<=":
		return DurationRange{0, d}, nil
	case op == "<" && d > 0:
		return DurationRange{0, d - 1}, nil
	case op == "<":
		return DurationRange{}, fmt.Errorf("%q leaves nothing", text)
	}
	return DurationRange{}, fmt.Errorf(`%q is not a range of durations; write it like ">=%v" or "1s-2s"`, text, first)
}

func notDurations(text string) error {
	return fmt.Errorf(`%q is not a range of durations; write it like ">=5s" or "1s-2s"`, text)
}

func durationSpan(text string, from time.Duration, last string) (DurationRange, error) {
	to, err := tomldoc.ParseDuration(strings.TrimSpace(last))
	if err == nil && to < from {
		err = fmt.Errorf(`%q runs backwards; write "%v-%v"`, text, to, from)
	}
	return DurationRange{from, to}, err
}

func readDurationRanges(v tomldoc.Value) (all DurationRanges) {
	for _, item := range v.List() {
		text, ok := item.Any().(string)
		if !ok {
			item.Errorf(`must be a range of durations like ">=5s" or "1s-2s"`)
			continue
		}
		r, err := ParseDurationRange(text)
		if err != nil {
			item.Errorf("%w", err)
		}
		all = append(all, r)
	}
	return all
}
