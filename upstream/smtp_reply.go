package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"strings"
	"syscall"
)

// smtpReply is a reply of the relay (RFC 5321 4.2) with its enhanced code (RFC 2034).
type smtpReply struct {
	code     int
	enhanced string // "5.1.1", or ""
	text     string // the relay's words in one line, fit for a log
}

// setText joins the lines of a reply and takes the enhanced code off them.
func (r *smtpReply) setText(lines []string) {
	for i, line := range lines {
		code, rest, _ := strings.Cut(line, " ")
		if smtpIsEnhanced(code) && int(code[0]-'0') == r.code/100 {
			r.enhanced, lines[i] = code, rest
		}
	}
	r.text = smtpClean(strings.Join(lines, " "))
}

func smtpReplyOf(e *textproto.Error) smtpReply {
	r := smtpReply{code: e.Code}
	r.setText(strings.Split(e.Msg, "\n"))
	return r
}

// smtpIsEnhanced knows class "." subject "." detail (RFC 3463 2).
func smtpIsEnhanced(s string) bool {
	if len(s) < 5 || s[1] != '.' || strings.IndexByte("245", s[0]) < 0 {
		return false
	}
	subject, detail, _ := strings.Cut(s[2:], ".")
	return smtpIsNumber(subject) && smtpIsNumber(detail)
}

// smtpIsNumber knows one to three digits.
func smtpIsNumber(s string) bool {
	return len(s) >= 1 && len(s) <= 3 && strings.Trim(s, "0123456789") == ""
}

// smtpClean makes words of the relay harmless for logs and terminals.
func smtpClean(s string) string {
	if smtpIsClean(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if r < ' ' || (r >= 0x7f && r < 0xa0) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > smtpReplyText {
		s = strings.ToValidUTF8(s[:smtpReplyText], "") + "…"
	}
	return s
}

// smtpIsClean knows printable ASCII with single blanks: most replies.
func smtpIsClean(s string) bool {
	blank := true
	for i := range len(s) {
		if s[i] < ' ' || s[i] >= 0x7f || blank && s[i] == ' ' {
			return false
		}
		blank = s[i] == ' '
	}
	return !blank && len(s) <= smtpReplyText
}

// smtpPhase is the command that a reply answers.
type smtpPhase int

const (
	smtpAtConnect smtpPhase = iota // greeting, EHLO, STARTTLS
	smtpAtAuth
	smtpAtMail
	smtpAtRcpt
	smtpAtData
	smtpAtDot
)

// failure says what a reply that is no success means.
//
//	phase    4yz                     5yz
//	connect  Temporary, Connect      Temporary, Connect: it says nothing about any mail
//	auth     Temporary, Connect      Account
//	others   Temporary               530 534 535 538 and words about login: Account
//	                                 words about our IP or account, "relay denied": Account
//	                                 words about the right to use this From: Account, Sender
//	                                 500 502 503: Temporary, the dialog went wrong and not the mail
//	                                 552 at RCPT without a mailbox code: Temporary (RFC 5321 4.5.3.1.10)
//	                                 the rest: Permanent
//
// 4.3.x of the relay's own system at MAIL, DATA and the dot is Ailing too.
// Words about rate or quota of ours make either Throttled. Words are not asked where the enhanced
// code speaks of an address or a mailbox (x.1.x, x.2.x). Any other code is Temporary; after the
// final dot the caller makes it Uncertain.
func (r smtpReply) failure(phase smtpPhase) *Error {
	e := &Error{Class: Temporary, Status: r.code, Code: r.enhanced, Err: errors.New(r.text)}
	if r.text == "" {
		e.Err = errors.New("the relay gave no reason")
	}
	e.Connect = phase <= smtpAtAuth
	switch {
	case r.isThrottle(phase):
		e.Class, e.Connect = Throttled, false
	case r.isAiling(phase):
		e.Ailing = true
	case r.code/100 != 5 || phase == smtpAtConnect:
	case phase == smtpAtAuth:
		e.Class, e.Connect = Account, false
	default:
		e.Class, e.Sender = r.refusal(phase)
	}
	return e
}

// refusal classifies a 5yz reply of a transaction.
func (r smtpReply) refusal(phase smtpPhase) (class Class, sender bool) {
	switch r.code {
	case 530, 534, 535, 538: // RFC 3207, RFC 4954
		return Account, false
	}
	if !r.isMailbox() {
		words := strings.ToLower(r.text)
		switch {
		case smtpHasAny(words, "authentication required", "authentication is required", "not authenticated", "must authenticate",
			"authenticate first", "auth first", "requires authentication", "starttls first", "must issue a starttls"):
			return Account, false
		case r.enhanced == "5.7.60" || smtpHasAny(words, "not owned by user", "send as this sender", "sendasdenied",
			"not allowed to send as", "not verified", "verified sender", "not authorized to send from", "not allowed to send from"):
			return Account, true
		case strings.Contains(words, "relay") && smtpHasAny(words, "denied", "not permitted", "not allowed",
			"unable", "cannot", "prohibited", "do not", "refuse"):
			// At RCPT it may be only this mail that has no business here.
			return Account, phase == smtpAtRcpt
		case phase != smtpAtDot && smtpHasAny(words, "client host", "blocked using", "your ip", "ip address"):
			return Account, false
		case phase != smtpAtRcpt && strings.Contains(words, "account") &&
			smtpHasAny(words, "suspended", "disabled", "not active", "inactive", "deactivated", "expired"):
			return Account, false
		}
	}
	switch {
	case r.code == 500 || r.code == 502 || r.code == 503:
		return Temporary, false
	case r.tooManyRecipients(phase):
		return Temporary, false
	}
	return Permanent, false
}

// isMailbox says that the enhanced code is about an address or a mailbox (RFC 3463 3.2, 3.3).
func (r smtpReply) isMailbox() bool {
	return len(r.enhanced) > 3 && (r.enhanced[2:4] == "1." || r.enhanced[2:4] == "2.")
}

// tooManyRecipients is the reply to one RCPT more than the relay takes at once (RFC 5321 4.5.3.1.10).
func (r smtpReply) tooManyRecipients(phase smtpPhase) bool {
	if phase != smtpAtRcpt || (r.code != 452 && r.code != 552) {
		return false
	}
	return r.enhanced == "" || strings.HasSuffix(r.enhanced, ".5.3")
}

// isThrottle finds limits on how fast or how much we send.
func (r smtpReply) isThrottle(phase smtpPhase) bool {
	if (r.code/100 != 4 && r.code/100 != 5) || r.isMailbox() || r.tooManyRecipients(phase) {
		return false
	}
	words := strings.ToLower(r.text)
	ours := smtpHasAny(words, "sending limit", "sending quota", "sending rate", "daily quota", "message quota")
	if r.code/100 == 5 {
		return phase != smtpAtAuth && phase != smtpAtConnect && (r.enhanced == "5.4.5" || ours)
	}
	switch {
	case r.enhanced == "4.7.28", r.code == 421 && r.enhanced == "4.7.0": // Google's; others use them likewise
		return true
	case phase != smtpAtRcpt && strings.Contains(words, "quota exceeded"):
		return true
	}
	return ours || smtpHasAny(words, "rate limit", "ratelimit", "rate-limit", "rate exceeded", "throttl", "too many connections",
		"too many concurrent", "too many messages", "too many emails", "too many mails", "too much mail", "slow down")
}

// isAiling finds trouble of the relay's own system (RFC 3463 3.4), such as a full disk: it meets all mail
// alike. At RCPT it may be that of one destination only.
func (r smtpReply) isAiling(phase smtpPhase) bool {
	if r.code/100 != 4 || (phase != smtpAtMail && phase != smtpAtData && phase != smtpAtDot) {
		return false
	}
	switch r.enhanced {
	case "4.3.0", "4.3.1", "4.3.2", "4.3.5":
		return true
	case "":
		return r.code == 452 && phase != smtpAtDot // insufficient system storage (RFC 5321 4.2.3)
	}
	return false
}

func smtpHasAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// dialError says why the relay cannot be spoken to: always Temporary, whatever it is.
func (u *smtpRelay) dialError(err error) *Error {
	var refused *textproto.Error
	if errors.As(err, &refused) {
		r := smtpReplyOf(refused)
		r.text = u.redact(r.text)
		e := r.failure(smtpAtConnect)
		e.Err = fmt.Errorf("%s: %w", u.address(), e.Err)
		return e
	}
	return &Error{Class: Temporary, Connect: true, Err: fmt.Errorf("cannot speak to %s: %w", u.address(), err)}
}

// address is host and port for messages.
func (u *smtpRelay) address() string { return net.JoinHostPort(u.host, fmt.Sprint(u.port)) }

// smtpIsNetwork tells trouble of the connection from other errors.
func smtpIsNetwork(err error) bool {
	var network net.Error
	var errno syscall.Errno
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &network) ||
		errors.As(err, &errno) || errors.As(err, &alert) || errors.As(err, &record)
}
