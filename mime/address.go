package mime

import (
	"errors"
	"fmt"
	"strings"
)

// Address is one mailbox.
type Address struct {
	Name string // decoded display name
	Addr string // local@domain; the local part quoted where RFC 5321 wants it
}

// Limits of an address list; further addresses are left out and named in the error.
const (
	maxAddresses = 10_000 // of one field
	maxPieces    = 1_000  // words of one mailbox
)

// ParseAddressList parses an address list, obsolete and broken syntax included ("root (Cron Daemon)",
// groups, raw 8-bit names). What cannot be parsed is left out and named in err.
func ParseAddressList(s string) ([]Address, error) {
	p := &addressParser{s: s}
	var list []Address
	var bad []error
	for p.i < len(p.s) {
		a, err := p.mailbox()
		switch {
		case err != nil && len(bad) < 10:
			bad = append(bad, err)
		case err == nil && a.Addr != "":
			list = append(list, a)
		}
		if len(list) == maxAddresses {
			bad = append(bad, fmt.Errorf("more than %d addresses", maxAddresses))
			break
		}
	}
	return list, errors.Join(bad...)
}

// addressParser walks through an address list (RFC 5322 3.4, 4.4).
type addressParser struct {
	s string
	i int

	noQuote, noComment bool // one that never ends was seen: the character is a plain one from now on
}

// piece is a token of a mailbox outside its angle brackets.
type piece struct {
	text   string
	quoted bool
	space  bool // white space or a comment before it
}

// mailbox reads up to the comma, semicolon or group colon after it. An empty one has no Addr.
func (p *addressParser) mailbox() (Address, error) {
	start := p.i
	var few [4]piece // enough for most
	pieces := few[:0]
	var comments []string
	angle, hasAngle, space, around := "", false, false, 0
	for p.i < len(p.s) {
		if len(pieces)+len(comments) > maxPieces {
			p.skip()
			return Address{}, badAddress(p.s[start:p.i])
		}
		c := p.s[p.i]
		switch {
		case c == ',' || c == ';':
			a, err := buildAddress(pieces, comments, angle, hasAngle, p.s[start:p.i])
			p.i++
			return a, err
		case c == ':' && !hasAngle: // what was read is the name of a group
			p.i++
			pieces, comments, space, start = pieces[:0], nil, false, p.i
			continue
		case isBlank(c):
			p.i++
			space = true
			continue
		case c == '(':
			if text, ok := p.comment(); ok {
				comments = append(comments, text)
				space = true
				continue
			}
		case c == '<' && !hasAngle && p.isAround():
			p.i++
			around++
			continue
		case c == '>' && hasAngle && around > 0:
			p.i++
			around--
			continue
		case c == '<' && !hasAngle:
			angle, hasAngle = p.angle(), true
			continue
		case c == '"':
			if text, ok := p.quoted(); ok {
				pieces = append(pieces, piece{text: text, quoted: true, space: space})
				space = false
				continue
			}
		}
		pieces = append(pieces, piece{text: p.atom(), space: space})
		space = false
	}
	return buildAddress(pieces, comments, angle, hasAngle, p.s[start:])
}

// skip moves behind the next comma.
func (p *addressParser) skip() {
	if n := strings.IndexByte(p.s[p.i:], ','); n >= 0 {
		p.i += n + 1
		return
	}
	p.i = len(p.s)
}

// atom reads a run of characters that mean nothing to the parser, at least one.
func (p *addressParser) atom() string {
	start := p.i
	if strings.HasPrefix(p.s[p.i:], "=?") { // an encoded word may hold a raw comma
		if _, n, ok := parseWord(p.s[p.i:]); ok {
			p.i += n
			return p.s[start:p.i]
		}
	}
	for p.i++; p.i < len(p.s) && !endsAtom(p.s[p.i]); p.i++ {
		if p.s[p.i] == '[' && p.s[p.i-1] == '@' { // a literal may hold colons: a@[IPv6:::1]
			p.i += max(0, strings.IndexByte(p.s[p.i:min(len(p.s), p.i+100)], ']'))
		}
	}
	return p.s[start:p.i]
}

func endsAtom(c byte) bool {
	switch c {
	case ',', ';', ':', '<', '"', '(':
		return true
	}
	return isBlank(c)
}

// quoted parses a quoted string and returns its content.
func (p *addressParser) quoted() (string, bool) {
	if p.noQuote {
		return "", false
	}
	var out strings.Builder
	for i := p.i + 1; i < len(p.s); i++ {
		switch c := p.s[i]; {
		case c == '\\' && i+1 < len(p.s):
			i++
			out.WriteByte(p.s[i])
		case c == '"':
			p.i = i + 1
			return out.String(), true
		default:
			out.WriteByte(c)
		}
	}
	p.noQuote = true
	return "", false
}

// comment parses a comment and returns its content.
func (p *addressParser) comment() (string, bool) {
	n := 0
	if !p.noComment {
		n = commentLength(p.s[p.i:])
	}
	if n == 0 {
		p.noComment = true
		return "", false
	}
	text := p.s[p.i+1 : p.i+n-1]
	p.i += n
	return strings.Trim(unescape(text), " \t\r\n"), true
}

// isAround reports whether the bracket here holds another one, as in <<a@b>> and <"Name" <a@b>>: the address
// is in the innermost.
func (p *addressParser) isAround() bool {
	for i := p.i + 1; i < len(p.s); i++ {
		switch p.s[i] {
		case '<':
			return true
		case '"':
			i += TokenLength(p.s[i:]) - 1
		case '>', ',', ';':
			return false
		}
	}
	return false
}

// angle reads <addr>; without its end it goes to the next comma. A route (obsolete, "@a,@b:") is
// skipped.
func (p *addressParser) angle() string {
	p.i++
	start, inQuote := p.i, false
	route := strings.HasPrefix(strings.TrimLeft(p.s[p.i:min(len(p.s), p.i+20)], " \t"), "@")
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case inQuote && c == '\\':
			p.i++
		case c == '"':
			inQuote = !inQuote
		case inQuote:
		case c == '>':
			p.i++
			return p.s[start : p.i-1]
		case c == ':' && route:
			start, route = p.i+1, false
		case (c == ',' || c == ';') && !route:
			return p.s[start:p.i]
		}
	}
	p.i = min(p.i, len(p.s))
	return p.s[start:p.i]
}

func buildAddress(pieces []piece, comments []string, angle string, hasAngle bool, source string) (Address, error) {
	name := strings.Join(comments, " ")
	if hasAngle {
		if phrase := joinPhrase(pieces); phrase != "" {
			name = phrase
		}
		addr := cleanSpec(angle)
		if addr == "" && strings.Trim(angle, " \t") != "" {
			return Address{}, badAddress(source)
		}
		return Address{Name: DecodeText(name), Addr: addr}, nil
	}
	if len(pieces) == 0 {
		return Address{}, nil
	}
	addr, rest := bareSpec(pieces)
	if addr == "" {
		return Address{}, badAddress(source)
	}
	if rest != "" {
		name = rest
	}
	return Address{Name: DecodeText(name), Addr: addr}, nil
}

func badAddress(source string) error {
	source = strings.TrimSpace(source)
	if len(source) > 100 {
		source = source[:100] + "…"
	}
	return fmt.Errorf("not an address: %q", source)
}

// joinPhrase puts a display name together.
func joinPhrase(pieces []piece) string {
	if len(pieces) == 1 {
		return strings.Trim(pieces[0].text, " \t")
	}
	var out strings.Builder
	for i, p := range pieces {
		if i > 0 && p.space {
			out.WriteByte(' ')
		}
		out.WriteString(p.text)
	}
	return strings.Trim(out.String(), " \t")
}

// bareSpec finds the address among pieces without angle brackets: all of them ("a . b @ c"), or the
// one with an @ among words ("Ann a@x"), whose words are the name then.
func bareSpec(pieces []piece) (addr, rest string) {
	if len(pieces) == 1 {
		return cleanSpec(specText(pieces)), ""
	}
	var groups [][]piece
	for _, p := range pieces {
		last := len(groups) - 1
		if last < 0 || p.space && !joinsSpec(groups[last], p) {
			groups = append(groups, []piece{p})
			continue
		}
		groups[last] = append(groups[last], p)
	}
	if len(groups) == 1 {
		return cleanSpec(specText(groups[0])), ""
	}
	var words []piece
	for _, g := range groups {
		if text := specText(g); addr == "" && strings.Contains(text, "@") {
			addr = cleanSpec(text)
			continue
		}
		words = append(words, g...)
	}
	if len(words) > 0 {
		words[0].space = true
	}
	return addr, joinPhrase(words)
}

// joinsSpec reports whether the space before p is one that obsolete syntax allows around "." and "@".
func joinsSpec(group []piece, p piece) bool {
	last := group[len(group)-1]
	return !p.quoted && strings.IndexByte(".@", p.text[0]) >= 0 ||
		!last.quoted && strings.IndexByte(".@", last.text[len(last.text)-1]) >= 0 && !strings.HasSuffix(last.text, "..")
}

// String returns the address for a header: RFC 2047 where needed, names quoted where needed. It never
// has a line end.
func (a Address) String() string {
	addr := strings.Map(dropControl, a.Addr)
	name := strings.Trim(strings.Map(dropControl, a.Name), " \t")
	switch {
	case name == "":
		if strings.ContainsAny(addr, "<>,;: ") && !strings.HasPrefix(addr, `"`) {
			return "<" + addr + ">"
		}
		return addr
	case !IsASCII(name) || strings.Contains(name, "=?"):
		name = EncodeWords(name)
	case !isPhrase(name):
		name = quote(name)
	}
	return name + " <" + addr + ">"
}

// isPhrase reports whether a name is words that need no quotes.
func isPhrase(name string) bool {
	for i := 0; i < len(name); i++ {
		if !isAtomChar(name[i]) && name[i] != ' ' {
			return false
		}
	}
	return !strings.Contains(name, "  ")
}

func dropControl(r rune) rune {
	if r < ' ' && r != '\t' || r == 0x7f {
		return -1
	}
	return r
}
