package smtp

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"os"
	"slices"
	"strings"
	"syscall"

	"mailhatch/upstream"
)

// reply is a reply of the relay (RFC 5321 4.2) with its enhanced code (RFC 2034).
type reply struct {
	code     int
	enhanced string // "5.1.1", or ""
	text     string // the relay's words in one line, fit for a log
}

// setText joins the lines of a reply and takes the enhanced code off them, and secrets where it is a refusal: the
// words of another go no further.
func (r *reply) setText(lines []string, secrets *upstream.Redactor) {
	for i, line := range lines {
		code, rest, _ := strings.Cut(line, " ")
		if isEnhanced(code) && int(code[0]-'0') == r.code/100 {
			r.enhanced, lines[i] = code, rest
		}
	}
	r.text = strings.Join(lines, " ")
	if r.code >= 400 {
		r.text = secrets.Redact(r.text)
	}
	r.text = clean(r.text)
}

func replyOf(e *textproto.Error, secrets *upstream.Redactor) reply {
	r := reply{code: e.Code}
	r.setText(strings.Split(secrets.Redact(e.Msg), "\n"), secrets)
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

// clean makes words of the relay harmless for logs and terminals.
func clean(s string) string {
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
	if len(s) > maxReplyText {
		s = strings.ToValidUTF8(s[:maxReplyText], "") + "…"
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
	return !blank && len(s) <= maxReplyText
}

// stage is the command that a reply answers.
type stage int

const (
	atConnect stage = iota // greeting, EHLO, STARTTLS
	atAuth
	atMail
	atRcpt
	atData
	atDot
)

// failure reports what a reply that is not a success means.
//
//	phase    4yz                     5yz
//	connect  Temporary, Connect      Temporary, Connect: it says nothing about any mail
//	auth     Temporary, Connect      Account; words about connections of ours: Throttled
//	others   Temporary               530 534 535 538 and words about login: Account
//	                                 words about our IP or account, "relay denied": Account
//	                                 words about the right to use this From: Account, Sender
//	                                 500 502 503: Temporary, the dialog went wrong and not the mail
//	                                 552 at RCPT without a mailbox code: Temporary (RFC 5321 4.5.3.1.10)
//	                                 552, 5.3.4, 5.2.3 and words about the size: Unrepresentable
//	                                 the rest: Permanent
//
// 4.3.x of the relay's own system at MAIL, DATA and the dot is Outage too.
// Words about rate or quota of ours make either Throttled. Words are not asked where the enhanced
// code speaks of an address or a mailbox (x.1.x, x.2.x). Any other code is Temporary; after the
// final dot the caller makes it Uncertain.
func (r reply) failure(phase stage) *upstream.Error {
	e := &upstream.Error{Class: upstream.Temporary, Status: r.code, Code: r.enhanced, Err: errors.New(r.text)}
	if r.text == "" {
		e.Err = errors.New("the relay gave no reason")
	}
	e.Connect = phase <= atAuth
	switch {
	case r.isThrottle(phase):
		e.Class, e.Connect = upstream.Throttled, false
	case r.isOutage(phase):
		e.Outage = true
	case r.code/100 != 5 || phase == atConnect:
	case phase == atAuth:
		e.Class, e.Connect = upstream.Account, false
	default:
		e.Class, e.Sender = r.refusal(phase)
	}
	return e
}

// refusal classifies a 5yz reply of a transaction.
func (r reply) refusal(phase stage) (class upstream.Class, sender bool) {
	switch r.code {
	case 530, 534, 535, 538: // RFC 3207, RFC 4954
		return upstream.Account, false
	}
	if !r.isMailbox() {
		words := strings.ToLower(r.text)
		switch {
		case hasAny(words, "authentication required", "authentication is required", "not authenticated", "must authenticate",
			"authenticate first", "auth first", "requires authentication", "starttls first", "must issue a starttls"):
			return upstream.Account, false
		case r.enhanced == "5.7.60" || hasAny(words, "not owned by user", "send as this sender", "sendasdenied",
			"not allowed to send as", "not verified", "verified sender", "not authorized to send from", "not allowed to send from"):
			return upstream.Account, true
		case strings.Contains(words, "relay") && hasAny(words, "denied", "not permitted", "not allowed",
			"unable", "cannot", "prohibited", "do not", "refuse"):
			// At RCPT it may be only this mail that has no business here.
			return upstream.Account, phase == atRcpt
		case phase != atDot && hasAny(words, "client host", "blocked using", "your ip", "ip address"):
			return upstream.Account, false
		case phase != atRcpt && strings.Contains(words, "account") &&
			hasAny(words, "suspended", "disabled", "not active", "inactive", "deactivated", "expired"):
			return upstream.Account, false
		}
	}
	switch {
	case r.code == 500 || r.code == 502 || r.code == 503:
		return upstream.Temporary, false
	case r.tooManyRecipients(phase):
		return upstream.Temporary, false
	case r.isTooLarge():
		return upstream.Unrepresentable, false
	}
	return upstream.Permanent, false
}

// isTooLarge finds limits of the relay, or of the mailbox, on the size of a message (RFC 1870 6, RFC 3463 3.3 and 3.4).
func (r reply) isTooLarge() bool {
	switch r.enhanced {
	case "5.3.4", "5.2.3":
		return true
	case "":
		if r.code == 552 {
			return true
		}
	}
	return !r.isMailbox() && upstream.SaysTooLarge(r.text)
}

// isMailbox reports whether the enhanced code is about an address or a mailbox (RFC 3463 3.2, 3.3).
func (r reply) isMailbox() bool {
	return len(r.enhanced) > 3 && (r.enhanced[2:4] == "1." || r.enhanced[2:4] == "2.")
}

// tooManyRecipients is the reply to one RCPT more than the relay takes at once (RFC 5321 4.5.3.1.10), or to a mail
// that has more recipients than it takes: fewer would go.
func (r reply) tooManyRecipients(phase stage) bool {
	if phase < atRcpt || r.code < 400 || r.isMailbox() {
		return false
	}
	if phase == atRcpt && (r.code == 452 || r.code == 552) && (r.enhanced == "" || strings.HasSuffix(r.enhanced, ".5.3")) {
		return !r.namesPeriod()
	}
	words := strings.ToLower(r.text)
	about := strings.HasSuffix(r.enhanced, ".5.3") || hasAny(words, "too many recipients", "too many rcpt", "recipient count", "recipients count",
		"number of recipients", "recipient limit", "recipients limit", "recipients per message")
	return about && strings.Contains(words, "recip") && !r.namesPeriod()
}

// namesPeriod reports whether a limit is one of a time: to divide the mail does not help against it.
func (r reply) namesPeriod() bool {
	return hasAny(strings.ToLower(r.text), "per second", "per minute", "per hour", "per day", "per 24", "/hour", "/day", "hourly", "daily",
		"24-hour", "24 hour", "this hour", "today", "rate limit", "rate exceeded", "recipient rate")
}

// throttleCodes are enhanced codes that mean a limit of ours, as
// https://learn.microsoft.com/exchange/mail-flow-best-practices/non-delivery-reports-in-exchange-online/non-delivery-reports-in-exchange-online
// and https://support.google.com/a/answer/3726730 list them.
var throttleCodes = []string{"4.7.28", "5.4.5", "5.1.90", "5.7.232", "5.7.233"}

// throttleWords are about how fast or how much we send, whether the code is a temporary one or, as many shared
// hosts have it, a final one.
var throttleWords = []string{
	"rate limit", "ratelimit", "rate-limit", "rate exceeded", "exceeded the rate", "throttl", "slow down", // "554 5.7.1 Rate limit exceeded"
	"too many messages", "too many emails", "too many mails", "too much mail", "too many requests", "sending too", // "550 Sending too many emails"
	"sending limit", "sending quota", "sending rate", "sent limit", "mail send limit", // "550 5.4.5 Daily user sending limit exceeded"
	"daily quota", "message quota", "mail quota exceeded", "submission quota", // "554 5.7.1 Message quota exceeded" (policyd)
	"relay limit", "outgoing limit", "outbound limit", "defers and failures", // "550 … max defers and failures per hour" (cPanel)
}

// isThrottle finds limits on how fast or how much we send.
func (r reply) isThrottle(phase stage) bool {
	final := r.code/100 == 5
	switch {
	case r.code < 400 || final && phase == atConnect:
		return false
	case final && phase == atAuth: // "535 5.7.8 Too many connections per account", https://help.mailtrap.io/article/100-sending-limits
		return hasAny(strings.ToLower(r.text), "too many connections", "too many concurrent", "concurrent connections")
	case slices.Contains(throttleCodes, r.enhanced), r.code == 421 && r.enhanced == "4.7.0": // Google's; others use it likewise
		return true
	case r.isMailbox() || r.tooManyRecipients(phase):
		return false
	}
	words := strings.ToLower(r.text)
	switch {
	case hasAny(words, throttleWords...):
		return true
	case r.namesPeriod() && hasAny(words, "limit", "quota", "exceed", "maximum", "too many"): // "550 … exceeded the max emails per hour" (cPanel)
		return true
	}
	return !final && (hasAny(words, "too many connections", "too many concurrent") || phase != atRcpt && strings.Contains(words, "quota exceeded"))
}

// isOutage finds failures of the relay's own system (RFC 3463 3.4), such as a full disk: it meets all mail
// alike. At RCPT it may be that of one destination only.
func (r reply) isOutage(phase stage) bool {
	if r.code/100 != 4 || (phase != atMail && phase != atData && phase != atDot) {
		return false
	}
	switch r.enhanced {
	case "4.3.0", "4.3.1", "4.3.2", "4.3.5":
		return true
	case "":
		return r.code == 452 && phase != atDot // insufficient system storage (RFC 5321 4.2.3)
	}
	return false
}

func hasAny(s string, words ...string) bool {
	for _, w := range words {
		if strings.Contains(s, w) {
			return true
		}
	}
	return false
}

// dialError reports why the relay cannot be spoken to: always Temporary, whatever it is.
func (u *relay) dialError(err error) *upstream.Error {
	var refused *textproto.Error
	if errors.As(err, &refused) {
		e := replyOf(refused, u.secrets).failure(atConnect)
		e.Err = fmt.Errorf("%s: %w", u.address(), e.Err)
		return e
	}
	return &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("cannot speak to %s: %w", u.address(), u.secrets.Error(err))}
}

// address is host and port for messages.
func (u *relay) address() string { return net.JoinHostPort(u.host, fmt.Sprint(u.port)) }

// isNetwork reports whether err is a failure of the connection.
func isNetwork(err error) bool {
	var network net.Error
	var errno syscall.Errno
	var alert tls.AlertError
	var record tls.RecordHeaderError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.Canceled) || errors.As(err, &network) ||
		errors.As(err, &errno) || errors.As(err, &alert) || errors.As(err, &record)
}
