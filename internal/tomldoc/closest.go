package tomldoc

import "strings"

// Closest is the name that someone who wrote word may have meant, or "". Case and
// the difference of - and _ cost nothing; otherwise about one letter in three may
// be wrong, missing, superfluous or swapped with its neighbour.
func Closest(word string, names []string) string {
	best, found := max(len(word)/3, 1)+1, ""
	for _, name := range names {
		if d := distance(fold(word), fold(name)); d < best && d < len(name) {
			best, found = d, name
		}
	}
	return found
}

func fold(name string) string { return strings.ReplaceAll(strings.ToLower(name), "_", "-") }

// distance is the number of edits between two words, a swap of neighbours being one.
func distance(a, b string) int {
	older, old, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for k := range row {
		row[k] = k
	}
	for i := range len(a) {
		older, old, row = old, row, older
		row[0] = i + 1
		for k := range len(b) {
			cost := 1
			if a[i] == b[k] {
				cost = 0
			}
			row[k+1] = min(old[k+1]+1, row[k]+1, old[k]+cost)
			if i > 0 && k > 0 && a[i] == b[k-1] && a[i-1] == b[k] {
				row[k+1] = min(row[k+1], older[k-1]+1)
			}
		}
	}
	return row[len(b)]
}
