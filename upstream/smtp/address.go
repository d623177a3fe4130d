package smtp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"mailhatch/mime"
)

// wirePath is a reverse-path or forward-path checked for the wire.
type wirePath struct {
	path string // without brackets; a domain in U-labels has become A-labels (RFC 5891)
	utf8 bool   // the path needs SMTPUTF8 (RFC 6531)
}

// Octets of a path: RFC 5321 4.5.3.1.3 has 256 with brackets; some senders' VERP is longer.
const maxPath = 512

// parseAddress checks that an address can be nothing but one path in a command. Only inside a
// quoted local part may it hold spaces and brackets (RFC 5321 4.1.2).
func parseAddress(address string) (wirePath, error) {
	if address == "" {
		return wirePath{}, errors.New("is empty")
	}
	if len(address) > maxPath {
		return wirePath{}, errors.New("is too long")
	}
	if !utf8.ValidString(address) {
		return wirePath{}, errors.New("is not valid UTF-8")
	}
	local, domain, ok := mime.CutLocalPart(address)
	if !ok {
		return wirePath{}, errors.New("has a malformed local part")
	}
	domain, err := mime.ASCIIDomain(domain)
	if err != nil {
		return wirePath{}, fmt.Errorf("has an impossible domain: %w", err)
	}
	if strings.ContainsFunc(domain, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`@"\<>(),;`, r) }) {
		return wirePath{}, errors.New("has characters in its domain that cannot be there")
	}
	a := wirePath{path: local, utf8: !mime.IsASCII(local)}
	if len(local) < len(address) {
		if domain == "" {
			return wirePath{}, errors.New("has no domain behind its @")
		}
		a.path += "@" + domain
	}
	return a, nil
}

// xtext encodes a parameter value (RFC 3461 4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

// notifyValue returns the value of NOTIFY (RFC 3461 4.1), "" where none can be made.
func notifyValue(conditions []string) string {
	var valid []string
	for _, c := range conditions {
		switch c = strings.ToUpper(c); c {
		case "NEVER":
			return c
		case "SUCCESS", "FAILURE", "DELAY":
			if !slices.Contains(valid, c) {
				valid = append(valid, c)
			}
		}
	}
	return strings.Join(valid, ",")
}

// orcptValue returns the value of ORCPT (RFC 3461 4.2), "" where none can be made: an address that is
// not ASCII would need another type (RFC 6533 3).
func orcptValue(orcpt string) string {
	kind, address, found := strings.Cut(orcpt, ";")
	if !found || address == "" || !isPrintable(kind) || strings.ContainsAny(kind, "+=") || kind == "" ||
		!mime.IsASCII(address) || len(address) > maxPath {
		return ""
	}
	return kind + ";" + xtext(address)
}
