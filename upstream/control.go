package upstream

import (
	"slices"
	"strings"

	"mailhatch/mime"
)

// controlFields are fields by which providers let a message steer their service. They count only where
// the operator permits it: mail comes from programs that may pass on what strangers wrote.
var controlFields = [...]string{
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

// ControlFields returns the names of those fields; one that ends in * stands for all names with that prefix.
func ControlFields() []string { return slices.Clone(controlFields[:]) }

// IsOwn reports whether a field of this name was written by the operator's rules.
func (m *Mail) IsOwn(name string) bool { return MatchesField(name, m.Own) }

// IsStrange reports whether a field of this name steers a provider and comes from the program that wrote the mail.
func (m *Mail) IsStrange(name string) bool { return IsControlField(name) && !m.IsOwn(name) }

// WithoutControl returns the edits that take the fields away for which IsStrange holds; none where there are none.
func (m *Mail) WithoutControl() []mime.Edit {
	if !slices.ContainsFunc(m.Message.Header, func(f mime.Field) bool { return m.IsStrange(f.Name) }) {
		return nil
	}
	// One edit for each pattern: with one for each name, a message could make the cost the square of its size.
	edits := make([]mime.Edit, len(controlFields))
	for i, pattern := range controlFields {
		edits[i] = mime.Edit{Op: mime.Remove, Name: pattern, Except: m.Own}
	}
	return edits
}

// IsControlField reports whether a provider may take a header field of this name for an instruction.
func IsControlField(name string) bool { return MatchesField(name, controlFields[:]) }

// MatchesField reports whether a field name is in a list whose entries may end in *.
func MatchesField(name string, list []string) bool {
	if name == "" {
		return false
	}
	for _, p := range list {
		if p[0]|0x20 != name[0]|0x20 {
			continue // most of them; letters alone are folded, and no name begins with *
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
