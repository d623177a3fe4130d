package mime

import "strings"

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
	if quoted && !isDotAtom(l) || strings.ContainsAny(l, " \t\",:;()[]\\") {
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

// isPlainSpec tells whether s is what nearly all programs write, which is clean as it stands: ASCII
// atoms and dots, and one "@" within or none.
func isPlainSpec(s string) bool {
	at := -1
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '@' && at < 0:
			at = i
		case c >= 0x80 || c != '.' && !isAtomChar(c):
			return false
		}
	}
	return s != "" && at != 0 && s[len(s)-1] != '@' && (at < 0 || s[len(s)-1] != '.')
}

// isDomain tells whether s has only characters of a domain or an address literal (RFC 5321 4.1.2).
func isDomain(s string) bool {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		return ok && inner != "" && !strings.ContainsAny(inner, "[]\\,;()")
	}
	return s != "" && !strings.ContainsAny(s, "[]\\,;:()")
}

// splitsWord tells whether the white space at s[i] stands between two words: obsolete syntax has it
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

// isDotAtom tells whether a local part needs no quotes (RFC 5321 4.1.2; RFC 6531 adds non-ASCII).
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

// String gives the address for a header: RFC 2047 where needed, names quoted where needed. It never
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
	case !isASCII(name) || strings.Contains(name, "=?"):
		name = encodeWords(name)
	case !isPhrase(name):
		name = quote(name)
	}
	return name + " <" + addr + ">"
}

// isPhrase tells whether a name is words that need no quotes.
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
