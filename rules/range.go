package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// A Range is the integers from Lo to Hi, both included.
type Range struct{ Lo, Hi int64 }

// Match tells whether n is in the range.
func (r Range) Match(n int64) bool { return r.Lo <= n && n <= r.Hi }

// String is the range as a rule file writes it.
func (r Range) String() string {
	switch {
	case r.Lo == r.Hi:
		return strconv.FormatInt(r.Lo, 10)
	case r.Hi == math.MaxInt64:
		return fmt.Sprintf(">=%d", r.Lo)
	case r.Lo == 0:
		return fmt.Sprintf("<=%d", r.Hi)
	}
	return fmt.Sprintf("%d-%d", r.Lo, r.Hi)
}

// Ranges are alternatives; none at all means every number.
type Ranges []Range

// Match tells whether n is in one of the ranges.
func (rs Ranges) Match(n int64) bool {
	for _, r := range rs {
		if r.Match(n) {
			return true
		}
	}
	return len(rs) == 0
}

// String lists the ranges.
func (rs Ranges) String() string { return list(rs) }

// ParseRanges reads the text forms of a number: "100", "1-100", ">0", ">=10",
// "<5", "<=5", "==3", "!=3". The last is two ranges.
func ParseRanges(text string) (Ranges, error) { return parseRanges(text, 0, math.MaxInt64) }

// parseRanges holds what the text says against the bounds lo and hi.
func parseRanges(text string, lo, hi int64) (Ranges, error) {
	op, rest := cutOperator(text)
	first, last, isSpan := strings.Cut(rest, "-")
	n, err := parseNumber(text, first, lo, hi)
	if err != nil {
		return nil, err
	}
	if op == "" && isSpan {
		m, err := parseNumber(text, last, lo, hi)
		if err == nil && m < n {
			err = fmt.Errorf(`%q runs backwards; write "%d-%d"`, text, m, n)
		}
		return Ranges{{n, m}}, err
	}
	if isSpan {
		return nil, notNumber(text)
	}
	return compared(text, op, n, lo, hi)
}

// compared is the numbers from lo to hi that are op n.
func compared(text, op string, n, lo, hi int64) (rs Ranges, err error) {
	below, above := Range{lo, n - 1}, Range{1, 0}
	if n < hi { // n + 1 might not exist otherwise
		above = Range{n + 1, hi}
	}
	switch op {
	case ">":
		rs = Ranges{above}
	case ">=":
		rs = Ranges{{n, hi}}
	case "<":
		rs = Ranges{below}
	case "<=":
		rs = Ranges{{lo, n}}
	case "!=":
		rs = Ranges{below, above}
	default:
		rs = Ranges{{n, n}}
	}
	rs = dropEmpty(rs)
	if len(rs) == 0 {
		return nil, fmt.Errorf("%q leaves nothing", text)
	}
	return rs, nil
}

func dropEmpty(rs Ranges) (kept Ranges) {
	for _, r := range rs {
		if r.Lo <= r.Hi {
			kept = append(kept, r)
		}
	}
	return kept
}

// cutOperator cuts ">= 5" into ">=" and "5".
func cutOperator(text string) (op, rest string) {
	rest = strings.TrimSpace(text)
	for _, op := range []string{">=", "<=", "==", "!=", ">", "<", "="} {
		if after, ok := strings.CutPrefix(rest, op); ok {
			return op, strings.TrimSpace(after)
		}
	}
	return "", rest
}

func parseNumber(text, number string, lo, hi int64) (int64, error) {
	n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 63)
	if err != nil {
		return 0, notNumber(text)
	}
	return int64(n), bounded(int64(n), lo, hi)
}

func notNumber(text string) error {
	return fmt.Errorf(`%q is not a number or range; write it like 5, "2-4" or ">=3"`, text)
}

func bounded(n, lo, hi int64) error {
	switch {
	case n >= lo && n <= hi:
		return nil
	case hi == math.MaxInt64:
		return fmt.Errorf("%d is less than %d", n, lo)
	}
	return fmt.Errorf("%d is not from %d to %d", n, lo, hi)
}

// readRanges reads an integer, a text form, or a list of them.
func readRanges(v tomldoc.Value, lo, hi int64) (all Ranges) {
	for _, item := range v.List() {
		rs, err := rangesOf(item.Any(), lo, hi)
		if err != nil {
			item.Errorf("%w", err)
		}
		all = append(all, rs...)
	}
	return all
}

func rangesOf(data any, lo, hi int64) (Ranges, error) {
	switch n := data.(type) {
	case int64:
		return Ranges{{n, n}}, bounded(n, lo, hi)
	case string:
		return parseRanges(n, lo, hi)
	}
	return nil, fmt.Errorf(`must be a number or range like 5, "2-4" or ">=3"`)
}

// An Ordinal is a place in an order that counts from 1: a range, or each so
// manieth.
type Ordinal struct {
	Range
	Every int64 // in place of Range, if not 0
}

// Match tells whether the n-th is meant.
func (o Ordinal) Match(n int64) bool {
	if o.Every > 0 {
		return n > 0 && n%o.Every == 0
	}
	return o.Range.Match(n)
}

// String is the ordinal as a rule file writes it.
func (o Ordinal) String() string {
	if o.Every > 0 {
		return fmt.Sprintf("every %d", o.Every)
	}
	return o.Range.String()
}

// Ordinals are alternatives; none at all means every place.
type Ordinals []Ordinal

// Match tells whether one of the ordinals means the n-th.
func (os Ordinals) Match(n int64) bool {
	for _, o := range os {
		if o.Match(n) {
			return true
		}
	}
	return len(os) == 0
}

// String lists the ordinals.
func (os Ordinals) String() string { return list(os) }

// readOrdinals reads what readRanges does, and "every 5".
func readOrdinals(v tomldoc.Value) (all Ordinals) {
	for _, item := range v.List() {
		os, err := ordinalsOf(item.Any())
		if err != nil {
			item.Errorf("%w", err)
		}
		all = append(all, os...)
	}
	return all
}

func ordinalsOf(data any) (os Ordinals, err error) {
	text, _ := data.(string)
	if n, ok := strings.CutPrefix(text, "every "); ok {
		every, err := parseNumber(text, n, 1, math.MaxInt64)
		return Ordinals{{Every: every}}, err
	}
	rs, err := rangesOf(data, 1, math.MaxInt64)
	for _, r := range rs {
		os = append(os, Ordinal{Range: r})
	}
	return os, err
}

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

func durationSpan(text string, from time.Duration, last string) (DurationRange, error) {
	to, err := tomldoc.ParseDuration(strings.TrimSpace(last))
	if err == nil && to < from {
		err = fmt.Errorf(`%q runs backwards; write "%v-%v"`, text, to, from)
	}
	return DurationRange{from, to}, err
}

func readDurationRanges(v tomldoc.Value) (all DurationRanges) {
	for _, item := range v.List() {
		text, ok := item.Text()
		if !ok {
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

// list joins what prints itself.
func list[T fmt.Stringer](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.String()
	}
	return strings.Join(texts, ", ")
}
