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
		{want: "sender", message: "You are not authorized to send from that email address"},
		{want: "sender", message: "Your account is not allowed to send as app@example.com"},
		{want: "sender", message: "The from address is not allowed."},
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
		{message: "The from address is not allowed to contain spaces"},
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

// TestWordsOfTheAccount: what has been said, or is likely to be, of keys, accounts, domains, plans and limits.
func TestWordsOfTheAccount(t *testing.T) {
	for _, message := range []string{
		"Account under review", "Your account has been locked due to suspicious activity", "The account associated with this key is suspended", "Your account is being reviewed",
		"Your account needs to be verified before sending", "Account pending verification", "Account suspended. Contact support by the link below",
		"Your account has been suspended for sending to invalid recipients", "Account is disabled due to billing", "Your account hasn’t been activated", "We have suspended your account",
		"You have been suspended", "Your account is restricted", "Service suspended", "Sending privileges revoked", "You do not have permission to send",
		"Token is invalid", "API key does not exist", "The API key does not have permission to send", "Your API key isn't valid", "Key is disabled", "The api_key is invalid; see the link in the body",
		"Domain verification pending", "The domain has not been activated", "Sending from this domain is not allowed", "Sender address is not authorized", "Domain has to be verified",
		"Your sending domain is suspended because of its recipients", "Sender is not allowed", "You can only send from your own domains",
		"Please activate your account by the link in your mailbox", "Account needs activation", "Please verify your email address to start sending",
		"Upgrade required", "Credits exhausted", "You don't have enough credits", "No remaining credits", "Trial accounts may only send to verified addresses", "Please add a payment method",
		"Sandbox", "Your account is in sandbox", "Sending is limited to your sandbox", "Request production access to leave the sandbox", "Sandbox cannot send to other recipients",
		"Daily recipient limit exceeded", "You have exceeded the limit of 500 recipients per day", "Your account is limited to 50 recipients per day", "Daily cap reached", "Over daily limit",
		"Max daily emails exceeded", "You have sent the maximum number of messages today", "Hourly email limit exceeded", "The limit of 20 recipients per minute was exceeded",
		"Email limit reached", "Limit exceeded", "You are over your limit", "You've exceeded your limit", "Please slow down",
	} {
		if _, ok := Meaning(message); !ok {
			t.Errorf("%q is about the mail", message)
		}
	}
}

// TestWordsOfTheMail: an account, domain, key or limit in them is that of a recipient, or of a part of the mail.
func TestWordsOfTheMail(t *testing.T) {
	for _, message := range []string{
		"The email account that you tried to reach is disabled", "The address you are sending to has been disabled: account closed", "You are not authorized to send to this address",
		"Your account has blocked this recipient", "Our server has blocked this attachment", "The recipient is blocked for your account", "a@example.org is on the suppression list of your account", "Contact's account is disabled", "user's account is suspended",
		"The destination domain is suspended", "At least one recipient isn't valid, account not found", "Recipient over quota", "recipient not verified",
		"Found inactive addresses: a@x.org. Inactive recipients are ones that have generated a hard bounce", "Delivery to this address is suspended", "Inactive recipient",
		"The header X-Account is not allowed", "The custom header 'X-API-Key' is not allowed", "metadata key is invalid", "invalid personalization key", "Header size limit exceeded",
		"You have exceeded the limit of 50 recipients", "The recipient list exceeds the limit of your plan", "Maximum number of recipients reached", "Attachment limit exceeded",
		"The message exceeds the maximum size allowed by your plan", "This attachment is not allowed on your current plan", "Message limit of 1000 lines exceeded", "nesting limit exceeded",
		"Links to disabled domains are blocked", "The attachment was blocked by our sandbox",
		// Words of the mail, repeated.
		"subject 'Your account has been suspended' is not allowed", "Subject: Your account has been suspended", "The subject line API key is invalid was rejected",
		"the display name Daily limit exceeded is invalid", "the tag 'Your API key is invalid' is too long", "The file name Account suspended, try again after 60 seconds is not allowed",
	} {
		if f, ok := Meaning(message); ok {
			t.Errorf("%q is %+v", message, f)
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
