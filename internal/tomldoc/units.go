package tomldoc

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads a duration with a unit, zero or more: "200ms", "1.5s", "2m30s".
func ParseDuration(text string) (time.Duration, error) {
	d, err := time.ParseDuration(text)
	switch {
	case isNumber(text):
		return 0, fmt.Errorf(`%q has no unit; write "%ss" or "%sms"`, text, text, text)
	case err != nil:
		return 0, fmt.Errorf("%q is not a duration; write %s", text, likelyDuration(text))
	case d < 0:
		return 0, fmt.Errorf("%q is negative", text)
	}
	return d, nil
}

// likelyDuration is what someone who wrote text may have meant.
func likelyDuration(text string) string {
	likely := strings.ToLower(strings.Join(strings.Fields(text), ""))
	if _, err := time.ParseDuration(likely); err == nil && likely != text {
		return strconv.Quote(likely)
	}
	return `it like "200ms", "1.5s" or "2m"`
}

// sizeUnits are those of sizes; rates have the same with "/s".
var sizeUnits = map[string]float64{
	"B": 1, "kB": 1e3, "KB": 1e3, "MB": 1e6, "GB": 1e9,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

// bitUnits are those of rates in bits per second, in any case.
var bitUnits = map[string]float64{"bit": 1, "kbit": 1e3, "mbit": 1e6, "gbit": 1e9}

// ParseSize reads a number of bytes: "1500", "64KiB" (1024 each), "64kB" (1000 each).
func ParseSize(text string) (int64, error) {
	number, unit := cutUnit(text)
	factor, ok := sizeUnits[unit]
	if unit == "" {
		factor, ok = 1, true
	}
	size, fits := times(number, factor)
	if !ok || !fits {
		return 0, fmt.Errorf(`%q is not a size; write it like 1500, "64KiB" or "64kB"`, text)
	}
	return size, nil
}

// ParseRate reads a rate as bits per second, more than zero: "10mbit" or "1MB/s".
func ParseRate(text string) (int64, error) {
	number, unit := cutUnit(text)
	factor, ok := bitUnits[strings.ToLower(strings.TrimSuffix(unit, "/s"))]
	if bytes, found := strings.CutSuffix(unit, "/s"); found && !ok {
		factor, ok = sizeUnits[bytes]
		factor *= 8
	}
	rate, fits := times(number, factor)
	if !ok || !fits {
		return 0, fmt.Errorf(`%q is not a rate; write it like "10mbit" or "1MB/s"`, text)
	}
	if rate == 0 {
		return 0, fmt.Errorf("%q is no rate: it must be more than zero", text)
	}
	return rate, nil
}

// ParseProbability reads a chance from 0% to 100% as a number from 0 to 1.
func ParseProbability(text string) (float64, error) {
	percent, found := strings.CutSuffix(text, "%")
	if !found {
		if isNumber(text) {
			return 0, fmt.Errorf(`%q is not a probability; write %s without quotes, or with %%`, text, text)
		}
		return 0, fmt.Errorf(`%q is not a probability; write it like 0.05 or "5%%"`, text)
	}
	p, err := strconv.ParseFloat(percent, 64)
	switch {
	case err != nil || !isNumber(percent):
		return 0, fmt.Errorf(`%q is not a probability; write it like 0.05 or "5%%"`, text)
	case p > 100:
		return 0, fmt.Errorf("%q is more than 100%%", text)
	}
	return p / 100, nil
}

// cutUnit cuts "64KiB" into number and unit.
func cutUnit(text string) (number, unit string) {
	end := strings.IndexFunc(text, func(r rune) bool { return (r < '0' || r > '9') && r != '.' })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

// isNumber tells whether text is digits with at most one point between them.
func isNumber(text string) bool {
	_, unit := cutUnit(text)
	_, err := strconv.ParseFloat(text, 64)
	return unit == "" && err == nil
}

// times multiplies, rounds, and tells whether the result is sound.
func times(number string, factor float64) (int64, bool) {
	n, err := strconv.ParseFloat(number, 64)
	product := math.Round(n * factor)
	if err != nil || product >= math.MaxInt64 {
		return 0, false
	}
	return int64(product), true
}
