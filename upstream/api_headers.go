package upstream

import (
	"slices"
	"strings"

	"mailhatch/mime"
)

// apiHeader is a header field in the form of JSON APIs: decoded, on one line.
type apiHeader struct{ name, value string }

// apiControl are fields by which providers let a message steer their service. They count only where
// the operator says so: mail comes from programs that may pass on what strangers wrote.
var apiControl = [...]string{
	"X-SMTPAPI",             // https://www.twilio.com/docs/sendgrid/for-developers/sending-email/building-an-x-smtpapi-header
	"X-Mailgun-*",           // https://documentation.mailgun.com/docs/mailgun/user-manual/sending-messages/send-smtp
	"X-MC-*",                // https://mailchimp.com/developer/transactional/docs/smtp-integration/
	"X-SES-*",               // https://docs.aws.amazon.com/ses/latest/dg/send-email-smtp.html
	"X-MSYS-API",            // https://developers.sparkpost.com/api/smtp/
	"X-Sib-*", "X-Mailin-*", // https://developers.brevo.com/docs/smtp-integration
	"X-PM-*",   // https://postmarkapp.com/developer/user-guide/send-email-with-smtp
	"X-MJ-*",   // https://dev.mailjet.com/smtp-relay/custom-headers/
	"Resend-*", // Resend-Idempotency-Key, https://resend.com/docs/send-with-smtp
}

// apiMapped are fields that JSON APIs have a place of their own for, that they write themselves, or
// that tell of a way and a body which are no longer this message's.
var apiMapped = [...]string{
	"From", "To", "Cc", "Bcc", "Resent-Bcc", "Reply-To", "Subject", "Date", "Message-ID",
	"MIME-Version", "Content-*",
	"Received", "Return-Path", "Delivered-To", "Envelope-To", "Apparently-To",
	"Received-SPF", "Authentication-Results", "ARC-*", "DKIM-Signature", "DomainKey-Signature", "X-Google-DKIM-Signature",
}

// apiJoined says how values of a repeated field go into one (RFC 5322 3.6.4, 3.6.5); all others that
// may be repeated are joined with ", ".
var apiJoined = map[string]string{"references": " ", "in-reply-to": " ", "comments": " "}

// apiSingle are fields of which only the first counts (RFC 5322 3.6, RFC 3834, RFC 8058 and others).
var apiSingle = []string{
	"sender", "auto-submitted", "precedence", "importance", "priority", "x-priority", "sensitivity",
	"list-id", "list-unsubscribe-post", "x-mailer", "user-agent", "thread-topic", "thread-index",
	"x-original-message-id", "x-original-date", "x-auto-response-suppress", "return-receipt-to",
}

// fieldMatches says whether a field name is in a list whose entries may end in *.
func fieldMatches(name string, list []string) bool {
	if name == "" {
		return false
	}
	for _, p := range list {
		if p[0]|0x20 != name[0]|0x20 {
			continue // most of them; letters alone are folded, and * is no name's first
		}
		if stem, ok := strings.CutSuffix(p, "*"); ok {
			if len(name) >= len(stem) && strings.EqualFold(name[:len(stem)], stem) {
				return true
			}
		} else if strings.EqualFold(name, p) {
			return true
		}
	}
	return false
}

// apiHeaders gives the fields that travel as headers of a JSON API, in order, each name once.
// reserved are the provider's own names.
func apiHeaders(msg *mime.Message, reserved []string) []apiHeader {
	var list joinedHeaders
	for _, f := range msg.Header {
		if !apiFieldName(f.Name) || fieldMatches(f.Name, apiMapped[:]) || fieldMatches(f.Name, apiControl[:]) ||
			fieldMatches(f.Name, reserved) {
			continue
		}
		list.add(f.Name, mime.Header{f}.Text(f.Name))
	}
	// What the provider writes anew stays readable.
	list.add("X-Original-Message-ID", msg.MessageID)
	list.add("X-Original-Date", msg.Header.Get("Date"))
	return list.joined()
}

// joinedHeaders collects fields, the values of each name together.
type joinedHeaders struct {
	names  []string
	values map[string][]string // by name in lower case
}

func (l *joinedHeaders) add(name, value string) {
	value = strings.TrimSpace(plainText(strings.Map(apiOneLine, value)))
	if value == "" {
		return
	}
	lower := strings.ToLower(name)
	old, seen := l.values[lower]
	switch {
	case !seen:
		if l.values == nil {
			l.values = map[string][]string{}
		}
		l.names = append(l.names, name)
	case slices.Contains(apiSingle, lower) || len(old) == 1 && old[0] == value:
		return
	}
	l.values[lower] = append(old, value)
}

func (l *joinedHeaders) joined() []apiHeader {
	out := make([]apiHeader, len(l.names))
	for i, name := range l.names {
		lower := strings.ToLower(name)
		sep, ok := apiJoined[lower]
		if !ok {
			sep = ", "
		}
		out[i] = apiHeader{name, strings.Join(l.values[lower], sep)}
	}
	return out
}

// apiFieldName says whether a name has the form of RFC 5322 2.2.
func apiFieldName(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })
}

// apiOneLine keeps what came decoded from adding lines or controls.
func apiOneLine(r rune) rune {
	if r < ' ' || r == 0x7f {
		return ' '
	}
	return r
}
