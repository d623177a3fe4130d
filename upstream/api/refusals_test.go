package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// refusal is an error in the form of a provider, for given words.
type refusal struct {
	name   string
	status int // of this form alone; 0: any
	header http.Header
	body   func(words string) string
}

// refusals are the errors of each provider that can say anything: by the codes that blame a request or its mail, and
// by one that is new here.
var refusals = map[string][]refusal{
	"resend":     coded(resendBody, "validation_error", "invalid_parameter", "something_new"),
	"sendgrid":   {{body: sendgridBody}},
	"mailgun":    {{body: mailgunBody}},
	"ses":        {typed("MessageRejected"), typed("BadRequestException"), typed("ValidationException"), typed("SomethingNewException")},
	"postal":     append(coded(postalBody, "ValidationError", "SomethingNew"), always(200, coded(postalBody, "ValidationError", "SomethingNew"))...),
	"postmark":   coded(postmarkBody, 300, 402, 403, 9999),
	"cloudflare": coded(cloudflareBody, 10001, 10202, 12345),
	"sparkpost": append(coded(func(code, words string) string { return sparkpostBody(code, words, "") }, "1300", "1400", "1901", "1902", "3005", "9999"),
		coded(func(code, words string) string { return sparkpostBody(code, "Message generation rejected", words) }, "1902", "9999")...),
	"mandrill": append(coded(mandrillBody, "ValidationError", "Something_New"), always(500, coded(mandrillBody, "ValidationError"))...),
	"brevo":    coded(brevoBody, "bad_request", "invalid_parameter", "missing_parameter", "out_of_range", "something_new"),
	"graph":    coded(graphBody, "ErrorMimeContentInvalidBase64String", "ErrorInvalidRequest", "SomethingNew"),
	"gmail":    coded(gmailBody, "invalidArgument", "INVALID_ARGUMENT", "badRequest", "somethingNew"),
	"jmap":     append(coded(jmapProblem, "somethingNew"), always(200, coded(jmapSet, "invalidEmail", "invalidProperties", "somethingNew"))...),
}

func coded[C any](body func(C, string) string, codes ...C) (list []refusal) {
	for _, code := range codes {
		list = append(list, refusal{name: fmt.Sprint(code), body: func(words string) string { return body(code, words) }})
	}
	return list
}

func typed(name string) refusal {
	return refusal{name: name, header: http.Header{"X-Amzn-Errortype": {name}}, body: sesBody}
}

func always(status int, list []refusal) []refusal {
	for i := range list {
		list[i].status = status
	}
	return list
}

func jmapSet(kind, description string) string { return jmapNot(kind, description) }

// refused returns what a kind makes of words in each form that its provider has for one of the statuses.
func refused(t *testing.T, kind, message string, statuses []int, words []string, each func(form, words string, status int, e *upstream.Error)) {
	t.Helper()
	up, fake := start(t, kind, "")
	m := makeMail(t, message, "ann@example.org")
	for _, form := range refusals[kind] {
		for _, status := range statuses {
			if form.status != 0 {
				status = form.status
			}
			for _, s := range words {
				fake.Script(upstreamtest.Fault{Status: status, Header: form.header, Body: form.body(s)})
				each(form.name, s, status, asError(t, up.Send(t.Context(), m)[0].Err))
			}
			if form.status != 0 {
				break
			}
		}
	}
}

// ofTheAccount are refusals for the sake of the account, whose mail has to wait.
var ofTheAccount = []string{
	// The key.
	"API key is invalid", "Invalid API key", "Your API key has been revoked", "The provided API key was not found", "This API token is disabled.",
	"Your API key is invalid; see the link in the documentation",
	// The account.
	"Your account has been suspended", "Account suspended", "Your account is disabled", "This account has been disabled.", "Your account is under review",
	"Your account has been placed under review", "Your account is not approved for sending", "Your account has been temporarily blocked from sending",
	"Sending has been disabled for your account", "Your account was suspended because of the content of its mail. Follow the link in our e-mail.",
	"Your account has been suspended: too many recipients have complained", "Account is suspended due to a high bounce rate",
	"We have suspended your account", "Your account is not allowed to send email",
	// The domain and the sender.
	"Domain not verified", "The domain example.com is not verified", "Your sending domain is not verified", "Your domain is suspended", "Unverified domain",
	"Please verify your domain before you send", "The sending domain is not configured",
	// Activation.
	"Please activate your account", "Your account is not activated", "Account activation required", "Your account has not been activated yet",
	"Please activate your account by the link in your mailbox",
	// Plan, credits, sandbox.
	"Your plan does not allow sending", "Please upgrade your plan", "You have exceeded your plan's limit", "Plan limit exceeded",
	"Your subscription has expired", "You do not have enough credits", "Insufficient credits", "You have no credits left", "Your credit limit is exceeded",
	"Free accounts are for test purposes only", "Sending is limited to your sandbox", "Your account is in the sandbox", "Sandbox accounts cannot send to this domain",
	"The sandbox can only send to verified recipients", "Exceed Sending Limit (sandbox)",
	// Limits in time.
	"You have reached your daily limit", "Daily limit exceeded", "Daily sending limit of 300 emails reached", "You have exceeded the maximum of 100 messages per day",
	"Daily recipient limit exceeded", "You have exceeded the limit of 500 recipients per day", "Monthly quota exceeded", "Hourly limit reached",
	"You are limited to 100 emails per day", "Sending limit exceeded", "You have exceeded your sending limit", "Sending quota exceeded", "You are over your limit",
	"You have exceeded your limit", "Rate limit exceeded", "Message limit exceeded for your account", "Account limit reached",
	"limit exceeded, try again after 60 seconds",
}

// ofTheMail are refusals for the sake of one recipient, or of what is in the mail.
var ofTheMail = []string{
	"The to address is invalid", "Invalid `to` field. The domain is disabled", "Invalid recipient address", "Recipient address rejected: the domain is unverified",
	"The recipient's account is disabled", "The recipient's account has been suspended", "recipient mailbox is over its quota", "The mailbox is disabled",
	"The email account that you tried to reach is disabled", "The recipient is blocked for your account", "ann@example.org is on the suppression list of your account",
	"Recipient not allowed by the policy of your account", "The destination domain is suspended", "account.suspended@example.org is not a valid address",
	"You are not authorized to send to this recipient", "The recipient has opted out of your mail",
	"limit of 50 recipients", "The limit of 50 recipients is exceeded", "Recipient limit exceeded", "Too many recipients: the limit is 50 for a message", "Maximum of 50 recipients exceeded",
	"attachment too large", "The attachment type exe is not allowed", "The number of attachments exceeds the limit", "The attachment was blocked by our sandbox",
	"The subject exceeds the limit of 998 characters", "Header limit exceeded", "The header name is invalid", "You have exceeded the limit of 10 tags",
	"The content was blocked as spam", "A link in the body leads to a suspended domain", "Invalid idempotency key", "The template key is invalid",
	"The message could not be parsed", "Message failed a virus check", "a line exceeds the limit of 998 characters",
}

// TestRefusalsOfTheAccount: what a provider says of key, account, domain, plan or limit bounces nothing and closes the
// upstream, whatever its code.
func TestRefusalsOfTheAccount(t *testing.T) {
	for _, kind := range apiKinds {
		if len(refusals[kind.name]) == 0 {
			t.Errorf("%s has no errors in refusals", kind.name)
			continue
		}
		refused(t, kind.name, plainMessage, []int{400, 403, 422, 429}, ofTheAccount, func(form, words string, status int, e *upstream.Error) {
			if e.Class != upstream.Account && e.Class != upstream.Throttled {
				t.Errorf("%s %d %s, %q: %v", kind.name, status, form, words, e.Class)
			}
		})
	}
}

// TestRefusalsOfTheMail: and what it says of the mail and who is to get it closes nothing.
func TestRefusalsOfTheMail(t *testing.T) {
	for _, kind := range apiKinds {
		refused(t, kind.name, plainMessage, []int{400, 422}, ofTheMail, func(form, words string, status int, e *upstream.Error) {
			if e.Class == upstream.Account || e.Class == upstream.Throttled {
				t.Errorf("%s %d %s, %q: %v", kind.name, status, form, words, e.Class)
			}
		})
	}
}

// TestRefusalsThatRepeatTheMail: words that a mail brings along close nothing, and what they hide bounces nothing.
func TestRefusalsThatRepeatTheMail(t *testing.T) {
	for _, kind := range apiKinds {
		for _, own := range []string{"Your account has been suspended", "API key is invalid", "Daily limit exceeded, try again after 3 hours", "Sandbox: x is not a verified sender identity"} {
			for where, message := range map[string]string{
				"subject":      "From: app@example.com\nTo: ann@example.org\nSubject: " + own + "\n\nbody\n",
				"display name": "From: =?utf-8?q?" + strings.ReplaceAll(own, " ", "_") + "?= <app@example.com>\nTo: ann@example.org\nSubject: s\n\nbody\n",
				"file": "From: app@example.com\nTo: ann@example.org\nSubject: s\nContent-Type: multipart/mixed; boundary=b\n\n--b\n\nbody\n" +
					"--b\nContent-Type: application/pdf\nContent-Disposition: attachment; filename=\"" + own + ".pdf\"\n\n%PDF-1.4\n--b--\n",
			} {
				echo := []string{"bad value " + own, own + " is not valid here", "the value is not valid: " + strings.ToUpper(own)}
				refused(t, kind.name, message, []int{400, 422}, echo, func(form, words string, status int, e *upstream.Error) {
					if e.Class == upstream.Account || e.Class == upstream.Throttled {
						t.Errorf("%s, %s, %d %s, %q: %v", kind.name, where, status, form, words, e.Class)
					}
				})
				refused(t, kind.name, message, []int{400}, []string{"Your organization is suspended"}, func(form, words string, status int, e *upstream.Error) {
					if e.Class != upstream.Account && e.Class != upstream.Throttled {
						t.Errorf("%s, %s, %d %s, %q: %v", kind.name, where, status, form, words, e.Class)
					}
				})
			}
		}
	}
}

// TestRefusalUntil: the date of a refusal is its own, though a mail has one of the same day.
func TestRefusalUntil(t *testing.T) {
	for _, kind := range apiKinds {
		at := time.Now().Add(3 * time.Hour).UTC()
		message := "From: app@example.com\nTo: ann@example.org\nSubject: s\nDate: " + at.Format(time.RFC1123Z) + "\n\nbody\n"
		until := []string{"sending limit exceeded, try again after " + at.Format(http.TimeFormat), "Not now. Your limit resets at " + at.Format(time.RFC3339)}
		refused(t, kind.name, message, []int{400, 429}, until, func(form, words string, status int, e *upstream.Error) {
			if e.Class != upstream.Throttled || e.RetryAfter < 2*time.Hour || e.RetryAfter > 3*time.Hour {
				t.Errorf("%s, %d %s, %q: %v, %v", kind.name, status, form, words, e.Class, e.RetryAfter)
			}
		})
	}
}

// TestFaultyRecipients: SendGrid says more or less exactly whom an error is about; nobody else fails for it.
func TestFaultyRecipients(t *testing.T) {
	const to, hidden = "a@x.test, b@x.test, c@x.test", ""
	for _, row := range []struct {
		name, header, fields string
		refuse               []string // of these recipients, while one is in the request
		failed               []int
		most                 int // requests
	}{
		{"index", to, "personalizations.0.to.1.email", []string{"b@x.test"}, []int{1}, 2},
		{"name", to, "personalizations.0.to.1.name", []string{"b@x.test"}, []int{1}, 2},
		{"several", to, "personalizations.0.to.0.email personalizations.0.to.2", []string{"a@x.test"}, []int{0, 2}, 2},
		{"list of several", to, "personalizations.0.to", []string{"b@x.test"}, []int{1}, 5},
		{"list of one", "b@x.test", "personalizations.0.to", []string{"b@x.test"}, []int{1}, 3},
		{"no index", to, "personalizations", []string{"c@x.test"}, []int{2}, 5},
		{"a personalization of several", to, "personalizations.0", []string{"c@x.test"}, []int{2}, 5},
		{"one of the personalizations", hidden, "personalizations.2.to", []string{"c@x.test"}, []int{2}, 2},
		{"one of the personalizations, as a whole", hidden, "personalizations.1", []string{"b@x.test"}, []int{1}, 2},
		{"the personalizations", hidden, "personalizations", []string{"a@x.test"}, []int{0}, 5},
		{"no field", to, "null", []string{"a@x.test"}, []int{0}, 5},
		{"no such one", to, "personalizations.0.to.9", []string{"b@x.test"}, []int{1}, 5},
		{"the sender", to, "from.email", []string{"a@x.test"}, []int{0, 1, 2}, 1},
		{"one of them and the content", to, "personalizations.0.to.1.email content.0.value", []string{"b@x.test"}, []int{0, 1, 2}, 1},
		{"arguments", to, "personalizations.0.custom_args", []string{"b@x.test"}, []int{0, 1, 2}, 1},
	} {
		t.Run(row.name, func(t *testing.T) {
			up, fake := start(t, "sendgrid", "")
			var list []string
			for field := range strings.FieldsSeq(row.fields) {
				if field = fmt.Sprintf("%q", field); field == `"null"` {
					field = "null"
				}
				list = append(list, `{"message":"Does not contain a valid address.","field":`+field+`}`)
			}
			fake.Refuse(row.refuse, upstreamtest.Fault{Status: 400, Body: `{"errors":[` + strings.Join(list, ",") + `]}`})
			header := "From: app@example.com\nSubject: s\nMessage-ID: <m@x.org>\n"
			if row.header != "" {
				header += "To: " + row.header + "\n"
			}
			var failed []int
			for i, o := range up.Send(t.Context(), makeMail(t, header+"\nbody\n", "a@x.test", "b@x.test", "c@x.test")) {
				if o.Err != nil {
					failed = append(failed, i)
					if e := asError(t, o.Err); e.Class != upstream.Permanent || e.Code != "5.1.3" && len(row.failed) < 3 {
						t.Errorf("%+v", e)
					}
				}
			}
			if !slices.Equal(failed, row.failed) || fake.Requests() > row.most {
				t.Errorf("failed %v, want %v; %d requests", failed, row.failed, fake.Requests())
			}
		})
	}
}
