package smtpd

import (
	"net/netip"
	"strings"
	"unicode"
	"unicode/utf8"
)

// path is a reverse-path or forward-path (RFC 5321 4.1.2) that was understood.
type path struct {
	address string // local@domain, quoted where it must be; "" is the null sender
	given   string // as the client wrote it, when a bare name was completed
	ascii   bool
}

// badPath says why an address is refused; the words are for the client.
type badPath string

func (b badPath) Error() string { return string(b) }

const (
	errNoAddress badPath = "An address is missing"
	errBrackets  badPath = "Angle brackets do not match"
	errRoute     badPath = "Malformed source route"
	errLocal     badPath = "Malformed local part"
	errDomain    badPath = "Malformed domain"
	errTooLong   badPath = "The address is too long"
	errUTF8      badPath = "The address is not UTF-8"
)

// cutKeyword takes "FROM:" or "TO:" off an argument; spaces around the colon, or no colon at all,
// are what some devices send.
func cutKeyword(arg, word string) (string, bool) {
	if len(arg) < len(word) || !strings.EqualFold(arg[:len(word)], word) {
		return "", false
	}
	rest := strings.TrimLeft(arg[len(word):], " \t")
	if after, ok := strings.CutPrefix(rest, ":"); ok {
		return strings.TrimLeft(after, " \t"), true
	}
	return rest, strings.HasPrefix(rest, "<")
}

// cutPath splits a path from the parameters behind it. Angle brackets may be missing.
func cutPath(s string) (text, rest string, err error) {
	if s == "" {
		return "", "", errNoAddress
	}
	end := byte(' ')
	if s[0] == '<' {
		end, s = '>', s[1:]
	}
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == end:
			rest = s[i+1:]
			if rest != "" && end == '>' && rest[0] != ' ' && rest[0] != '\t' {
				return "", "", errBrackets
			}
			return strings.TrimSpace(s[:i]), rest, nil
		case c == '<' || c == '>':
			return "", "", errBrackets
		}
	}
	if quoted || end == '>' {
		return "", "", errBrackets
	}
	return s, "", nil
}

// parsePath understands an address without brackets and writes it anew. A name without domain is
// completed with domain (RFC 5321 4.5.1 wants <postmaster> taken; cron writes <root>).
func parsePath(text, domain string) (path, error) {
	var p path
	if !utf8.ValidString(text) {
		return p, errUTF8
	}
	if strings.HasPrefix(text, "@") { // RFC 5321 appendix C: source routes are to be ignored
		i := strings.IndexByte(text, ':')
		if i < 0 || strings.ContainsAny(text[:i], "\" ") {
			return p, errRoute
		}
		text = text[i+1:]
	}
	local, rest, err := cutLocal(text)
	if err != nil {
		return p, err
	}
	if strings.ContainsFunc(local, func(r rune) bool { return r != ' ' && unicode.IsSpace(r) }) {
		return p, errLocal
	}
	host, hasHost := strings.CutPrefix(rest, "@")
	if !hasHost {
		p.given, host = text, domain
	}
	host = strings.TrimSuffix(host, ".")
	if !validDomain(host) {
		return p, errDomain
	}
	if len(local) > 255 || len(local)+len(host) > 400 {
		return p, errTooLong
	}
	p.address = quoteLocal(local) + "@" + host
	p.ascii = isASCII(p.address)
	return p, nil
}

// cutLocal takes the local part off an address, unquoted.
func cutLocal(s string) (local, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexByte(s, '@')
		if i < 0 {
			i = len(s)
		}
		local = s[:i]
		if local == "" || strings.ContainsAny(local, "()<>[]:;\\,\" \t") {
			return "", "", errLocal
		}
		return local, s[i:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			rest = s[i+1:]
			if b.Len() == 0 || rest != "" && rest[0] != '@' {
				return "", "", errLocal
			}
			return b.String(), rest, nil
		case '\\':
			i++
			if i == len(s) {
				return "", "", errLocal
			}
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errLocal
}

// quoteLocal writes a local part as a dot-string where that is allowed, else as a quoted-string.
func quoteLocal(local string) string {
	plain := !strings.HasPrefix(local, ".") && !strings.HasSuffix(local, ".") && !strings.Contains(local, "..")
	if plain && !strings.ContainsFunc(local, func(r rune) bool { return !isAtext(r) && r != '.' }) {
		return local
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(local) + `"`
}

// isAtext is RFC 5322 3.2.3 with RFC 6531 3.3.
func isAtext(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' ||
		r >= 0x80 || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~", r)
}

// validDomain takes host names, with underscores as people use them, and address literals.
func validDomain(d string) bool {
	if lit, ok := strings.CutPrefix(d, "["); ok {
		lit, ok = strings.CutSuffix(lit, "]")
		if len(lit) > 5 && strings.EqualFold(lit[:5], "IPv6:") {
			lit = lit[5:]
		}
		_, err := netip.ParseAddr(lit)
		return ok && err == nil && !strings.Contains(lit, "%")
	}
	if len(d) == 0 || len(d) > 255 {
		return false
	}
	for label := range strings.SplitSeq(d, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || strings.HasSuffix(label, "-") {
			return false
		}
		if strings.ContainsFunc(label, func(r rune) bool {
			return unicode.IsSpace(r) || r != '-' && r != '_' && (!isAtext(r) || strings.ContainsRune("!#$%&'*+/=?^`{|}~", r))
		}) {
			return false
		}
	}
	return true
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r >= 0x80 })
}
