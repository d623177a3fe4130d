package api_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// refusals is how each provider words a refusal that its table of errors takes for one of the mail.
var refusals = map[string]func(message string) []upstreamtest.Fault{
	"resend": func(s string) []upstreamtest.Fault {
		return faults(resendBody("validation_error", s), nil, 400, 422)
	},
	"sendgrid": func(s string) []upstreamtest.Fault { return faults(sendgridBody(s), nil, 400, 422) },
	"mailgun":  func(s string) []upstreamtest.Fault { return faults(mailgunBody(s), nil, 400, 422) },
	"ses": func(s string) []upstreamtest.Fault {
		return faults(sesBody(s), http.Header{"X-Amzn-Errortype": {"MessageRejected"}}, 400, 422)
	},
	"postal": func(s string) []upstreamtest.Fault { return faults(postalBody("ValidationError", s), nil, 200) },
	"jmap":   func(s string) []upstreamtest.Fault { return faults(jmapNot("invalidEmail", s), nil, 200) },
}

func faults(body string, h http.Header, statuses ...int) (list []upstreamtest.Fault) {
	for _, status := range statuses {
		list = append(list, upstreamtest.Fault{Status: status, Header: h, Body: body})
	}
	return list
}

// TestRefusalsOfTheAccount: what a provider says of key, account, plan or limit bounces nothing, whatever the status.
func TestRefusalsOfTheAccount(t *testing.T) {
	for kind, refuse := range refusals {
		up, fake := start(t, kind, "")
		for message, want := range map[string]upstream.Class{
			"API key is invalid":                               upstream.Account,
			"Your account has been suspended":                  upstream.Account,
			"Free accounts are for test purposes only":         upstream.Account,
			"Please activate your account":                     upstream.Account,
			"The example.com domain is not verified.":          upstream.Account,
			"You have reached your daily sending limit":        upstream.Throttled,
			"limit exceeded, try again after 60 seconds":       upstream.Throttled,
			"the subject is odd":                               upstream.Permanent,
			"the mailbox of the recipient has a disabled name": upstream.Permanent,
			"The message size exceeds the limit of 10 MB":      upstream.Unrepresentable,
		} {
			for _, fault := range refuse(message) {
				fake.Script(fault)
				e := asError(t, up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))[0].Err)
				if e.Class != want || e.Sender != strings.Contains(message, "not verified") {
					t.Errorf("%s, %d %s: %+v, want %v", kind, fault.Status, message, e, want)
				}
			}
		}
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
