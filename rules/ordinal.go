package rules

import (
	"fmt"
	"math"
	"strings"

	"github.com/tcpmangle/tcpmangle/internal/tomldoc"
)

// An Ordinal is a place in an order that counts from 1: a range, or each
// n-th.
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
