package lab

import "fmt"

// likes is the first of each kind as text, in order, with the number of those like it:
// what a hundred connections have in common is one line.
func likes[T any](all []T, kind func(T) string) (lines []string) {
	count := make(map[string]int)
	var firsts []T
	for _, x := range all {
		k := kind(x)
		if count[k]++; count[k] == 1 {
			firsts = append(firsts, x)
		}
	}
	for _, x := range firsts {
		line := fmt.Sprint(x)
		if more := count[kind(x)] - 1; more > 0 {
			line += fmt.Sprintf("; %d more like it", more)
		}
		lines = append(lines, line)
	}
	return lines
}
