// Package hostname checks the names of hosts and domains, as mail has them.
package hostname

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Check returns why a name cannot be in HELO, Message-ID and addresses (RFC 5321 4.1.2, RFC 1035 2.3.4).
// International names are written in their ASCII form (xn--…).
func Check(name string) error {
	if name == "" || len(name) > 253 {
		return errors.New("must have 1 to 253 characters")
	}
	if !allLabels(name, func(r rune) bool { return isLetterDigit(r) || r == '-' }) {
		return fmt.Errorf("%q is not a domain name", name)
	}
	return nil
}

// OrLiteral reports whether d is a host name, with underscores and beyond ASCII as people have them, or an
// address literal (RFC 5321 4.1.3).
func OrLiteral(d string) bool {
	if literal, ok := strings.CutPrefix(d, "["); ok {
		literal, ok = strings.CutSuffix(literal, "]")
		if len(literal) > 5 && strings.EqualFold(literal[:5], "IPv6:") {
			literal = literal[5:]
		}
		_, err := netip.ParseAddr(literal)
		return ok && err == nil && !strings.Contains(literal, "%")
	}
	return len(d) <= 255 && allLabels(d, func(r rune) bool {
		return isLetterDigit(r) || r == '-' || r == '_' || r >= utf8.RuneSelf && !unicode.IsSpace(r)
	})
}

// allLabels reports whether all labels of a host name have 1 to 63 bytes, all of them allowed, and no
// hyphen at an end.
func allLabels(name string, allowed func(rune) bool) bool {
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' ||
			strings.ContainsFunc(label, func(r rune) bool { return !allowed(r) }) {
			return false
		}
	}
	return true
}

func isLetterDigit(r rune) bool {
	return r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
}
