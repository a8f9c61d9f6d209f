package script

import "fmt"

// didYouMean completes a message about an unknown word with the known one it
// was probably meant to be, or with nothing.
func didYouMean(got string, known []string) string {
	best, at := "", 3 // further off than two slips is another word
	for _, k := range known {
		if d := distance(got, k); d < at && d < len(k) {
			best, at = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", best)
}

// distance counts the slips between two words: a byte missing, too much or
// wrong, or two neighbours swapped.
func distance(a, b string) int {
	if n := len(a) - len(b); n > 2 || n < -2 {
		return 3 // of no interest, and long words cost nothing
	}
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		rows[i][0] = i
	}
	for j := range rows[0] {
		rows[0][j] = j
	}
	for i := 1; i <= len(a); i++ {
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			d := min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, rows[i-2][j-2]+1)
			}
			rows[i][j] = d
		}
	}
	return rows[len(a)][len(b)]
}
