package rules

import (
	"fmt"
	"math"
	"strconv"
	"strings"

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
	if list := asList(text); list != "" {
		return fmt.Errorf("%q is not a number or range; several are a list: %s", text, list)
	}
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

// list joins what prints itself.
func list[T fmt.Stringer](items []T) string {
	texts := make([]string, len(items))
	for i, item := range items {
		texts[i] = item.String()
	}
	return strings.Join(texts, ", ")
}
