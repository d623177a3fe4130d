package smtpd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"mailhatch/mime"
)

var errBrackets = errors.New("angle brackets do not match")

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

// cutPath splits a path from the parameters behind it. Angle brackets may be missing, or stand around others
// with a display name before them: the address in the innermost counts, as for Postfix.
func cutPath(s string) (text, rest string, err error) {
	if s == "" {
		return "", "", mime.ErrNoAddress
	}
	depth, start, end := 0, 0, -1 // s[start:end] is in the innermost brackets
	quoted, named := false, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		isBlank := c == ' ' || c == '\t'
		switch {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ' ' && s[0] != '<':
			return s[:i], s[i+1:], nil
		case c == '<' && (i > 0 && depth == 0 || end >= 0 || named):
			return "", "", errBrackets
		case c == '<':
			depth, start = depth+1, i+1
		case c == '>' && depth == 0 || end >= 0 && c != '>' && !isBlank:
			return "", "", errBrackets
		case c == '>':
			if end < 0 {
				end = i
			}
			if depth--; depth == 0 {
				return cutBrackets(s[start:end], s[i+1:])
			}
		case c == '@' && depth > 0:
			named = true // nothing that looks like an address may stand before the brackets
		}
	}
	if quoted || depth > 0 {
		return "", "", errBrackets
	}
	return s, "", nil
}

// cutBrackets checks what follows a path in brackets.
func cutBrackets(text, rest string) (string, string, error) {
	if rest != "" && rest[0] != ' ' && rest[0] != '\t' {
		return "", "", errBrackets
	}
	return strings.TrimSpace(text), rest, nil
}

// setPath parses the path of MAIL or RCPT, or refuses the command with that enhanced code.
func (f *front) setPath(text, status string) bool {
	f.address, f.bare = oneLine(text), "" // for the event of a refusal
	p, err := mime.ParsePath(text, f.cfg.Domain)
	if err != nil {
		f.refuseCommand("501 " + status + " " + sentence(err))
		return false
	}
	if !p.IsASCII() && !f.utf8 {
		f.refuseCommand("553 5.6.7 The address needs SMTPUTF8")
		return false
	}
	f.address, f.bare = p.String(), p.Bare
	return true
}

// sentence returns the text of an error as a reply has it.
func sentence(err error) string {
	text := err.Error()
	return strings.ToUpper(text[:1]) + text[1:]
}

// mailParams checks the ESMTP parameters of MAIL.
func (f *front) mailParams(text string) (params, reply string) {
	f.utf8 = false
	for _, p := range strings.Fields(text) {
		key, value, _ := strings.Cut(p, "=")
		switch strings.ToUpper(key) {
		case "SMTPUTF8":
			f.utf8 = true
		case "SIZE":
			// go-smtp knows no more than 32 bits.
			n, err := strconv.ParseUint(value, 10, 63)
			tooBig := err == nil && f.cfg.MaxMessage > 0 && n > uint64(f.cfg.MaxMessage)
			if tooBig || err != nil && isDigits(value) {
				return "", tooBigReply(f.cfg.MaxMessage)
			}
			if err == nil && n > 1<<32-1 {
				text = strings.Replace(text, p, "", 1)
			}
		case "AUTH":
			text = strings.Replace(text, p, "", 1) // RFC 4954 5: may be taken for AUTH=<>
		}
	}
	return cutParams(text, "SIZE BODY SMTPUTF8 RET ENVID")
}

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func tooBigReply(limit int64) string {
	return fmt.Sprintf("552 5.3.4 Message too big: the limit is %d bytes", limit)
}

// cutParams lets only the known ESMTP parameters through, each once (RFC 5321 4.1.1.11: 555).
func cutParams(text, known string) (params, reply string) {
	seen := map[string]bool{}
	var b strings.Builder
	for _, p := range strings.Fields(text) {
		key, _, _ := strings.Cut(p, "=")
		key = strings.ToUpper(key)
		if !strings.Contains(" "+known+" ", " "+key+" ") {
			return "", "555 5.5.4 Unknown parameter"
		}
		if seen[key] {
			return "", "501 5.5.4 " + key + " is given twice"
		}
		if strings.ContainsFunc(p, func(r rune) bool { return r > unicode.MaxASCII }) {
			return "", "501 5.5.4 Malformed " + key
		}
		seen[key] = true
		b.WriteString(" " + p)
	}
	return b.String(), ""
}
