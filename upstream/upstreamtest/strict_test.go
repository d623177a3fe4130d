package upstreamtest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"mailhatch/upstream/upstreamtest"
)

const key = "k"

func post(t *testing.T, url, path, contentType, auth, body string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

const resendGood = `{"from":"A <a@b.org>","to":["c@d.org"],"subject":"s","text":"t","attachments":[{"filename":"a.pdf","content_type":"application/pdf","content":"QUI="}],"headers":{"X-A":"b"}}`

func TestResendIsStrict(t *testing.T) {
	fake := upstreamtest.NewResend(key)
	defer fake.Close()
	rows := []struct {
		old, new string
		status   int
		words    string
	}{
		{"", "", 200, "id"},
		{`"subject":"s",`, "", 422, "subject"},
		{`"text":"t",`, "", 422, "text"},
		{`"text":"t"`, `"text":"","html":""`, 422, "text"},
		{`"text":"t"`, `"html":"h"`, 422, "made up"},
		{`["c@d.org"]`, `[]`, 422, "to"},
		{`["c@d.org"]`, `["c@d.org","C@d.org"]`, 422, "twice"},
		{`["c@d.org"]`, `["c@d.org"],"cc":"jörg@d.org"`, 422, "`cc` field"},
		{`["c@d.org"]`, `["c@nodot"]`, 422, "`to` field"},
		{`["c@d.org"]`, `"` + strings.Repeat("x", 5) + `"`, 422, "`to` field"},
		{`["c@d.org"]`, `["` + strings.Repeat(`c@d.org","`, 50) + `c@d.org"]`, 422, "50"},
		{`A <a@b.org>`, `nobody`, 422, "from"},
		{`A <a@b.org>`, `A, B <a@b.org>`, 422, "from"},
		{`"X-A":"b"`, `"X-A":5`, 422, "no string"},
		{`"X-A":"b"`, `"X-A":"b","x-a":"c"`, 422, "twice"},
		{`"X-A":"b"`, `"Content-Type":"b"`, 422, "reserved"},
		{`"X-A":"b"`, `"X A":"b"`, 422, "no header name"},
		{`"X-A":"b"`, `"X-A":"b\r\nBcc: x@y.org"`, 422, "control"},
		{`application/pdf`, `image/png`, 422, "never arrive"},
		{`a.pdf`, ``, 422, "never arrive"},
		{`QUI=`, `QUI`, 422, "a.pdf"},
		{`QUI=`, `Q UI=`, 422, "blanks"},
		{`"subject"`, `"subjekt":1,"subject"`, 422, "subjekt"},
		{`"X-A":"b"}}`, `"X-A":"b"}} more`, 422, "more"},
		{`"t"`, "\"\xff\"", 422, "UTF-8"},
		{`{"from`, `["from`, 422, "validation"},
	}
	for _, row := range rows {
		status, body := post(t, fake.URL, "/emails", "application/json", "Bearer "+key, strings.Replace(resendGood, row.old, row.new, 1))
		if status != row.status || !strings.Contains(body, row.words) {
			t.Errorf("%s -> %s: %d %s", row.old, row.new, status, body)
		}
	}
	if len(fake.Accepted()) != 1 || len(fake.Rejected()) != len(rows)-1 {
		t.Errorf("%d taken, %d refused", len(fake.Accepted()), len(fake.Rejected()))
	}
	for auth, want := range map[string]int{"": 401, "Bearer x": 403} {
		if status, _ := post(t, fake.URL, "/emails", "application/json", auth, resendGood); status != want {
			t.Errorf("%q: %d", auth, status)
		}
	}
	if status, _ := post(t, fake.URL, "/emails", "text/plain", "Bearer "+key, resendGood); status != 415 {
		t.Errorf("text/plain: %d", status)
	}
	if status, _ := post(t, fake.URL, "/emails/batch", "application/json", "Bearer "+key, resendGood); status != 404 {
		t.Errorf("batch: %d", status)
	}
}

const sendgridGood = `{"personalizations":[{"to":[{"email":"c@d.org","name":"C"}],"cc":[],"bcc":[],"custom_args":{"a":"b"}}],"from":{"email":"a@b.org"},` +
	`"subject":"s","content":[{"type":"text/plain","value":"t"}],"headers":{"X-A":"b"},"categories":["x"],` +
	`"attachments":[{"filename":"a.pdf","type":"application/pdf","disposition":"inline","content_id":"c","content":"QUI="}]}`

func TestSendGridIsStrict(t *testing.T) {
	fake := upstreamtest.NewSendGrid(key)
	defer fake.Close()
	rows := []struct {
		old, new string
		status   int
		words    string
	}{
		{"", "", 202, ""},
		{`"subject":"s"`, `"subject":""`, 400, "subject"},
		{`"subject":"s"`, `"subject":"s","mail_settings":{"sandbox_mode":{"enable":true}}`, 200, ""},
		{`[{"email":"c@d.org","name":"C"}]`, `[]`, 400, "to array"},
		{`"name":"C"`, `"name":"C, D"`, 400, "name"},
		{`c@d.org`, `c@nodot`, 400, "personalizations.0.to.0.email"},
		{`"bcc":[]`, `"bcc":[{"email":"C@d.org"}]`, 400, "first duplicate"},
		{`"bcc":[]`, `"bcc":[` + strings.TrimSuffix(strings.Repeat(`{"email":"c@d.org"},`, 1000), ",") + `]`, 400, "duplicate"},
		{`"a":"b"`, `"a":5`, 400, "no string"},
		{`"a":"b"`, `"a":"` + strings.Repeat("x", 10_001) + `"`, 400, "10000"},
		{`a@b.org`, `a`, 400, "from.email"},
		{`"subject"`, `"reply_to":{"email":"x@y.org"},"reply_to_list":[{"email":"x@y.org"}],"subject"`, 400, "together"},
		{`"subject"`, `"reply_to_list":[{"email":"x@y.org"},{"email":"X@y.org"}],"subject"`, 400, "unique"},
		{`{"type":"text/plain","value":"t"}`, ``, 400, "content"},
		{`"value":"t"`, `"value":""`, 400, "content.0.value"},
		{`"type":"text/plain"`, `"type":""`, 400, "content.0.type"},
		{`{"type":"text/plain","value":"t"}`, `{"type":"text/html","value":"t"},{"type":"text/plain","value":"t"}`, 400, "must be first"},
		{`"X-A"`, `"reply-to"`, 400, "reserved"},
		{`["x"]`, `["x","x"]`, 400, "categories"},
		{`["x"]`, `["1","2","3","4","5","6","7","8","9","10","11"]`, 400, "categories"},
		{`QUI=`, ``, 400, "attachments.0.content"},
		{`"filename":"a.pdf",`, ``, 400, "attachments.0.filename"},
		{`application/pdf`, `application/pdf; x=y`, 400, "attachments.0.type"},
		{`"inline"`, `"beside"`, 400, "disposition"},
		{`"content_id":"c"`, `"content_id":"c;d"`, 400, "content_id"},
		{`"content_id":"c",`, ``, 400, "content_id"},
		{`"subject"`, `"custom_args":{},"subject"`, 400, "custom_args"},
	}
	taken := 0
	for _, row := range rows {
		status, body := post(t, fake.URL, "/v3/mail/send", "application/json", "Bearer "+key, strings.Replace(sendgridGood, row.old, row.new, 1))
		if status != row.status || !strings.Contains(body, row.words) {
			t.Errorf("%s -> %.200s: %d %s", row.old, row.new, status, body)
		}
		if status < 300 {
			taken++
		}
	}
	if len(fake.Accepted()) != taken {
		t.Errorf("%d taken", len(fake.Accepted()))
	}
	if status, _ := post(t, fake.URL, "/v3/mail/send", "text/plain", "Bearer "+key, sendgridGood); status != 415 {
		t.Errorf("text/plain: %d", status)
	}
	if status, _ := post(t, fake.URL, "/v3/mail/send", "application/json", "Bearer no", sendgridGood); status != 401 {
		t.Errorf("wrong key: %d", status)
	}
	if status, _ := post(t, fake.URL, "/v3/mail", "application/json", "Bearer "+key, sendgridGood); status != 404 {
		t.Errorf("wrong path: %d", status)
	}
}

func field(name, value string) string {
	return "--B\r\nContent-Disposition: form-data; name=\"" + name + "\"\r\n\r\n" + value + "\r\n"
}

const mailgunFile = "--B\r\nContent-Disposition: form-data; name=\"message\"; filename=\"m\"\r\n\r\nFrom: a@b.org\r\nSubject: s\r\n\r\nt\r\n"

func TestMailgunIsStrict(t *testing.T) {
	fake := upstreamtest.NewMailgun(key, "mg.example.com")
	defer fake.Close()
	const path, auth = "/v3/mg.example.com/messages.mime", "Basic YXBpOms="
	to := field("to", "c@d.org")
	rows := []struct {
		form   string
		status int
		words  string
	}{
		{to + to + field("to", "A <x@d.org>, y@d.org") + field("o:tag", "1") + field("o:tag", "2") + field("v:x", "y") + mailgunFile, 200, "Queued"},
		{mailgunFile, 400, "to parameter"},
		{to, 400, "message parameter"},
		{to + field("message", "From: a@b.org\r\n\r\n"), 400, "file"},
		{field("to", "nobody") + mailgunFile, 400, "not a valid address"},
		{field("to", "x@nodot") + mailgunFile, 400, "not a valid address"},
		{to + field("o:testmode", "maybe") + mailgunFile, 400, "maybe"},
		{to + field("o:dkim", "no") + field("o:dkim", "no") + mailgunFile, 400, "twice"},
		{to + field("subject", "s") + mailgunFile, 400, "no parameter"},
		{to + field("v:x", strings.Repeat("y", 17<<10)) + mailgunFile, 400, "16 kB"},
		{to + strings.Replace(mailgunFile, "From: a@b.org", "X: y", 1), 400, "from parameter"},
		{to + strings.Replace(mailgunFile, "Subject", "Bcc", 1), 400, "Bcc"},
		{to + strings.Replace(mailgunFile, "Subject", "X-Mailgun-Tag", 1), 400, "steer"},
		{"nonsense", 400, "cannot be read"},
	}
	for _, row := range rows {
		status, body := post(t, fake.URL, path, "multipart/form-data; boundary=B", auth, row.form+"--B--\r\n")
		if row.form == "nonsense" {
			status, body = post(t, fake.URL, path, "multipart/form-data; boundary=B", auth, row.form)
		}
		if status != row.status || !strings.Contains(body, row.words) {
			t.Errorf("%.200s: %d %s", row.form, status, body)
		}
	}
	got := fake.Accepted()
	if len(got) != 1 || strings.Join(got[0].Recipients, " ") != "c@d.org x@d.org y@d.org" || got[0].Options["o:tag"] != "1,2" {
		t.Errorf("%+v", got)
	}
	good := to + mailgunFile + "--B--\r\n"
	for _, row := range []struct {
		path, contentType, auth string
		status                  int
		words                   string
	}{
		{"/v3/other.example.com/messages.mime", "multipart/form-data; boundary=B", auth, 404, "Domain not found"},
		{"/v3/a/b/messages.mime", "multipart/form-data; boundary=B", auth, 200, "Magnificent"},
		{path, "application/x-www-form-urlencoded", auth, 400, "form-data"},
		{path, "multipart/form-data; boundary=B", "Basic eDp5", 401, "Forbidden"},
		{"/v3/mg.example.com/elsewhere", "multipart/form-data; boundary=B", auth, 200, "Magnificent"},
	} {
		if status, body := post(t, fake.URL, row.path, row.contentType, row.auth, good); status != row.status || !strings.Contains(body, row.words) {
			t.Errorf("%s: %d %s", row.path, status, body)
		}
	}
}

func TestTooLarge(t *testing.T) {
	fake := upstreamtest.NewMailgun(key, "d")
	defer fake.Close()
	if status, _ := post(t, fake.URL, "/v3/d/messages.mime", "multipart/form-data; boundary=B", "", strings.Repeat("x", 26<<20)); status != 413 {
		t.Errorf("%d", status)
	}
	if len(fake.Rejected()) != 1 {
		t.Errorf("%v", fake.Rejected())
	}
}

func TestFaultThatAccepts(t *testing.T) {
	fake := upstreamtest.NewResend(key)
	defer fake.Close()
	fake.Script(upstreamtest.Times(2, upstreamtest.Fault{Status: 500, Body: "oops", Accept: true})...)
	for range 2 {
		if status, body := post(t, fake.URL, "/emails", "application/json", "Bearer "+key, resendGood); status != 500 || body != "oops" {
			t.Errorf("%d %s", status, body)
		}
	}
	if len(fake.Accepted()) != 2 || fake.Requests() != 2 {
		t.Errorf("%d taken of %d", len(fake.Accepted()), fake.Requests())
	}
	fake.Reset()
	if len(fake.Accepted())+fake.Requests()+len(fake.Rejected()) != 0 {
		t.Error("Reset forgets nothing")
	}
}
