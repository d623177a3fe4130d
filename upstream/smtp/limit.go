package smtp

import (
	"slices"
	"strings"
)

// What relays say when a mail has more recipients than they take at once, and when we send too fast or too much.

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
	case r.code < 400 || final && phase <= atAuth:
		return false
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
