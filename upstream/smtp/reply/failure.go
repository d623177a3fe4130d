package reply

import (
	"errors"
	"regexp"
	"slices"
	"strings"

	"mailhatch/upstream"
)

// Stage is the command that a reply answers.
type Stage int

const (
	AtConnect Stage = iota // greeting, EHLO, STARTTLS
	AtAuth
	AtMail
	AtRcpt
	AtData
	AtDot
)

// Failure reports what a reply that is not a success means.
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
func (r Reply) Failure(phase Stage) *upstream.Error {
	e := &upstream.Error{Class: upstream.Temporary, Status: r.Code, Code: r.Enhanced, Err: errors.New(r.Text)}
	if r.Text == "" {
		e.Err = errors.New("the relay gave no reason")
	}
	r.Text = addresses.ReplaceAllString(r.Text, "x") // their names may be any words
	e.Connect = phase <= AtAuth
	switch {
	case r.isThrottle(phase):
		e.Class, e.Connect = upstream.Throttled, false
	case r.isOutage(phase):
		e.Outage = true
	case r.Code/100 != 5 || phase == AtConnect:
	case phase == AtAuth:
		e.Class, e.Connect = upstream.Account, false
	default:
		e.Class, e.Sender = r.refusal(phase)
	}
	return e
}

// Refusal reports what a refusal of a mail's content means: Failure at the final dot, except that one which only repeats
// the mail closes no upstream.
func (r Reply) Refusal(m *upstream.Mail) *upstream.Error {
	e := r.Failure(AtDot)
	if e.Class.Closes() {
		own := r
		own.Text = m.WithoutEcho(r.Text)
		if !own.Failure(AtDot).Class.Closes() {
			e.Class, e.Sender = upstream.Temporary, false
		}
	}
	return e
}

var addresses = regexp.MustCompile(`<[^>]*>|"[^"]*"@\S*|\S*@\S*`)

// refusal classifies a 5yz reply of a transaction.
func (r Reply) refusal(phase Stage) (class upstream.Class, sender bool) {
	switch r.Code {
	case 530, 534, 535, 538: // RFC 3207, RFC 4954
		return upstream.Account, false
	}
	if !r.isMailbox() {
		words := strings.ToLower(r.Text)
		switch {
		case hasAny(words, "authentication required", "authentication is required", "not authenticated", "must authenticate",
			"authenticate first", "auth first", "requires authentication", "starttls first", "must issue a starttls"):
			return upstream.Account, false
		case r.Enhanced == "5.7.60" || hasAny(words, "not owned by user", "send as this sender", "sendasdenied",
			"not allowed to send as", "not verified", "verified sender", "not authorized to send from", "not allowed to send from"):
			return upstream.Account, true
		case strings.Contains(words, "relay") && hasAny(words, "denied", "not permitted", "not allowed",
			"unable", "cannot", "prohibited", "do not", "refuse"):
			// At RCPT it may be only this mail that has no business here.
			return upstream.Account, phase == AtRcpt
		case phase != AtDot && hasAny(words, "client host", "blocked using", "your ip", "ip address"):
			return upstream.Account, false
		case phase != AtRcpt && strings.Contains(words, "account") &&
			hasAny(words, "suspended", "disabled", "not active", "inactive", "deactivated", "expired"):
			return upstream.Account, false
		}
	}
	switch {
	case r.Code == 500 || r.Code == 502 || r.Code == 503:
		return upstream.Temporary, false
	case r.TooManyRecipients(phase):
		return upstream.Temporary, false
	case r.isTooLarge():
		return upstream.Unrepresentable, false
	}
	return upstream.Permanent, false
}

// isTooLarge finds limits of the relay, or of the mailbox, on the size of a message (RFC 1870 6, RFC 3463 3.3 and 3.4).
func (r Reply) isTooLarge() bool {
	switch r.Enhanced {
	case "5.3.4", "5.2.3":
		return true
	case "":
		if r.Code == 552 {
			return true
		}
	}
	return !r.isMailbox() && upstream.SaysTooLarge(r.Text)
}

// isMailbox reports whether the enhanced code is about an address or a mailbox (RFC 3463 3.2, 3.3).
func (r Reply) isMailbox() bool {
	return len(r.Enhanced) > 3 && (r.Enhanced[2:4] == "1." || r.Enhanced[2:4] == "2.")
}

// TooManyRecipients is the reply to one RCPT more than the relay takes at once (RFC 5321 4.5.3.1.10), or to a mail
// that has more recipients than it takes: fewer would go.
func (r Reply) TooManyRecipients(phase Stage) bool {
	if phase < AtRcpt || r.Code < 400 || r.isMailbox() {
		return false
	}
	if phase == AtRcpt && (r.Code == 452 || r.Code == 552) && (r.Enhanced == "" || strings.HasSuffix(r.Enhanced, ".5.3")) {
		return !r.namesPeriod()
	}
	words := strings.ToLower(r.Text)
	about := strings.HasSuffix(r.Enhanced, ".5.3") || hasAny(words, "too many recipients", "too many rcpt", "recipient count", "recipients count",
		"number of recipients", "recipient limit", "recipients limit", "recipients per message")
	return about && strings.Contains(words, "recip") && !r.namesPeriod()
}

// namesPeriod reports whether a limit is one of a time: to divide the mail does not help against it.
func (r Reply) namesPeriod() bool {
	return hasAny(strings.ToLower(r.Text), "per second", "per minute", "per hour", "per day", "per 24", "/hour", "/day", "hourly", "daily",
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
func (r Reply) isThrottle(phase Stage) bool {
	final := r.Code/100 == 5
	switch {
	case r.Code < 400 || final && phase == AtConnect:
		return false
	case final && phase == AtAuth: // "535 5.7.8 Too many connections per account", https://help.mailtrap.io/article/100-sending-limits
		return hasAny(strings.ToLower(r.Text), "too many connections", "too many concurrent", "concurrent connections")
	case slices.Contains(throttleCodes, r.Enhanced), r.Code == 421 && r.Enhanced == "4.7.0": // Google's; others use it likewise
		return true
	case r.isMailbox() || r.TooManyRecipients(phase):
		return false
	}
	words := strings.ToLower(r.Text)
	switch {
	case hasAny(words, throttleWords...):
		return true
	case r.namesPeriod() && hasAny(words, "limit", "quota", "exceed", "maximum", "too many"): // "550 … exceeded the max emails per hour" (cPanel)
		return true
	}
	return !final && (hasAny(words, "too many connections", "too many concurrent") || phase != AtRcpt && strings.Contains(words, "quota exceeded"))
}

// isOutage finds failures of the relay's own system (RFC 3463 3.4), such as a full disk: it meets all mail
// alike. At RCPT it may be that of one destination only.
func (r Reply) isOutage(phase Stage) bool {
	if r.Code/100 != 4 || (phase != AtMail && phase != AtData && phase != AtDot) {
		return false
	}
	switch r.Enhanced {
	case "4.3.0", "4.3.1", "4.3.2", "4.3.5":
		return true
	case "":
		return r.Code == 452 && phase != AtDot // insufficient system storage (RFC 5321 4.2.3)
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

// Fits reports whether a reply can be one to a command of this stage: 2yz to MAIL and RCPT, 354 to DATA, or a refusal.
func (r Reply) Fits(phase Stage) bool {
	ok := r.Code/100 == 2
	if phase == AtData {
		ok = r.Code == 354
	}
	return ok || r.Code/100 == 4 || r.Code/100 == 5
}
