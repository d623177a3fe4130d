// Package hint knows what people mean who write a config as other programs have it: other names of keys,
// placeholders that nobody fills in here, and the slips that TOML does not forgive.
package hint

import (
	"fmt"
	"slices"
	"strings"
)

// Nearest returns the known name nearest to a mistyped one, "" when none is near.
func Nearest(name string, known []string) string {
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

// DidYouMean returns a hint with the known name that is meant by another one, or nearest to it; "" when there is none.
func DidYouMean(name string, known []string) string {
	for _, k := range known {
		if slices.Contains(otherWords(k), strings.ToLower(name)) {
			return didYouMean(k)
		}
	}
	if best := Nearest(name, known); best != "" {
		return didYouMean(best)
	}
	return ""
}

// Either returns `"a", "b" or "c"`.
func Either(list []string) string {
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

// otherWords are what other programs call a value of which a key has a few.
func otherWords(value string) []string {
	return map[string][]string{
		"implicit":      {"ssl", "smtps", "tls/ssl", "ssl/tls", "wrapped", "wrapper", "wrappermode", "465"},
		"starttls":      {"tls", "mandatory", "encrypt", "secure", "required", "force", "true", "yes", "on", "587", "start_tls"},
		"opportunistic": {"may", "auto", "optional", "ifpossible", "if_available", "dane"},
		"none":          {"no", "off", "false", "never", "disabled", "plaintext", "clear", "insecure", "0"},
		"required":      {"yes", "true", "on", "mandatory", "always", "plain", "login"},
		"optional":      {"may", "allowed", "if_given"},
		"eu":            {"europe", "eu-west-1", "de"},
		"us":            {"usa", "america", "global", "us-east-1"},
		"global":        {"us", "usa", "world", "default"},
		"smtp":          {"relay", "smarthost", "smtps", "esmtp", "postfix", "sendmail", "gmail", "office365", "microsoft365"},
		"console":       {"stdout", "log", "print", "dummy", "null"},
		"file":          {"maildir", "mbox", "directory", "disk"},
		"warn":          {"warning"},
		"error":         {"err", "fatal", "critical", "crit"},
		"debug":         {"trace", "verbose", "all"},
		"info":          {"notice", "normal", "default"},
		"text":          {"logfmt", "plain", "console"},
	}[value]
}
