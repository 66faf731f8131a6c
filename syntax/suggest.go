package syntax

import (
	"strings"
	"unicode/utf8"
)

// Suggest returns the candidate that name most likely was meant to be, for a
// 'did you mean'; "" if none is close. Close is a third of the name's length in
// edits (insert, delete, replace, swap two neighbours), at least one and at
// most eight, in any case of the letters. The first of several equally close
// ones wins.
func Suggest(name string, candidates []string) string {
	const most = 8
	want := []rune(strings.ToLower(name))
	limit := min(max(1, len(want)/3), most, len(want)-1)
	if strings.TrimSpace(name) == "" {
		return ""
	}
	best := ""
	rows := new([3][]int)
	for _, c := range candidates {
		if strings.EqualFold(c, name) {
			return c
		}
		// A name of one letter is close only to itself.
		if n := utf8.RuneCountInString(c); n == 0 || limit <= 0 || abs(n-len(want)) > limit {
			continue
		}
		if d := distance(want, []rune(strings.ToLower(c)), limit, rows); d <= limit {
			best, limit = c, d-1
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance is the number of edits between a and b, or more than limit if it is
// more than that. Only the cells of the matrix that can be within the limit are
// computed.
func distance(a, b []rune, limit int, rows *[3][]int) int {
	far := limit + 1
	for i := range rows {
		if cap(rows[i]) <= len(b) {
			rows[i] = make([]int, len(b)+1)
		}
		rows[i] = rows[i][:len(b)+1]
	}
	before, last, row := rows[0], rows[1], rows[2]
	for j := range last {
		last[j] = min(j, far)
	}
	for i := 1; i <= len(a); i++ {
		low, high := max(1, i-limit), min(len(b), i+limit)
		row[0] = min(i, far)
		if low > 1 {
			row[low-1] = far
		}
		nearest := row[0]
		for j := low; j <= high; j++ {
			d := last[j-1]
			if a[i-1] != b[j-1] {
				d++
			}
			d = min(d, row[j-1]+1)
			if j < i+limit {
				d = min(d, last[j]+1)
			}
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d = min(d, before[j-2]+1)
			}
			row[j] = min(d, far)
			nearest = min(nearest, row[j])
		}
		if nearest > limit {
			return far
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
