// Package glob matches texts against the patterns of the config, the queue and the history.
package glob

import (
	"strings"
	"unicode/utf8"
)

// Match reports whether pattern matches the whole of s: `*` is any text, also none, `?` is one
// character, and any other character is itself. To ignore case, give both in lower case.
//
// It goes back to the last star only, so that its cost is at most len(s) times the longest run
// between two stars, however many stars there are.
func Match(pattern, s string) bool {
	p, i := 0, 0
	star, mark := -1, 0 // the last star, and where in s the text behind it begins
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, n := utf8.DecodeRuneInString(s[i:])
			p, i = p+1, i+n
		case p < len(pattern) && pattern[p] == s[i]:
			p, i = p+1, i+1
		case star >= 0:
			_, n := utf8.DecodeRuneInString(s[mark:])
			mark += n
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}
