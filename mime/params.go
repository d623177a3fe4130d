package mime

import (
	"sort"
	"strconv"
	"strings"

	"mailhatch/mime/charset"
)

// maxParams is more than any header has; RFC 2231 continuations count singly.
const maxParams = 500

// parseValue parses a value with parameters (RFC 2045 5.1, RFC 2183 2): the token before the first
// semicolon in lower case and the parameters, nil when there are none: names in lower case, values
// decoded (RFC 2231, and RFC 2047 as many programs write against the standard). Broken syntax is read as far as it makes
// sense: missing quotes, raw 8-bit text, missing semicolons.
func parseValue(s string) (token string, params map[string]string) {
	p := &valueParser{s: s}
	token = strings.ToLower(p.token())
	var sections map[string][]section
	for i := 0; i < maxParams && p.next(); i++ {
		name, value, quoted := p.param()
		if name == "" {
			continue
		}
		base, sec, extended := parseParamName(name)
		if !extended && sec.n < 0 {
			if params == nil {
				params = map[string]string{}
			}
			if _, dup := params[base]; !dup {
				params[base] = DecodeText(value)
			}
			continue
		}
		sec.value, sec.quoted = value, quoted
		if sections == nil {
			sections = map[string][]section{}
		}
		sections[base] = append(sections[base], sec)
	}
	if params == nil && sections != nil {
		params = map[string]string{}
	}
	for base, list := range sections {
		if v, ok := joinSections(list); ok {
			params[base] = v
		}
	}
	return token, params
}

// section is a piece of an RFC 2231 parameter.
type section struct {
	n       int // -1: not continued
	encoded bool
	quoted  bool
	value   string
}

// parseParamName splits "filename*0*".
func parseParamName(name string) (base string, sec section, extended bool) {
	base, rest, star := strings.Cut(name, "*")
	sec.n = -1
	if !star {
		return base, sec, false
	}
	digits, encoded := strings.CutSuffix(rest, "*")
	if rest == "" {
		sec.encoded = true
		return base, sec, true
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n < 0 {
		return name, sec, false // some other name with a star in it
	}
	sec.n, sec.encoded = n, encoded
	return base, sec, true
}

// joinSections puts an RFC 2231 parameter together: percent-encoded pieces share the charset that
// the first one names.
func joinSections(list []section) (string, bool) {
	sort.SliceStable(list, func(i, j int) bool { return list[i].n < list[j].n })
	if list[0].n == -1 {
		list = list[:1] // the whole value in one piece wins
	}
	var data []byte
	label, extended := "", false
	for i, sec := range list {
		if i > 0 && sec.n == list[i-1].n {
			continue
		}
		v := sec.value
		if !sec.encoded {
			data = append(data, v...)
			continue
		}
		if i == 0 {
			extended = true
			if parts := strings.SplitN(v, "'", 3); len(parts) == 3 {
				label, v = parts[0], parts[2]
			}
		}
		data = append(data, decodeHex(v, '%')...)
	}
	if !extended {
		return DecodeText(string(data)), true
	}
	text, _ := charset.Decode(data, label)
	return clean(text), true
}

// valueParser walks through a structured value.
type valueParser struct {
	s        string
	i        int
	unclosed bool // a comment that never ends was seen: brackets are plain characters
}

// token reads up to white space, a semicolon or a comment.
func (p *valueParser) token() string {
	p.skipSpace()
	start := p.i
	for p.i < len(p.s) && strings.IndexByte("; \t(", p.s[p.i]) < 0 {
		p.i++
	}
	return strings.Trim(p.s[start:p.i], "\"'")
}

// next moves to the next parameter; false at the end.
func (p *valueParser) next() bool {
	for p.i < len(p.s) {
		p.skipSpace()
		if p.i >= len(p.s) || p.s[p.i] != ';' {
			break
		}
		p.i++
	}
	return p.i < len(p.s)
}

// param reads name=value.
func (p *valueParser) param() (name, value string, quoted bool) {
	start := p.i
	for p.i < len(p.s) && p.s[p.i] != '=' && p.s[p.i] != ';' {
		p.i++
	}
	name = strings.ToLower(strings.Trim(p.s[start:p.i], " \t\""))
	if p.i >= len(p.s) || p.s[p.i] != '=' {
		return "", "", false
	}
	if j := strings.LastIndexAny(name, " \t"); j >= 0 { // rubbish or a comment before the name
		name = name[j+1:]
	}
	p.i++
	p.skipSpace()
	if p.i < len(p.s) && p.s[p.i] == '"' {
		if v, ok := p.quotedString(); ok {
			return name, v, true
		}
	}
	return name, p.bare(), false
}

// quotedString reads RFC 5322 3.2.4. A backslash escapes only a quote or a backslash: Windows paths
// come with bare ones.
func (p *valueParser) quotedString() (string, bool) {
	var out strings.Builder
	for i := p.i + 1; i < len(p.s); i++ {
		c := p.s[i]
		if c == '\\' && i+1 < len(p.s) && (p.s[i+1] == '"' || p.s[i+1] == '\\') {
			i++
			out.WriteByte(p.s[i])
			continue
		}
		if c == '"' {
			p.i = i + 1
			return out.String(), true
		}
		out.WriteByte(c)
	}
	return "", false
}

// bare reads a value without quotes up to the semicolon, white space within it included: "my
// file.pdf". What looks like another parameter ends it.
func (p *valueParser) bare() string {
	start := p.i
	for p.i < len(p.s) && p.s[p.i] != ';' {
		if isSpace(p.s[p.i]) && (looksLikeParam(p.s[p.i:]) || strings.HasPrefix(p.s[p.i+1:], "(")) {
			break
		}
		p.i++
	}
	return strings.Trim(p.s[start:p.i], " \t\"")
}

// looksLikeParam reports whether white space is followed by a known parameter, its semicolon forgotten.
func looksLikeParam(s string) bool {
	s = strings.ToLower(strings.TrimLeft(s[:min(len(s), 40)], " \t"))
	for _, name := range []string{"charset=", "name=", "filename=", "boundary=", "format=", "name*", "filename*"} {
		if strings.HasPrefix(s, name) {
			return true
		}
	}
	return false
}

// skipSpace skips white space and comments.
func (p *valueParser) skipSpace() {
	for p.i < len(p.s) {
		switch {
		case isBlank(p.s[p.i]):
			p.i++
		case p.s[p.i] == '(':
			n := 0
			if !p.unclosed {
				n = commentLength(p.s[p.i:])
			}
			p.unclosed = p.unclosed || n == 0
			p.i += max(n, 1)
		default:
			return
		}
	}
}

// commentLength is the length of the comment at the start of s (RFC 5322 3.2.2), 0 when it never
// ends. Comments longer than any real one count as unended.
func commentLength(s string) int {
	const longest = 10_000
	depth := 0
	for i := 0; i < len(s) && i < longest; i++ {
		switch s[i] {
		case '\\':
			i++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return i + 1
			}
		}
	}
	return 0
}

// TokenLength returns the length of the quoted string, comment, angle address or address literal that s
// begins with (RFC 5322 3.2.2, 3.2.4, 3.4): all of s where it never ends. Of any other character it is 1.
func TokenLength(s string) int {
	var end byte
	switch s[0] {
	case '(':
		if n := commentLength(s); n > 0 {
			return n
		}
		return len(s)
	case '"':
		end = '"'
	case '<':
		end = '>'
	case '[':
		end = ']'
	default:
		return 1
	}
	for i := 1; i < len(s); {
		switch c := s[i]; {
		case c == end:
			return i + 1
		case c == '\\':
			i += 2
		case s[0] == '<' && (c == '"' || c == '('):
			i += TokenLength(s[i:])
		default:
			i++
		}
	}
	return len(s)
}
