package api_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func goldenMail(t *testing.T, name string) *upstream.Mail {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("../testdata/mail", name+".mail"))
	if err != nil {
		t.Fatal(err)
	}
	return upstreamtest.ParseMail(t, raw)
}

func TestOnLossyAllow(t *testing.T) {
	for _, kind := range []string{"resend", "sendgrid"} {
		up, fake := start(t, kind, "on_lossy = 'allow'\n")
		for name, want := range map[string]struct{ text, file string }{
			"18-signed":    {"Signed text.", "signature.asc"},
			"19-encrypted": {" ", "encrypted.asc"},
			"32-smime":     {" ", "smime.p7m"},
		} {
			fake.Reset()
			m := goldenMail(t, name)
			m.ID = name
			if err := up.(upstream.Preflighter).Preflight(m); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if out := up.Send(t.Context(), m); out[0].Err != nil {
				t.Fatalf("%s: %v", name, out[0].Err)
			}
			got := fake.Accepted()[0]
			if strings.TrimSpace(got.Text) != strings.TrimSpace(want.text) ||
				!slices.ContainsFunc(got.Attachments, func(a upstreamtest.Attachment) bool { return a.Name == want.file && len(a.Data) > 0 }) {
				t.Errorf("%s %s: %q with %+v", kind, name, got.Text, got.Attachments)
			}
		}
	}
}

func TestModes(t *testing.T) {
	rows := []struct{ kind, settings, option, want string }{
		{"sendgrid", "sandbox = true\n", "sandbox", "true"},
		{"mailgun", "test_mode = true\n", "o:testmode", "yes"},
		{"mailgun", "", "o:tracking", "no"},
		{"mailgun", "", "v:mailhatch_id", "01JQUEUEID"},
		{"sendgrid", "", "mailhatch_id", "01JQUEUEID"},
		{"sendgrid", "", "click_tracking", ""},
	}
	for _, row := range rows {
		up, fake := start(t, row.kind, row.settings)
		out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))
		if out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		if got := fake.Accepted()[0].Options[row.option]; got != row.want {
			t.Errorf("%s %q: %s = %q", row.kind, row.settings, row.option, got)
		}
	}
}

func TestPassControlHeaders(t *testing.T) {
	rows := []struct {
		kind, headers string
		want          map[string]string
		bad           string // in the reason
	}{
		{"sendgrid", `X-SMTPAPI: {"category":["a","b","a"],"unique_args":{"n":5,"s":"x","mailhatch_id":"y"},"send_at":1770000000}`,
			map[string]string{"categories": "a,b", "n": "5", "s": "x", "send_at": "1770000000", "mailhatch_id": "01JQUEUEID"}, ""},
		{"sendgrid", `X-SMTPAPI: {"category":"one"}`, map[string]string{"categories": "one"}, ""},
		{"sendgrid", `X-SMTPAPI: {"asm_group_id":5,"asm_groups_to_display":[5,6],"ip_pool":"bulk","filters":{"clicktrack":{"settings":{"enable":1}},` +
			`"opentrack":{"settings":{"enable":"1","replace":"%open%"}},"ganalytics":{"settings":{"enable":1,"utm_source":"app"}},"footer":{"settings":{"enable":0}}},` +
			`"sub":{"-name-":["Ann"],"-hi-":["%hi%"]},"section":{"%hi%":"Hello"}}`,
			map[string]string{"asm": "{5 [5 6]}", "ip_pool": "bulk", "click_tracking": "on", "open_tracking": "on %open%", "subscription_tracking": "",
				"sub -name-": "Ann", "sub -hi-": "%hi%", "section %hi%": "Hello"}, ""},
		{"sendgrid", `X-SMTPAPI: {"filters":{"subscriptiontrack":{"settings":{"enable":true,"text/plain":"bye","text/html":"<%bye%>"}}}}`, map[string]string{"subscription_tracking": "on", "click_tracking": ""}, ""},
		{"sendgrid", `X-SMTPAPI: {"filters":{"footer":{"settings":{"enable":1}}}}`, nil, `"footer" is not translated`},
		{"sendgrid", `X-SMTPAPI: {"filters":{"opentrack":{"settings":{"enable":"perhaps"}}}}`, nil, "perhaps"},
		{"sendgrid", `X-SMTPAPI: {"asm_groups_to_display":[1]}`, nil, "needs asm_group_id"},
		{"sendgrid", `X-SMTPAPI: {"asm_group_id":"x"}`, nil, "asm_group_id: must be a number"},
		{"sendgrid", `X-SMTPAPI: {"sub":{"-name-":["Ann","Bob"]}}`, nil, "2 values"},
		{"sendgrid", `X-SMTPAPI: {"sub":{"-name-":"Ann"}}`, nil, "lists of strings"},
		{"sendgrid", `X-SMTPAPI: {"sub":{"-name-":["` + strings.Repeat("c", 9900) + `"]}}`, nil, "bytes"},
		{"sendgrid", `X-SMTPAPI: {"section":[]}`, nil, "section"},
		{"sendgrid", "X-Other: 1", map[string]string{"categories": ""}, ""},
		{"sendgrid", `X-SMTPAPI: {"to":["evil@example.org"]}`, nil, `"to"`},
		{"sendgrid", `X-SMTPAPI: nonsense`, nil, "not a JSON"},
		{"sendgrid", "X-SMTPAPI: {\"category\":\"a\"}\r\nX-SMTPAPI: {\"category\":\"b\"}", nil, "2 times"},
		{"sendgrid", `X-SMTPAPI: {"category":5}`, nil, "category"},
		{"sendgrid", `X-SMTPAPI: {"category":["1","2","3","4","5","6","7","8","9","10","11"]}`, nil, "11 categories"},
		{"sendgrid", `X-SMTPAPI: {"category":"` + strings.Repeat("c", 300) + `"}`, nil, "300"},
		{"sendgrid", `X-SMTPAPI: {"unique_args":[]}`, nil, "unique_args"},
		{"sendgrid", `X-SMTPAPI: {"send_at":"soon"}`, nil, "send_at: must be a number"},
		{"sendgrid", `X-SMTPAPI: {"filters":{"clicktrack":1}}`, nil, "filters: must be an object"},
		{"sendgrid", `X-SMTPAPI: {"unique_args":{"x":"` + strings.Repeat("c", 9900) + `"}}`, nil, "bytes"},
		{"mailgun", "X-Mailgun-Tag: a\nX-Mailgun-Tag: b\nX-Mailgun-Variables: {\"k\":\"v\",\"n\":{\"m\":1},\"mailhatch_id\":\"z\"}\nX-Mailgun-Track: YES\n" +
			"X-Mailgun-Deliver-By: Fri, 06 Feb 2026 12:00:00 +0000\nX-Mailgun-Drop-Message: yes",
			map[string]string{"o:tag": "a,b", "v:k": "v", "v:n": `{"m":1}`, "o:tracking": "yes", "o:testmode": "yes",
				"o:deliverytime": "Fri, 06 Feb 2026 12:00:00 +0000", "v:mailhatch_id": "01JQUEUEID"}, ""},
		{"mailgun", "X-Mailgun-Track: perhaps", nil, "perhaps"},
		{"mailgun", "X-Mailgun-Variables: nonsense", nil, "not a JSON"},
		{"mailgun", "X-Mailgun-Recipient-Variables: {}", nil, "Recipient-Variables"},
		{"mailgun", "X-Mailgun-Tag: " + strings.Repeat("t", 17<<10), nil, "16384"},
		{"resend", "Resend-Idempotency-Key: ké", nil, "ASCII"},
		{"resend", "Resend-Idempotency-Key: " + strings.Repeat("k", 300), nil, "300"},
	}
	for _, row := range rows {
		up, fake := start(t, row.kind, "pass_control_headers = true\n")
		m := makeMail(t, row.headers+"\n"+plainMessage, "ann@example.org")
		out := up.Send(t.Context(), m)
		if row.bad != "" {
			e := asError(t, out[0].Err)
			if e.Class != upstream.Unrepresentable || !strings.Contains(e.Error(), row.bad) || len(fake.Accepted()) > 0 {
				t.Errorf("%.60s: %+v", row.headers, e)
			}
			continue
		}
		if out[0].Err != nil {
			t.Errorf("%.60s: %v", row.headers, out[0].Err)
			continue
		}
		got := fake.Accepted()[0]
		for k, v := range row.want {
			if got.Options[k] != v {
				t.Errorf("%.60s: %s = %q, want %q", row.headers, k, got.Options[k], v)
			}
		}
	}
}

// TestFieldsOfTheOperator: what a rule wrote counts without pass_control_headers, what a program wrote does not.
func TestFieldsOfTheOperator(t *testing.T) {
	const header = "X-SMTPAPI: {\"category\":\"cs1\"}\nX-Mailgun-Tag: cs1\nResend-Idempotency-Key: cs1\nX-SES-Configuration-Set: cs1\n"
	for kind, own := range map[string]string{"sendgrid": "x-smtpapi", "mailgun": "x-mailgun-tag", "resend": "resend-idempotency-key"} {
		for _, rule := range []bool{true, false} {
			up, fake := start(t, kind, "")
			m := makeMail(t, header+plainMessage, "ann@example.org")
			if rule {
				m.Own = []string{own}
			}
			if err := up.(upstream.Preflighter).Preflight(m); err != nil {
				t.Fatal(err)
			}
			if out := up.Send(t.Context(), m); out[0].Err != nil {
				t.Fatal(out[0].Err)
			}
			got := fake.Accepted()[0]
			told := map[string]string{"sendgrid": got.Options["categories"], "mailgun": got.Options["o:tag"], "resend": got.IdempotencyKey}[kind]
			if (told == "cs1") != rule || len(got.Headers["X-SES-Configuration-Set"])+len(got.Headers["X-SMTPAPI"]) > 0 {
				t.Errorf("%s, by a rule: %v: %q, %v", kind, rule, told, got.Headers)
			}
		}
	}
	for _, kind := range []string{"sendgrid", "resend"} { // what is another provider's is a header like others
		up, fake := start(t, kind, "")
		m := makeMail(t, header+plainMessage, "ann@example.org")
		m.Own = []string{"x-ses-configuration-set"}
		if out := up.Send(t.Context(), m); out[0].Err != nil || fake.Accepted()[0].Headers["X-SES-Configuration-Set"] != "cs1" {
			t.Errorf("%s: %v", kind, out)
		}
	}
}

func TestResendGivenKey(t *testing.T) {
	up, fake := start(t, "resend", "pass_control_headers = true\n")
	m := makeMail(t, "Resend-Idempotency-Key: order-1\n"+plainMessage, "ann@example.org", "bob@example.org")
	if out := up.Send(t.Context(), m); out[0].Err != nil {
		t.Fatal(out[0].Err)
	}
	m = makeMail(t, "Resend-Idempotency-Key: order-2\nFrom: app@example.com\nSubject: s\n\nb\n", "ann@example.org", "bob@example.org")
	if out := up.Send(t.Context(), m); out[0].Err != nil || out[1].Err != nil {
		t.Fatal(out)
	}
	var keys []string
	for _, msg := range fake.Accepted() {
		keys = append(keys, msg.IdempotencyKey)
	}
	if len(keys) != 3 || keys[0] != "order-1" || !strings.HasPrefix(keys[1], "order-2-") || !strings.HasPrefix(keys[2], "order-2-") || keys[1] == keys[2] {
		t.Errorf("keys %q", keys)
	}
}

func TestTooLarge(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		m := makeMail(t, plainMessage+strings.Repeat(strings.Repeat("x", 998)+"\n", int(kind.limit/990)), "ann@example.org")
		e := asError(t, up.(upstream.Preflighter).Preflight(m))
		if e.Class != upstream.Unrepresentable || e.Code != "5.3.4" {
			t.Errorf("%s: preflight %+v", kind.name, e)
		}
		if kind.name == "resend" {
			continue // once is enough of what takes a while
		}
		if e := asError(t, up.Send(t.Context(), m)[0].Err); e.Code != "5.3.4" {
			t.Errorf("%s: send %+v", kind.name, e)
		}
		if fake.Requests() != 0 {
			t.Errorf("%s: it was sent", kind.name)
		}
	}
}

func TestHeadersOfRequests(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		if out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org")); out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
		h := fake.Accepted()[0].RequestHeader
		if h.Get("User-Agent") != "mailhatch/test" || h.Get("Accept") != "application/json" || h.Get("Transfer-Encoding") != "" || h.Get("Content-Length") == "" {
			t.Errorf("%s: %v", kind.name, h)
		}
	}
}

// TestNoFieldIsInjected: nothing that a provider could take for the end of a line is in a subject, a name or a header
// field, written as it is or encoded; and References are of the length that all take.
func TestNoFieldIsInjected(t *testing.T) {
	var references []string
	for i := range 200 {
		references = append(references, fmt.Sprintf("<%030d@x.test>", i))
	}
	for _, end := range []string{"\r", "=?utf-8?q?=0D=0A?=", "=?utf-8?q?=0A?=", "=?utf-8?q?=C2=85?=", "=?utf-8?q?=E2=80=A8?=", "=?utf-8?q?=E2=80=A9?=", "=?utf-8?q?=0B?="} {
		for _, kind := range apiKinds {
			up, fake := start(t, kind.name, "")
			m := makeMail(t, "From: \"x "+end+" y\" <app@example.com>\nTo: ann@example.org\nSubject: x "+end+" X-Injected: 1\nX-Site: x "+end+" X-Injected: 1\n"+
				"References: "+strings.Join(references, " ")+"\nMessage-ID: <m@x>\n\ntext", "ann@example.org")
			if out := up.Send(t.Context(), m); out[0].Err != nil {
				t.Fatal(out[0].Err)
			}
			msg := fake.Accepted()[0]
			if kind.raw {
				if raw, err := mime.Parse(mime.NewBytesSource(msg.Raw)); err != nil || raw.Header.Has("X-Injected") || len(raw.Header.Get("References")) > 4096 || bytes.Contains(raw.HeaderBytes(), []byte("\rX")) {
					t.Errorf("%s, %q: %q", kind.name, end, msg.Raw)
				}
				continue
			}
			for name, value := range msg.Headers {
				if strings.ContainsFunc(value, isControl) || name == "References" && (len(value) > 4096 || !strings.HasPrefix(value, references[0]) || !strings.HasSuffix(strings.TrimSuffix(value, " <m@x>"), references[199])) {
					t.Errorf("%s, %q: %s: %q", kind.name, end, name, value)
				}
			}
			if strings.ContainsFunc(msg.Subject+msg.From, isControl) || len(strings.Fields(msg.Subject)) != 3 {
				t.Errorf("%s, %q: %q from %q", kind.name, end, msg.Subject, msg.From)
			}
		}
	}
}

func isControl(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }

// TestBccStaysHidden is promise 2 in one message.
func TestBccStaysHidden(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		if kind.name == "brevo" {
			up, fake = start(t, kind.name, "on_lossy = 'allow'\n") // it has no place for the picture
		}
		m := goldenMail(t, "03-everything")
		for _, o := range up.Send(t.Context(), m) {
			if o.Err != nil {
				t.Fatal(o.Err)
			}
		}
		msg := fake.Accepted()[0]
		want := []string{"ann@example.org", "bob@example.org", "cy@example.org", "dora@example.org"}
		if diff := cmp.Diff(want, msg.Recipients); diff != "" {
			t.Error(kind.name, diff)
		}
		visible := strings.Join(msg.To, " ") + strings.Join(msg.Cc, " ")
		if kind.raw {
			visible = string(msg.Raw)
		}
		if strings.Contains(visible, "dora") {
			t.Errorf("%s shows the Bcc recipient", kind.name)
		}
		if len(msg.Attachments) != 2 || msg.Attachments[1].Name != "Rechnung März.pdf" || kind.name != "brevo" && msg.Attachments[0].ContentID != "logo@app" {
			t.Errorf("%s: files %+v", kind.name, msg.Attachments)
		}
	}
}

// TestEncodedHeaders: SendGrid wants header values beyond ASCII encoded; addresses in them stay readable.
func TestEncodedHeaders(t *testing.T) {
	up, fake := start(t, "sendgrid", "")
	m := makeMail(t, "Disposition-Notification-To: =?utf-8?q?J=C3=B6rg?= <j@x.org>\nX-Long: =?utf-8?q?"+strings.Repeat("=C3=BC", 100)+"?=\nX-Odd: plain =?utf-8?q?=C3=BC?= end\n"+plainMessage, "ann@example.org")
	if o := up.Send(t.Context(), m)[0]; o.Err != nil {
		t.Fatal(o.Err)
	}
	got := fake.Accepted()[0]
	for _, want := range []string{`"Disposition-Notification-To":"=?utf-8?q?J=C3=B6rg?= <j@x.org>"`, `"X-Odd":"plain =?utf-8?b?w7w=?= end"`} {
		if !strings.Contains(string(got.Raw), want) {
			t.Errorf("no %s in\n%s", want, got.Raw)
		}
	}
	if got.Headers["X-Long"] != strings.Repeat("ü", 100) {
		t.Errorf("%q", got.Headers["X-Long"])
	}
}
