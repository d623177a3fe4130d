package api_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func cloudflareBody(code int, message string) string {
	return fmt.Sprintf(`{"success":false,"errors":[{"code":%d,"message":%q}],"messages":[],"result":null}`, code, message)
}

func sparkpostBody(code, message, description string) string {
	return fmt.Sprintf(`{"errors":[{"code":%q,"message":%q,"description":%q}]}`, code, message, description)
}

func mandrillBody(name, message string) string {
	return fmt.Sprintf(`{"status":"error","code":-1,"name":%q,"message":%q}`, name, message)
}

var cloudflareRows = [...]errorRow{
	{status: 400, body: cloudflareBody(10001, "email.sending.error.invalid_request_schema"), class: upstream.Unrepresentable, code: "5.6.0"},
	{status: 400, body: cloudflareBody(10001, "email.sending.error.invalid_request_schema: recipients[0]"), class: upstream.Permanent, code: "5.1.3"},
	{status: 400, body: cloudflareBody(10200, "email.sending.error.email.too_big"), class: upstream.Unrepresentable, code: "5.3.4"},
	{status: 400, body: cloudflareBody(10201, "email.sending.error.email.no_content_length"), class: upstream.Temporary},
	{status: 400, body: cloudflareBody(10202, "email.sending.error.email.invalid"), class: upstream.Unrepresentable, code: "5.6.0"},
	{status: 400, body: cloudflareBody(10202, "E_HEADER_NOT_ALLOWED: Header 'X' is not allowed."), class: upstream.Unrepresentable, code: "5.6.0", words: "not allowed"},
	{status: 400, body: cloudflareBody(1, "E_CONTENT_TOO_LARGE"), class: upstream.Unrepresentable, code: "5.3.4"},
	{status: 400, body: cloudflareBody(1, "E_RECIPIENT_SUPPRESSED"), class: upstream.Permanent, code: "5.7.1"},
	{status: 400, body: cloudflareBody(1, "E_RECIPIENT_NOT_ALLOWED: destination address is not a verified address"), class: upstream.Account},
	{status: 400, body: cloudflareBody(1, "E_SENDER_DOMAIN_NOT_AVAILABLE"), class: upstream.Account, sender: true},
	{status: 400, body: cloudflareBody(1000, "Sender domain not verified"), class: upstream.Account, sender: true},
	{status: 401, body: cloudflareBody(10101, "the token "+apiKey+" is unknown"), class: upstream.Account, words: "***"},
	{status: 401, body: cloudflareBody(10103, "email.sending.error.authentication.bad_token_type"), class: upstream.Account},
	{status: 403, body: cloudflareBody(10102, "email.sending.error.authentication.forbidden"), class: upstream.Account},
	{status: 403, body: cloudflareBody(10105, "email.sending.error.authentication.not_entitled"), class: upstream.Account},
	{status: 403, body: cloudflareBody(10203, "email.sending.error.email.sending_disabled"), class: upstream.Account, sender: true},
	{status: 403, body: cloudflareBody(9109, "Invalid access token"), class: upstream.Account},
	{status: 400, body: cloudflareBody(6003, "Invalid request headers"), class: upstream.Account},
	{status: 404, body: cloudflareBody(7003, "Could not route to /accounts/x"), class: upstream.Account},
	{status: 404, body: cloudflareBody(10000, "email.sending.error.not_found"), class: upstream.Account},
	{status: 429, header: "Retry-After: 9", body: cloudflareBody(10004, "email.sending.error.throttled"), class: upstream.Throttled, wait: 9 * time.Second},
	{status: 403, body: cloudflareBody(971, "Please wait and consider throttling your request speed"), class: upstream.Throttled},
	{status: 500, body: cloudflareBody(10002, "email.sending.error.internal_server"), class: upstream.Temporary},
	{status: 500, body: cloudflareBody(10003, "email.sending.error.not_implemented"), class: upstream.Temporary},
	{status: 503, body: cloudflareBody(10100, "email.sending.error.authentication.upstream"), class: upstream.Temporary},
	{status: 400, body: cloudflareBody(12345, "something new"), class: upstream.Temporary},
	{status: 200, body: cloudflareBody(10002, "email.sending.error.internal_server"), class: upstream.Temporary},
	{status: 200, body: `{"success":true}`, class: upstream.Uncertain},
	{status: 200, body: "<html><title>Sign in</title></html>", class: upstream.Uncertain, words: "Sign in"},
	{status: 200, body: `{"success":true,"result":{"delivered":[],"queued":[],"permanent_bounces":["ANN@example.org"]}}`, class: upstream.Permanent, code: "5.0.0", words: "bounced"},
	{status: 200, body: `{"success":true,"result":{"delivered":["bob@example.org"]}}`, class: upstream.Uncertain, words: "suppressed"},
}

var sparkpostRows = [...]errorRow{
	{status: 401, body: `{"errors":[{"message":"Unauthorized."}]}`, class: upstream.Account},
	{status: 403, body: `{"errors":[{"message":"Forbidden.","code":"1100"}]}`, class: upstream.Account},
	{status: 403, body: sparkpostBody("1601", "No license", ""), class: upstream.Account},
	{status: 420, body: sparkpostBody("2101", "Exceed Sending Limit (hourly)", ""), class: upstream.Throttled, wait: 10 * time.Minute},
	{status: 420, body: sparkpostBody("2102", "Exceed Sending Limit (daily)", ""), class: upstream.Throttled, wait: 2 * time.Hour},
	{status: 420, body: sparkpostBody("", "Exceed Sending Limit (monthly)", ""), class: upstream.Throttled, wait: 12 * time.Hour},
	{status: 420, body: sparkpostBody("2103", "Exceed Sending Limit (sandbox)", ""), class: upstream.Account},
	{status: 420, body: sparkpostBody("", "Exceed Sending Limit (sandbox)", ""), class: upstream.Account},
	{status: 429, header: "Retry-After: 2", body: `{"errors":[{"message":"Too many requests"}]}`, class: upstream.Throttled, wait: 2 * time.Second},
	{status: 400, body: sparkpostBody("7000", "Sending domain blacklisted", ""), class: upstream.Account, sender: true},
	{status: 400, body: sparkpostBody("7001", "Invalid domain", "Unconfigured or unverified sending domain."), class: upstream.Account, sender: true, words: "unverified"},
	{status: 400, body: `{"errors":[{"code":7001,"message":"Invalid domain"}]}`, class: upstream.Account, sender: true},
	{status: 400, body: sparkpostBody("1902", "Message generation rejected", "recipient address suppressed due to customer policy"), class: upstream.Permanent, code: "5.7.1", words: "suppressed"},
	{status: 400, body: sparkpostBody("1902", "Message generation rejected", ""), class: upstream.Permanent, code: "5.7.1"},
	{status: 400, body: sparkpostBody("5002", "No valid recipients in list", ""), class: upstream.Permanent, code: "5.1.3"},
	{status: 422, body: sparkpostBody("1300", "invalid data format/type/length", "address.email is malformed"), class: upstream.Permanent, code: "5.1.3"},
	{status: 422, body: sparkpostBody("1300", "invalid data format/type/length", "recipient x"), class: upstream.Permanent, code: "5.1.3"},
	{status: 422, body: sparkpostBody("1400", "required field is missing", "address.email is required"), class: upstream.Permanent, code: "5.1.3"},
	{status: 422, body: sparkpostBody("1400", "required field is missing", "content"), class: upstream.Temporary},
	{status: 422, body: sparkpostBody("1300", "invalid data format/type/length", "content"), class: upstream.Unrepresentable},
	{status: 400, body: sparkpostBody("1305", "Input Data not UTF8 encoded", ""), class: upstream.Unrepresentable},
	{status: 400, body: sparkpostBody("1502", "Server resources unavailable", ""), class: upstream.Temporary},
	{status: 400, body: sparkpostBody("1901", "Message failed to generate", ""), class: upstream.Unrepresentable},
	{status: 400, body: sparkpostBody("1910", "Message generation not configured", ""), class: upstream.Account},
	{status: 503, body: sparkpostBody("1900", "Message generation module not available", ""), class: upstream.Temporary},
	{status: 422, body: sparkpostBody("3000", "template language syntax error", ""), class: upstream.Unrepresentable},
	{status: 422, body: sparkpostBody("3005", "x", ""), class: upstream.Unrepresentable},
	{status: 422, body: sparkpostBody("3020", "template mime parsing error", ""), class: upstream.Unrepresentable},
	{status: 415, body: sparkpostBody("1700", "Unsupported Content-Type header", ""), class: upstream.Account},
	{status: 400, body: sparkpostBody("9999", "something new", ""), class: upstream.Temporary},
	{status: 401, body: sparkpostBody("1303", "the key "+apiKey, ""), class: upstream.Account, words: "***"},
	{status: 200, body: `{"results":{}}`, class: upstream.Uncertain},
	{status: 200, body: "<html>", class: upstream.Uncertain},
	{status: 200, body: sparkpostBody("1501", "Failed to read from database", ""), class: upstream.Temporary},
	{status: 200, body: `{"results":{"id":"1","total_rejected_recipients":1,"rcpt_to_errors":[{"code":"1400","message":"required field is missing"}]}}`, class: upstream.Permanent, code: "5.1.3", words: "missing"},
	{status: 200, body: `{"errors":[{"code":"2000","message":"created, but"}],"results":{"id":"1","total_rejected_recipients":1}}`, class: upstream.Permanent, code: "5.1.3", words: "created"},
}

var mandrillRows = [...]errorRow{
	{status: 500, body: mandrillBody("Invalid_Key", "Invalid API key "+apiKey), class: upstream.Account, words: "***"},
	{status: 401, body: mandrillBody("Invalid_Key", "Invalid API key"), class: upstream.Account},
	{status: 500, body: mandrillBody("PaymentRequired", "The requested feature requires payment."), class: upstream.Account},
	{status: 500, body: mandrillBody("Unknown_Subaccount", "No subaccount exists with the id 'x'"), class: upstream.Account},
	{status: 500, body: mandrillBody("PoorReputation", "x"), class: upstream.Account},
	{status: 500, body: mandrillBody("ServiceUnavailable", "Service Temporarily Unavailable"), class: upstream.Temporary},
	{status: 500, body: mandrillBody("GeneralError", "An unexpected error occurred"), class: upstream.Temporary},
	{status: 500, body: mandrillBody("Something_New", "x"), class: upstream.Temporary},
	{status: 500, body: mandrillBody("ValidationError", `Validation error: {"to":"not an address"}`), class: upstream.Permanent, code: "5.1.3"},
	{status: 500, body: mandrillBody("ValidationError", `Validation error: {"key":"Please enter a string"}`), class: upstream.Account},
	{status: 500, body: mandrillBody("ValidationError", `You must specify an API key value`), class: upstream.Account},
	{status: 500, body: mandrillBody("ValidationError", `An email address must contain a single @`), class: upstream.Permanent, code: "5.1.3"},
	{status: 500, body: mandrillBody("ValidationError", `Validation error: {"raw_message":"x"}`), class: upstream.Unrepresentable},
	{status: 200, body: mandrillBody("GeneralError", "x"), class: upstream.Temporary},
	{status: 200, body: "<html>", class: upstream.Uncertain},
	{status: 200, body: "[]", class: upstream.Uncertain},
	{status: 200, body: `[{"email":"bob@example.org","status":"sent","_id":"1"}]`, class: upstream.Uncertain},
	{status: 200, body: `[{"email":"ann@example.org","status":"odd","_id":"1"}]`, class: upstream.Temporary, words: "odd"},
	{status: 200, body: `[{"email":"ann@example.org","status":"rejected","reject_reason":"new-reason"}]`, class: upstream.Temporary, words: "new-reason"},
}

// TestParts: what becomes of one recipient is not what becomes of the others of its call.
func TestParts(t *testing.T) {
	rows := []struct {
		kind, address, want string // as upstreamtest.Describe has it
	}{
		{"cloudflare", "later@example.org", "ok cloudflare-1"},
		{"cloudflare", "bounce@example.org", "permanent 200 5.0.0"},
		{"cloudflare", "suppressed@example.org", "uncertain 200"},
		{"sparkpost", "refused@example.org", "permanent 200 5.1.3"},
		{"mandrill", "invalid@example.org", "permanent 200 5.1.3"},
		{"mandrill", "rejected+hard-bounce@example.org", "permanent 200 5.1.1"},
		{"mandrill", "rejected+soft-bounce@example.org", "permanent 200 5.2.0"},
		{"mandrill", "rejected+spam@example.org", "permanent 200 5.7.1"},
		{"mandrill", "rejected+unsub@example.org", "permanent 200 5.7.1"},
		{"mandrill", "rejected+custom@example.org", "permanent 200 5.7.1"},
		{"mandrill", "rejected+rule@example.org", "permanent 200 5.7.1"},
		{"mandrill", "rejected+invalid-sender@example.org", "account 200 sender"},
		{"mandrill", "rejected+unsigned@example.org", "account 200 sender"},
		{"mandrill", "rejected+test-mode-limit@example.org", "account 200"},
		{"mandrill", "forgotten@example.org", "uncertain 200"},
	}
	for _, row := range rows {
		t.Run(row.kind+"/"+row.address, func(t *testing.T) {
			up, fake := start(t, row.kind, "")
			id := "ok " + row.kind + "-1"
			ids := []string{id, row.want, id}
			if row.kind == "mandrill" { // which gives each recipient an id
				ids[0], ids[2] = id+"-ann@example.org", id+"-bob@example.org"
			}
			// Addresses in another case, and one that is there twice so.
			out := up.Send(t.Context(), makeMail(t, plainMessage, "Ann@example.org", row.address, "bob@example.org", strings.ToUpper(row.address)))
			upstreamtest.CheckOutcomes(t, out, append(ids, row.want)...)
			if fake.Requests() != 1 {
				t.Errorf("%d requests", fake.Requests())
			}
		})
	}
}

// TestUnnamedRecipient: where SparkPost took some and does not say whom, each may be one of them.
func TestUnnamedRecipient(t *testing.T) {
	up, _ := start(t, "sparkpost", "")
	out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org", "unnamed@example.org"))
	upstreamtest.CheckOutcomes(t, out, "uncertain 200", "uncertain 200")
}

// TestPartsStopFurtherCalls: an account that may not send is not asked again for the rest of a mail's recipients.
func TestPartsStopFurtherCalls(t *testing.T) {
	up, fake := start(t, "mandrill", "")
	to := append([]string{"rejected+unsigned@example.org"}, numbered("x", 24)...)
	out := upstreamtest.Describe(up.Send(t.Context(), makeMail(t, plainMessage, to...)))
	if fake.Requests() != 1 || out[0] != "account 200 sender" || !strings.HasPrefix(out[1], "ok ") || out[24] != "account 200 sender" {
		t.Errorf("%d requests: %v", fake.Requests(), out)
	}
	up, fake = start(t, "mandrill", "")
	to[0] = "rejected+spam@example.org"
	out = upstreamtest.Describe(up.Send(t.Context(), makeMail(t, plainMessage, to...)))
	if fake.Requests() != 3 || slices.ContainsFunc(out[1:], func(s string) bool { return !strings.HasPrefix(s, "ok ") }) {
		t.Errorf("%d requests: %v", fake.Requests(), out)
	}
}

// TestSevenBit: a message that has to become a text is encoded, or one for another upstream.
func TestSevenBit(t *testing.T) {
	const signed = "Content-Type: multipart/signed; boundary=b; protocol=\"application/pgp-signature\"\n\n--b\nContent-Type: text/plain; charset=utf-8\n\nGrüße\n" +
		"--b\nContent-Type: application/pgp-signature\n\nsig\n--b--\n"
	for _, kind := range apiKinds {
		if !kind.sevenBit {
			continue
		}
		up, fake := start(t, kind.name, "")
		for message, want := range map[string]string{
			"Content-Type: text/plain; charset=utf-8\n\nGrüße \"und\" \\ Küsse\t\x01\x7f\n": "ok",
			signed: "unrepresentable 5.6.3",
			"Content-Type: message/delivery-status\n\nGrüße\n":                          "unrepresentable 5.6.3",
			"Reply-To: jörg@example.com\n\nx\n":                                         "unrepresentable 5.6.7",
			"Reply-To: \"@bücher.example\" (@bücher.example) <a@bücher.example>\n\nx\n": "ok",
		} {
			fake.Reset()
			m := makeMail(t, strings.Replace(plainMessage, "\n\nbody\n", "\nMIME-Version: 1.0\n"+message, 1), "ann@example.org")
			err := up.(upstream.Preflighter).Preflight(m)
			got := upstreamtest.Describe(up.Send(t.Context(), m))[0]
			if !strings.HasPrefix(got, want) || (err == nil) != (want == "ok") {
				t.Errorf("%s: %q: %s, want %s; preflight %v; %v", kind.name, message, got, want, err, fake.Rejected())
			}
			if want == "ok" {
				msg := fake.Accepted()[0]
				if text := "Grüße \"und\" \\ Küsse\t\x01\x7f"; strings.Contains(message, text) && strings.TrimSpace(msg.Text) != text {
					t.Errorf("%s: %q", kind.name, msg.Text)
				}
				if len(msg.ReplyTo) > 0 && msg.ReplyTo[0] != "a@xn--bcher-kva.example" {
					t.Errorf("%s: replies to %q", kind.name, msg.ReplyTo)
				}
			}
		}
	}
}
