package words

import (
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
)

func TestMeaning(t *testing.T) {
	for _, row := range []struct {
		want    string // "", "account", "sender", "throttled"
		wait    time.Duration
		message string
	}{
		{want: "account", message: "API key is invalid"},
		{want: "account", message: "This API key is restricted to only send emails"},
		{want: "account", message: "Missing API key in the authorization header."},
		{want: "account", message: "The provided authorization grant is invalid, expired, or revoked"},
		{want: "account", message: "Bad or missing API token."},
		{want: "account", message: "Invalid private key"},
		{want: "account", message: "The security token included in the request is invalid."},
		{want: "account", message: "The API token provided in X-Server-API-Key was not valid."},
		{want: "account", message: "User is not authorized to perform: ses:SendEmail"},
		{want: "account", message: "Your account has been temporarily suspended"},
		{want: "account", message: "The account is disabled, contact support"},
		{want: "account", message: "Sending paused for this account. For more information, please check the inbox of the email address associated with your AWS account."},
		{want: "account", message: "While your account is pending approval, all recipient addresses must share the same domain as the 'From' address."},
		{want: "account", message: "Please activate your Mailgun account. Check your inbox or log in to your control panel to resend the activation email."},
		{want: "account", message: "Your SMTP account is not yet activated"},
		{want: "account", message: "Domain mg.example.com is not allowed to send: Free accounts are for test purposes only. Please upgrade or add the address to authorized recipients in Account Settings."},
		{want: "account", message: "Domain x is not allowed to send: business verification"},
		{want: "account", message: "Domain mg.example.com is disabled."},
		{want: "account", message: "Sandbox subdomains are for test purposes only. Please add your own domain or add the address to authorized recipients."},
		{want: "account", message: "You can only send testing emails to your own email address (a@example.com)."},
		{want: "account", message: "Your current plan does not include this endpoint"},
		{want: "account", message: "Not enough credits"},
		{want: "account", message: "Your account is under validation. To activate it, please contact us"},
		{want: "account", message: "We have detected you are using an unrecognised IP address 192.0.2.1. If you performed this action make sure to add the new IP address"},
		{want: "account", message: "Your IP is not whitelisted"},
		{want: "account", message: "Unauthorized: this token has expired"},
		{want: "account", message: "The key provided is not authorized"},
		{want: "account", message: "Payment is required: your last invoice is overdue"},
		{want: "sender", message: "The example.com domain is not verified. Please, add and verify your domain on https://resend.com/domains"},
		{want: "sender", message: "Email address is not verified. The following identities failed the check in region US-EAST-1: app@example.com: identity is not verified"},
		{want: "sender", message: "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved."},
		{want: "sender", message: "The 'From' address you supplied (a@x.org) is not a Sender Signature on your account."},
		{want: "sender", message: "Email address is not verified."},
		{want: "sender", message: "a@x.org is not a verified sender"},
		{want: "sender", message: "Unconfigured Sending Domain <x.org>"},
		{want: "sender", message: "Sending has been rejected because the sender you used a@x.org is not valid. Validate your sender or authenticate your domain"},
		{want: "throttled", message: "Domain x.org is not allowed to send: recipient limit exceeded, try again after Mon, 02 Feb 2026 03:00:00 GMT"},
		{want: "throttled", message: "account-requests-per-sec limit exceeded"},
		{want: "throttled", message: "Maximum sending rate exceeded."},
		{want: "throttled", message: "Maximum credits exceeded"},
		{want: "throttled", wait: time.Hour, message: "Daily message quota exceeded"},
		{want: "throttled", wait: time.Hour, message: "You have reached your daily email sending limit."},
		{want: "throttled", message: "Your plan's sending limit has been reached"},
		{want: "throttled", message: "Too many requests"},

		// What is about the mail or its recipient, and what is not sure.
		{message: "The recipient's domain does not exist: domain not verified"},
		{message: "The domain of the recipient is not verified"},
		{message: "recipient account is disabled"},
		{message: "mailbox quota exceeded"},
		{message: "The recipient email address is not verified"},
		{message: "The template's key is invalid"},
		{message: "The email address is not valid"},
		{message: "the zip file is not allowed"},
		{message: "Invalid `to` field. The domain is disabled"},
		{message: "Recipient limit exceeded"},
		{message: "The subject exceeds the limit of 998 characters"},
		{message: "You have exceeded the limit of 10 categories"},
		{message: "Header limit exceeded"},
		{message: `the category "account suspended" is not unique`},
		{message: "Does not contain a valid address: account.suspended@x.org"},
		{message: "the attachment bad.api.key is invalid"},
		{message: "the name [API key is invalid] is not allowed"},
		{message: "'from' parameter is not a valid address"},
		{message: "The from field is not allowed to contain CRLF"},
		{message: "Message failed a virus check"},
		{message: "Invalid idempotency key: not valid for your account"},
		{message: "retry after fixing the address"},
		{message: "retry 3 times"},
		{message: "Only available in 5 regions"},
		{message: ""},
		{message: strings.Repeat("x ", looked) + "API key is invalid"},
	} {
		got, ok := Meaning(row.message)
		name := ""
		switch {
		case !ok:
		case got.Class == upstream.Throttled:
			name = "throttled"
		case got.Class == upstream.Account && got.Sender:
			name = "sender"
		case got.Class == upstream.Account:
			name = "account"
		}
		if name != row.want || got.Wait != row.wait {
			t.Errorf("%q is %q, %v, want %q", row.message, name, got.Wait, row.want)
		}
	}
}

func TestWait(t *testing.T) {
	now := time.Date(2026, 2, 2, 2, 40, 0, 0, time.UTC)
	for message, want := range map[string]time.Duration{
		"limit exceeded, try again after 120 seconds":    2 * time.Minute,
		"Try again in 1.5h":                              90 * time.Minute,
		"try again in 30":                                30 * time.Second,
		"please wait 2 days":                             48 * time.Hour,
		"retry after 3 minutes.":                         3 * time.Minute,
		"try again after Mon, 02 Feb 2026 02:50:00 GMT":  10 * time.Minute, // RFC 9110
		"try again after Monday, 02-Feb-26 02:50:00 GMT": 10 * time.Minute,
		"try again after Mon Feb  2 02:50:00 2026":       10 * time.Minute,
		"recipient limit exceeded, try again after Mon, 2 Feb 2026 03:50:00 +0100 (CET)":     10 * time.Minute, // RFC 5322
		"try again after 1 Feb 2026 21:50:00 EST":                                            10 * time.Minute,
		"try again after 2 Feb 26 02:50 UT":                                                  10 * time.Minute,
		"Your limit resets at 2026-02-02T02:50:00Z.":                                         10 * time.Minute, // ISO 8601
		"blocked until 2026-02-02 02:50:00 UTC, sorry":                                       10 * time.Minute,
		"try again after 2026-02-01T21:20:00.5-05:30":                                        10*time.Minute + 500*time.Millisecond,
		"try again after 2026-02-02 02:50:00.123456 +0000 UTC":                               10*time.Minute + 123456*time.Microsecond,
		"try again on 2026-02-03":                                                            21*time.Hour + 20*time.Minute,
		"try again after Sun, 01 Feb 2026 02:50:00 GMT":                                      0,
		"not available: wait, or try again later; the limit resets at 2026-02-02t02:50:00z.": 10 * time.Minute,
	} {
		if got, ok := Wait(message, now); !ok || got != want {
			t.Errorf("%q: %v %v, want %v", message, got, ok, want)
		}
		if got, ok := Wait(strings.ToLower(message), now); !ok || got != want {
			t.Errorf("%q in lower case: %v %v, want %v", message, got, ok, want)
		}
	}
	for _, message := range []string{"", "try again later", "try again after lunch", "try again after 2026-13-45", "sent on Mon, 02 Feb 2026 02:50:00 GMT", "retry after 40 Feb 2026 02:50:00"} {
		if got, ok := Wait(message, now); ok {
			t.Errorf("%q: %v", message, got)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("Domain x is not allowed to send: try again after Mon, 02 Feb 2026 03:00:00 GMT")
	f.Add("API key is invalid")
	f.Fuzz(func(t *testing.T, s string) {
		Meaning(s)
		if d, ok := Wait(s, time.Unix(1770000000, 0)); d < 0 || !ok && d != 0 {
			t.Errorf("%v %v", d, ok)
		}
	})
}
