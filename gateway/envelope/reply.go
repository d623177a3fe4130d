package envelope

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Reply is an SMTP reply that refuses something (RFC 5321 4.2).
type Reply struct {
	Code     int
	Enhanced [3]int // RFC 3463
	Text     string // may contain \n, for a reply of several lines
}

// Error returns the reply as a client sees it.
func (r *Reply) Error() string {
	return fmt.Sprintf("%d %s %s", r.Code, r.Status(), r.Text)
}

// Status returns the enhanced code as text: "5.1.1".
func (r *Reply) Status() string {
	return fmt.Sprintf("%d.%d.%d", r.Enhanced[0], r.Enhanced[1], r.Enhanced[2])
}

// maxReplyText keeps a reply line within the 512 bytes of RFC 5321 4.5.3.1.5.
const maxReplyText = 480

// ParseReply parses a refusal: "550 text" or "550 5.7.1 text". Without an enhanced code it is 5.7.1 or
// 4.7.1. The error completes a sentence whose subject is s.
func ParseReply(s string) (Reply, error) {
	code, text, _ := strings.Cut(s, " ")
	n, err := strconv.Atoi(code)
	if err != nil || len(code) != 3 || n < 400 || n > 559 || n == 421 || n/10%10 > 5 {
		return Reply{}, fmt.Errorf("must begin with a reply code from 4xx or 5xx (but not 421), not %q", code)
	}
	reply := Reply{Code: n, Enhanced: [3]int{n / 100, 7, 1}}
	text = strings.TrimSpace(text)
	if first, rest, _ := strings.Cut(text, " "); strings.Count(first, ".") == 2 && strings.Trim(first, "0123456789.") == "" {
		enhanced, ok := ParseStatus(first)
		if !ok || enhanced[0] != n/100 {
			return Reply{}, fmt.Errorf("has the enhanced code %q, which does not match %d", first, n)
		}
		reply.Enhanced, text = enhanced, strings.TrimSpace(rest)
	}
	if text == "" {
		return Reply{}, errors.New("has no text after the code")
	}
	if len(text) > maxReplyText {
		return Reply{}, fmt.Errorf("must have at most %d bytes of text", maxReplyText)
	}
	for i := range len(text) {
		if text[i] < ' ' || text[i] > '~' {
			return Reply{}, errors.New("must be one line of ASCII text")
		}
	}
	reply.Text = text
	return reply, nil
}

// ParseStatus parses an enhanced code of RFC 3463: class "." subject "." detail.
func ParseStatus(s string) (code [3]int, ok bool) {
	parts := strings.Split(s, ".")
	if len(parts) != 3 {
		return code, false
	}
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 10, 16)
		if err != nil || n > 999 {
			return [3]int{}, false
		}
		code[i] = int(n)
	}
	return code, true
}
