// Package reply reads what a relay answers (RFC 5321 4.2): its code, its enhanced code and its words, and what a
// refusal means for the mail and for the relay.
package reply

import (
	"net/textproto"
	"strconv"
	"strings"

	"mailhatch/upstream"
)

// Reply is a reply of the relay (RFC 5321 4.2) with its enhanced code (RFC 2034).
type Reply struct {
	Code     int
	Enhanced string // "5.1.1", or ""
	Text     string // the relay's words in one line, fit for a log
}

// SetText joins the lines of a reply and takes the enhanced code off them, and secrets where it is a refusal: the
// words of another go no further.
func (r *Reply) SetText(lines []string, secrets *upstream.Redactor) {
	for i, line := range lines {
		code, rest, _ := strings.Cut(line, " ")
		if isEnhanced(code) && int(code[0]-'0') == r.Code/100 {
			r.Enhanced, lines[i] = code, rest
		}
	}
	r.Text = strings.Join(lines, " ")
	if r.Code >= 400 {
		r.Text = secrets.Redact(r.Text)
	}
	r.Text = Clean(r.Text)
}

// Of is a reply that package textproto has read.
func Of(e *textproto.Error, secrets *upstream.Redactor) Reply {
	r := Reply{Code: e.Code}
	r.SetText(strings.Split(secrets.Redact(e.Msg), "\n"), secrets)
	return r
}

// isEnhanced reports whether a string is class "." subject "." detail (RFC 3463 2).
func isEnhanced(s string) bool {
	if len(s) < 5 || s[1] != '.' || strings.IndexByte("245", s[0]) < 0 {
		return false
	}
	subject, detail, _ := strings.Cut(s[2:], ".")
	return isNumber(subject) && isNumber(detail)
}

// isNumber reports whether a string is one to three digits.
func isNumber(s string) bool {
	return len(s) >= 1 && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

// Clean makes words of the relay harmless for logs and terminals.
func Clean(s string) string {
	if isClean(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > MaxText {
		s = strings.ToValidUTF8(s[:MaxText], "") + "…"
	}
	return s
}

// isClean reports whether a string is printable ASCII with single blanks: most replies.
func isClean(s string) bool {
	blank := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f || blank && s[i] == ' ' {
			return false
		}
		blank = s[i] == ' '
	}
	return !blank && len(s) <= MaxText
}

// MaxText is how many bytes of a reply's words are kept.
const MaxText = 2000

// SplitLine splits a line: "250-text" (RFC 5321 4.2).
func SplitLine(line string) (code int, more bool, text string, ok bool) {
	line = strings.TrimRight(line, "\r\n")
	if len(line) < 3 {
		return 0, false, "", false
	}
	code, err := strconv.Atoi(line[:3])
	if err != nil || code < 100 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	if line[3] != ' ' && line[3] != '-' {
		return 0, false, "", false
	}
	return code, line[3] == '-', line[4:], true
}

// QueueID finds the relay's id in the reply to the final dot: "queued as ID" (Postfix and many
// others), "id=ID" (Exim), "Ok ID" (Amazon SES); "" when there is none.
func (r Reply) QueueID() string {
	words := strings.Fields(r.Text)
	for i, w := range words {
		if strings.EqualFold(w, "as") && i > 0 && strings.EqualFold(words[i-1], "queued") && i+1 < len(words) {
			return strings.TrimRight(words[i+1], ".,;")
		}
		if len(w) > 3 && strings.EqualFold(w[:3], "id=") {
			return w[3:]
		}
	}
	if len(words) == 2 && strings.EqualFold(words[0], "ok") && len(words[1]) >= 16 {
		return words[1]
	}
	return ""
}
