package search

import "strings"

// Address returns the pattern that a word about addresses stands for: itself if it is a whole address or has a * or
// a ?, else anything with that word in it.
func Address(word string) string {
	local, domain, whole := strings.Cut(word, "@")
	if word == "" || word == nullSender || isPattern(word) || whole && local != "" && domain != "" {
		return word
	}
	return "*" + word + "*"
}

// Text returns the pattern that a word about free text, such as a subject, stands for: itself if it has a * or a ?,
// else anything with that word in it.
func Text(word string) string {
	if word == "" || isPattern(word) {
		return word
	}
	return "*" + word + "*"
}

const nullSender = "<>"

func isPattern(s string) bool { return strings.ContainsAny(s, "*?") }
