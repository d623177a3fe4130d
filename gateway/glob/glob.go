// Package glob matches texts against the patterns of the config, the queue and the history.
package glob

import (
	"slices"
	"strings"
	"unicode/utf8"
)

// Match reports whether pattern matches the whole of s: `*` is any text, also none, `?` is one
// character, and any other character is itself. To ignore case, give both in lower case.
//
// It goes back to the last star only, so that its cost is at most len(s) times the longest run
// between two stars, however many stars there are.
func Match(pattern, s string) bool { return match(pattern, s, nil) }

// Stars returns what each star of a pattern stands for in a text that it matches: as little as possible, the
// last star what is left. Case is ignored; the texts are as s has them. ok is false when it does not match.
func Stars(pattern, s string) (texts []string, ok bool) {
	starts := make([]int, strings.Count(pattern, "*"))
	folded := strings.ToLower(s)
	pattern = strings.ToLower(pattern)
	if !match(pattern, folded, starts) {
		return nil, false
	}
	// From the end: what stands behind a star has as many characters in the text as in the pattern.
	end := utf8.RuneCountInString(folded)
	runes := offsets(s)
	for i, part := range slices.Backward(strings.Split(pattern, "*")) {
		if i == 0 {
			break
		}
		end -= utf8.RuneCountInString(part)
		begin := utf8.RuneCountInString(folded[:starts[i-1]])
		texts = append(texts, s[runes[begin]:runes[end]])
		end = begin
	}
	slices.Reverse(texts)
	return texts, true
}

// offsets returns where the characters of a text begin, and its end. strings.ToLower changes how long they are,
// not how many.
func offsets(s string) []int {
	list := make([]int, 0, len(s)+1)
	for i := range s {
		list = append(list, i)
	}
	return append(list, len(s))
}

// match is Match; starts, unless it is nil, gets where in s the text of each star begins.
func match(pattern, s string, starts []int) bool {
	p, i := 0, 0
	star, mark := -1, 0 // the last star, and where in s the text behind it begins
	stars := 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			if starts != nil {
				starts[stars] = i
			}
			stars++
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
	for ; p < len(pattern) && pattern[p] == '*'; p++ {
		if starts != nil {
			starts[stars] = len(s)
		}
		stars++
	}
	return p == len(pattern)
}
