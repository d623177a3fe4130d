package mime

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"mailhatch/mime/hostname"
)

// Path is a reverse-path or forward-path (RFC 5321 4.1.2).
type Path struct {
	Local  string // without quotes
	Domain string // a host name or an address literal, without a final dot
	Bare   string // the name as it was written, where it had no domain
}

// Why a path is refused; the words are for the client that sent it.
var (
	ErrNoAddress   = errors.New("an address is missing")
	errSourceRoute = errors.New("malformed source route")
	errLocalPart   = errors.New("malformed local part")
	errDomain      = errors.New("malformed domain")
	errTooLong     = errors.New("the address is too long")
	errUTF8        = errors.New("the address is not valid UTF-8")
)

// ParsePath parses a path without its angle brackets. A source route is ignored (RFC 5321 appendix C), and a bare
// name gets the domain: RFC 5321 4.5.1 wants <postmaster> taken, and cron writes <root>. What is quoted as a
// whole ("a@b") is the address inside, as for Postfix.
func ParsePath(s, domain string) (Path, error) {
	if s == "" {
		return Path{}, ErrNoAddress
	}
	if !utf8.ValidString(s) {
		return Path{}, errUTF8
	}
	if strings.HasPrefix(s, "@") {
		route, path, found := strings.Cut(s, ":")
		if !found || strings.ContainsAny(route, "\" ") {
			return Path{}, errSourceRoute
		}
		s = path
	}
	local, host, ok := CutLocalPart(s)
	if !ok {
		return Path{}, errLocalPart
	}
	p := Path{Local: local, Domain: domain, Bare: s}
	if local[0] == '"' {
		p.Local, _ = unquote(local)
	}
	if strings.ContainsFunc(p.Local, func(r rune) bool { return r != ' ' && unicode.IsSpace(r) }) {
		return Path{}, errLocalPart
	}
	switch {
	case len(local) < len(s):
		p.Domain, p.Bare = host, ""
	case strings.Contains(p.Local, "@"):
		return ParsePath(p.Local, domain)
	}
	p.Domain = strings.TrimSuffix(p.Domain, ".")
	if !hostname.OrLiteral(p.Domain) {
		return Path{}, errDomain
	}
	if len(p.Local) > 255 || len(p.Local)+len(p.Domain) > 400 {
		return Path{}, errTooLong
	}
	return p, nil
}

// String returns local@domain; the local part has quotes where it must have them, and only there.
func (p Path) String() string {
	if isDotAtom(p.Local) {
		return p.Local + "@" + p.Domain
	}
	return quote(p.Local) + "@" + p.Domain
}

// IsASCII reports whether the path can do without SMTPUTF8 (RFC 6531).
func (p Path) IsASCII() bool { return IsASCII(p.Local) && IsASCII(p.Domain) }

// CutLocalPart splits a path behind its local part, which keeps its quotes. Of a bare name the domain is
// empty, and so it is where nothing follows the @. ok is false when the local part cannot be one. Dots may
// stand anywhere in it: some providers have such addresses. The domain is not checked.
func CutLocalPart(s string) (local, domain string, ok bool) {
	end := strings.IndexByte(s, '@')
	if strings.HasPrefix(s, `"`) {
		var text string
		if text, end = unquote(s); text == "" || end < len(s) && s[end] != '@' {
			return "", "", false
		}
		return s[:end], strings.TrimPrefix(s[end:], "@"), true
	}
	if end < 0 {
		end = len(s)
	}
	for i := range end {
		if c := s[i]; c <= ' ' || c == 0x7f || strings.IndexByte(`()<>[]:;\,"`, c) >= 0 {
			return "", "", false
		}
	}
	return s[:end], strings.TrimPrefix(s[end:], "@"), end > 0
}

// IsLocalPart reports whether s can be before the @ of an address.
func IsLocalPart(s string) bool {
	local, _, ok := CutLocalPart(s)
	return ok && len(local) == len(s)
}

// SplitAddress splits an address at the @ that is not within a quoted local part. Without one, ok is false
// and local is all of it. It checks nothing.
func SplitAddress(addr string) (local, domain string, ok bool) {
	end := 0
	if strings.HasPrefix(addr, `"`) {
		end = TokenLength(addr)
	}
	at := strings.LastIndexByte(addr[end:], '@')
	if at < 0 {
		return addr, "", false
	}
	return addr[:end+at], addr[end+at+1:], true
}

// AddressKey returns the form in which addresses are compared. All spellings of one mailbox have the same key:
// quoted or not, in upper or lower case, the domain in A-labels or U-labels. A bare name has a key as well.
func AddressKey(addr string) string {
	if isPlainSpec(addr) {
		return strings.ToLower(addr)
	}
	local, domain, qualified := SplitAddress(addr)
	if strings.HasPrefix(local, `"`) {
		if text, n := unquote(local); n == len(local) {
			local = text
		}
	}
	if addr != "" && !isDotAtom(local) {
		local = quote(local)
	}
	if !qualified {
		return strings.ToLower(local)
	}
	if ascii, err := ASCIIDomain(domain); err == nil {
		domain = ascii
	}
	return strings.ToLower(local + "@" + strings.TrimSuffix(domain, "."))
}

// AddressText returns an address as people write it, for patterns: without quotes that only dots ask for.
func AddressText(addr string) string {
	if !strings.HasPrefix(addr, `"`) {
		return addr
	}
	local, n := unquote(addr)
	if n == 0 || n < len(addr) && addr[n] != '@' || !isDotAtom(strings.ReplaceAll(local, ".", "x")) {
		return addr
	}
	return local + addr[n:]
}

// SameAddress reports whether two addresses name the same mailbox.
func SameAddress(a, b string) bool { return AddressKey(a) == AddressKey(b) }

// ASCIIDomain returns a domain with A-labels for its U-labels (RFC 5891).
func ASCIIDomain(domain string) (string, error) {
	if IsASCII(domain) {
		return domain, nil
	}
	return idna.Lookup.ToASCII(domain)
}

// cleanSpec brings an addr-spec to the form of RFC 5321: no comments, no white space outside quotes,
// the local part quoted only where it must be. "" when s cannot be an address. A bare local part
// ("root") stays bare; international characters stay as written.
func cleanSpec(s string) string {
	if isPlainSpec(s) {
		return s
	}
	return rebuildSpec(s)
}

// rebuildSpec is cleanSpec for what is not plain.
func rebuildSpec(s string) string {
	var local, domain strings.Builder
	out := &local
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' && out == &local:
			text, n := unquote(s[i:])
			if n == 0 {
				return ""
			}
			local.WriteString(text)
			quoted = true
			i += n - 1
		case c == '(':
			n := commentLength(s[i:])
			if n == 0 {
				return ""
			}
			i += n - 1
		case c == '@' && out == &local:
			out = &domain
		case c < ' ' && c != '\t' && c != '\r' && c != '\n' || c == 0x7f || strings.IndexByte("@<>\"", c) >= 0:
			return ""
		case isBlank(c):
			if splitsWord(s, i) {
				return ""
			}
		default:
			out.WriteByte(c)
		}
	}
	l, d := local.String(), strings.TrimRight(domain.String(), ".")
	if l == "" && !quoted {
		return ""
	}
	if out == &local && strings.Contains(l, "@") {
		return cleanSpec(l) // quoted as a whole: the address inside
	}
	if !isDotAtom(l) {
		l = quote(l)
	}
	if out == &local {
		return repair(l)
	}
	if !isDomain(d) {
		return ""
	}
	return repair(l + "@" + d)
}

func specText(group []piece) string {
	if len(group) == 1 && !group[0].quoted {
		return group[0].text
	}
	var out strings.Builder
	for _, p := range group {
		if p.quoted {
			out.WriteString(quote(p.text))
			continue
		}
		out.WriteString(p.text)
	}
	return out.String()
}

// isPlainSpec reports whether s is what nearly all programs write, which is clean as it stands: ASCII
// atoms with single dots between them, and one "@" within or none.
func isPlainSpec(s string) bool {
	at := -1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '.' && at < 0 && (i == 0 || s[i-1] == '.' || i+1 == len(s) || s[i+1] == '@'):
			return false
		case c == '@' && at < 0:
			at = i
		case c >= 0x80 || c != '.' && !isAtomChar(c):
			return false
		}
	}
	return s != "" && at != 0 && s[len(s)-1] != '@' && (at < 0 || s[len(s)-1] != '.')
}

// isDomain reports whether s has only characters of a domain or an address literal (RFC 5321 4.1.2).
func isDomain(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && !strings.ContainsAny(inner, "[]\\,;()")
	}
	return s != "" && !strings.ContainsAny(s, "[]\\,;:()")
}

// splitsWord reports whether the white space at s[i] stands between two words: obsolete syntax has it
// only beside "." and "@".
func splitsWord(s string, i int) bool {
	before := strings.TrimRight(s[max(0, i-1):i], " \t\r\n")
	after := strings.TrimLeft(s[i:min(len(s), i+80)], " \t\r\n")
	return before != "" && after != "" && !strings.Contains(".@)", before) && strings.IndexByte(".@(", after[0]) < 0
}

// unquote reads the quoted string at the start of s and its length, 0 when it never ends or has
// control characters.
func unquote(s string) (string, int) {
	var out strings.Builder
	for i := 1; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '"':
			return out.String(), i + 1
		case c == '\\' && i+1 < len(s):
			i++
			c = s[i]
		}
		if c < ' ' && c != '\t' || c == 0x7f {
			return "", 0
		}
		out.WriteByte(c)
	}
	return "", 0
}

// isDotAtom reports whether a local part needs no quotes (RFC 5321 4.1.2; RFC 6531 adds non-ASCII).
func isDotAtom(s string) bool {
	if s == "" || s[0] == '.' || s[len(s)-1] == '.' || strings.Contains(s, "..") {
		return false
	}
	for i := 0; i < len(s); i++ {
		if !isAtomChar(s[i]) && s[i] != '.' {
			return false
		}
	}
	return true
}

// isAtomChar is atext of RFC 5322 3.2.3 with RFC 6532.
func isAtomChar(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= 0x80 ||
		strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

// quote writes a quoted string (RFC 5322 3.2.4).
func quote(s string) string {
	if !strings.ContainsAny(s, `\"`) {
		return `"` + s + `"`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// unescape removes the backslashes of quoted pairs.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		out.WriteByte(s[i])
	}
	return out.String()
}
