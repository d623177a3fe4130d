package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// Error is everything that is wrong with a config, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Problem is one thing that is wrong.
type Problem struct {
	Line    int    `json:"line,omitempty"` // 0 when the problem has no line of its own
	Key     string `json:"key,omitempty"`  // "route.via"; "" for the file as a whole
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"` // what to do; may be empty
}

// Error returns one line for each problem, "file:line: key: problem", and one for its hint.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(place(e.File, p.Line))
		if p.Key != "" {
			b.WriteString(p.Key + ": ")
		}
		b.WriteString(p.Problem)
		if p.Hint != "" {
			b.WriteString("\n  hint: " + p.Hint)
		}
	}
	return b.String()
}

// place returns "file:line: ", as far as it is known.
func place(file string, line int) string {
	switch {
	case file == "":
		return ""
	case line == 0:
		return file + ": "
	}
	return fmt.Sprintf("%s:%d: ", file, line)
}

// reporter collects problems, at most one for a key: what follows from an error is not reported again.
type reporter struct {
	file     string
	lines    lineIndex
	problems []Problem
	bad      map[string]bool
	warnings []string

	references map[string]reference // by the paths of the values that they stand for
}

func (r *reporter) report(path, problem, hint string) {
	if r.isBad(path) {
		return
	}
	r.bad[path] = true
	r.problems = append(r.problems, Problem{
		Line: r.lines.at(path), Key: displayKey(path), Problem: r.conceal(path, problem), Hint: r.conceal(path, hint),
	})
}

// isBad reports whether the key, or what it stands in, has a problem already.
func (r *reporter) isBad(path string) bool {
	for ; path != ""; path = parentPath(path) {
		if r.bad[path] {
			return true
		}
	}
	return false
}

func (r *reporter) warn(path, format string, args ...any) {
	text := place(r.file, r.lines.at(path))
	if path != "" {
		text += displayKey(path) + ": "
	}
	r.warnings = append(r.warnings, text+r.conceal(path, fmt.Sprintf(format, args...)))
}

func (r *reporter) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: r.file, Problems: r.problems}
}

// oneOf reports a value that is none of the allowed ones.
func (r *reporter) oneOf(path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	r.report(path, fmt.Sprintf("must be %s, not %q", either(allowed), value), didYouMean(value, allowed))
}

// either returns `"a", "b" or "c"`.
func either(list []string) string {
	var b strings.Builder
	for i, s := range list {
		switch {
		case i == 0:
		case i == len(list)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", s)
	}
	return b.String()
}

// displayKey removes the indices from a path: the line number identifies the element.
func displayKey(path string) string {
	return regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")
}

// didYouMean returns a hint with the known name nearest to a mistyped one, "" when none is near.
func didYouMean(name string, known []string) string {
	if best := nearest(name, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// nearest returns the known name nearest to a mistyped one, "" when none is near.
func nearest(name string, known []string) string {
	best, bestDistance := "", 1+max(1, len(name)/3)
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < bestDistance {
			best, bestDistance = k, d
		}
	}
	return best
}

// editDistance counts insertions, deletions, replacements and swaps of neighbours (optimal string
// alignment). Long names are not compared: their cost would be the square of their length.
func editDistance(a, b string) int {
	const longest = 64
	if len(a) > longest || len(b) > longest {
		return longest
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
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
