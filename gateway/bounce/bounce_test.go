package bounce

import (
	"bytes"
	"errors"
	"flag"
	"io"
	stdmime "mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"bufio"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/mime"
)

var update = flag.Bool("update", false, "write the golden files")

var (
	received = time.Date(2026, 3, 1, 8, 30, 0, 0, time.UTC)
	now      = time.Date(2026, 3, 1, 9, 0, 0, 0, time.UTC)
)

const plainMail = "From: App <app@example.com>\r\nTo: ann@example.org\r\nBcc: secret@example.org\r\nSubject: Invoice 42\r\n" +
	"Message-ID: <42@example.com>\r\nReferences: <40@example.com> <41@example.com>\r\n\r\nHello Ann\r\n"

func parse(t *testing.T, raw string) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource([]byte(raw)))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// failure is a report that the cases below change.
func failure(t *testing.T, raw string) *Report {
	return &Report{Action: Failed, ID: "Q1", Hostname: "gw.example.com", At: now, Until: received.Add(120 * time.Hour),
		Envelope: envelope.Envelope{From: "app@example.com", Received: received},
		Original: parse(t, raw),
		Fates: []Fate{{Recipient: envelope.Recipient{Address: "ann@example.org"}, Status: "5.1.1", Upstream: "relay",
			Words: "550 5.1.1: no such user", Code: 550, SMTP: true, Last: now.Add(-time.Second)}}}
}

var (
	randomID       = regexp.MustCompile(`Message-ID: <[A-Z2-7]{26}@gw`)
	randomBoundary = regexp.MustCompile(`boundary="([A-Z2-7]{26})"`)
)

// fixed replaces what is random.
func fixed(t *testing.T, msg []byte) []byte {
	t.Helper()
	b := randomBoundary.FindSubmatch(msg)
	if b == nil || !randomID.Match(msg) {
		t.Fatalf("no boundary or no message id:\n%s", msg)
	}
	msg = bytes.ReplaceAll(msg, b[1], []byte("BOUNDARY"))
	return randomID.ReplaceAll(msg, []byte("Message-ID: <RANDOM@gw"))
}

func goldenReports(t *testing.T) map[string]*Report {
	full := failure(t, plainMail)
	full.Envelope.Ret, full.Envelope.EnvID = "FULL", "env 7"
	full.Fates[0].Recipient.ORcpt, full.Fates[0].Recipient.Given = "rfc822;Ann+x@example.org", "ann"

	several := failure(t, plainMail)
	several.Fates = append(several.Fates,
		Fate{Recipient: envelope.Recipient{Address: "bob@example.org"}, Upstream: "main", Code: 422,
			Words: "422 validation_error: Ungültige Adresse", Last: now},
		Fate{Recipient: envelope.Recipient{Address: "eve@example.org", Notify: []string{"NEVER"}}, Words: "hidden"})

	delayed := failure(t, plainMail)
	delayed.Action = Delayed
	delayed.Fates[0].Status, delayed.Fates[0].Code, delayed.Fates[0].SMTP = "", 0, false
	delayed.Fates[0].Words = "dial tcp: connection refused"

	relayed := failure(t, plainMail)
	relayed.Action = Relayed
	relayed.Fates = []Fate{{Recipient: envelope.Recipient{Address: "ann@example.org", Notify: []string{"success"}}, Upstream: "relay", Last: now}}

	expired := failure(t, plainMail)
	expired.At = expired.Until.Add(time.Minute)
	expired.Fates[0] = Fate{Recipient: envelope.Recipient{Address: "ann@example.org"}, Upstream: "main",
		Words: "given up after 120h0m0s. Last error: timeout"}

	utf8 := failure(t, "From: J\xc3\xb6rg <j\xc3\xb6rg@example.com>\r\nSubject: Gr\xc3\xbc\xc3\x9fe\r\nMessage-ID: <1@x>\r\n\r\nhi\r\n")
	utf8.Envelope.From, utf8.Envelope.UTF8 = "jörg@example.com", true
	utf8.Fates[0].Recipient = envelope.Recipient{Address: "ännchen@example.org", ORcpt: "utf-8;ännchen@example.org"}

	toUTF8 := failure(t, "From: app@example.com\r\nSubject: =?utf-8?q?Gr=C3=BC=C3=9Fe?=\r\n\r\nhi\r\n")
	toUTF8.Fates[0].Recipient = envelope.Recipient{Address: "änn+x@example.org"}

	return map[string]*Report{"full": full, "several": several, "delayed": delayed, "relayed": relayed, "expired": expired,
		"utf8_sender": utf8, "utf8_recipient": toUTF8, "header_only": failure(t, plainMail)}
}

func TestGolden(t *testing.T) {
	for name, r := range goldenReports(t) {
		t.Run(name, func(t *testing.T) {
			msg, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			got := fixed(t, msg)
			file := filepath.Join("testdata", name+".eml")
			if *update {
				if err := os.WriteFile(file, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), string(got)); d != "" {
				t.Errorf("-want +got\n%s", d)
			}
			checkLines(t, msg)
		})
	}
}

// checkLines asserts that the message can go out as it is: CRLF, no line over 998 bytes.
func checkLines(t *testing.T, msg []byte) {
	t.Helper()
	for line := range bytes.Lines(msg) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.ContainsAny(text, "\r\n\x00") || len(text) > 998 {
			t.Errorf("bad line %q", line)
		}
	}
}

// read is a report as an independent reader sees it.
type read struct {
	header    mail.Header
	words     string
	message   textproto.MIMEHeader
	rcpts     []textproto.MIMEHeader
	original  string
	kinds     []string
	encodings []string
}

func readBack(t *testing.T, msg []byte) read {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	out := read{header: m.Header}
	kind, params, err := stdmime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type %q %v %v", kind, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(p)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		out.kinds = append(out.kinds, p.Header.Get("Content-Type"))
		out.encodings = append(out.encodings, p.Header.Get("Content-Transfer-Encoding"))
		switch len(out.kinds) {
		case 1:
			out.words = string(content)
		case 2:
			blocks := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(content), strings.NewReader("\r\n"))))
			if out.message, err = blocks.ReadMIMEHeader(); err != nil {
				t.Fatal(err)
			}
			for {
				h, err := blocks.ReadMIMEHeader()
				if len(h) > 0 {
					out.rcpts = append(out.rcpts, h)
				}
				if err != nil {
					break
				}
			}
		case 3:
			out.original = string(content)
		}
	}
}

func TestReadBack(t *testing.T) {
	r := failure(t, plainMail)
	r.Envelope.Ret, r.Envelope.EnvID = "full", "env7"
	r.Fates[0].Recipient.ORcpt = "rfc822;ann@old.example"
	msg, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	got := readBack(t, msg)
	for name, want := range map[string]string{
		"From": "Mail Delivery System <MAILER-DAEMON@gw.example.com>", "To": "<app@example.com>",
		"Subject": "Undelivered mail: Invoice 42", "Auto-Submitted": "auto-replied", "In-Reply-To": "<42@example.com>",
		"References": "<40@example.com> <41@example.com> <42@example.com>", "Mime-Version": "1.0",
	} {
		if v := got.header.Get(name); v != want {
			t.Errorf("%s: %q, want %q", name, v, want)
		}
	}
	if d, err := got.header.Date(); err != nil || !d.Equal(now) {
		t.Errorf("Date %v %v", d, err)
	}
	if d := cmp.Diff([]string{"text/plain; charset=utf-8", "message/delivery-status", "message/rfc822"}, got.kinds); d != "" {
		t.Error(d)
	}
	wantMessage := textproto.MIMEHeader{"Original-Envelope-Id": {"env7"}, "Reporting-Mta": {"dns; gw.example.com"},
		"Arrival-Date": {received.Format(time.RFC1123Z)}, "X-Mailhatch-Queue-Id": {"Q1"}}
	if d := cmp.Diff(wantMessage, got.message); d != "" {
		t.Error(d)
	}
	wantRcpts := []textproto.MIMEHeader{{"Original-Recipient": {"rfc822; ann@old.example"}, "Final-Recipient": {"rfc822; ann@example.org"},
		"Action": {"failed"}, "Status": {"5.1.1"}, "Remote-Mta": {"x-mailhatch-upstream; relay"},
		"Diagnostic-Code": {"smtp; 550 5.1.1 no such user"}, "Last-Attempt-Date": {now.Add(-time.Second).Format(time.RFC1123Z)}}}
	if d := cmp.Diff(wantRcpts, got.rcpts); d != "" {
		t.Error(d)
	}
	if want := strings.Replace(plainMail, "Bcc: secret@example.org\r\n", "", 1); got.original != want {
		t.Errorf("original %q", got.original)
	}
	for _, want := range []string{"Invoice 42", "<ann@example.org>", "no such user", "relay", "Check the address", "Q1"} {
		if !strings.Contains(got.words, want) {
			t.Errorf("no %q in\n%s", want, got.words)
		}
	}
}

func TestNoneDue(t *testing.T) {
	with := func(line string) string { return line + "\r\n" + plainMail }
	cases := map[string]func(r *Report){
		"null sender":              func(r *Report) { r.Envelope.From = "" },
		"auto-replied":             func(r *Report) { r.Original = parse(t, with("Auto-Submitted: auto-replied")) },
		"auto-generated, params":   func(r *Report) { r.Original = parse(t, with("Auto-Submitted: auto-generated; x=y")) },
		"precedence bulk":          func(r *Report) { r.Original = parse(t, with("Precedence: Bulk")) },
		"precedence junk":          func(r *Report) { r.Original = parse(t, with("Precedence: junk")) },
		"precedence list":          func(r *Report) { r.Original = parse(t, with("Precedence: list")) },
		"no recipient":             func(r *Report) { r.Fates = nil },
		"NOTIFY=NEVER":             func(r *Report) { r.Fates[0].Recipient.Notify = []string{"NEVER"} },
		"NOTIFY=SUCCESS,DELAY":     func(r *Report) { r.Fates[0].Recipient.Notify = []string{"SUCCESS", "DELAY"} },
		"NOTIFY=FAILURE, delay":    func(r *Report) { r.Action, r.Fates[0].Recipient.Notify = Delayed, []string{"FAILURE"} },
		"relayed without NOTIFY":   func(r *Report) { r.Action = Relayed },
		"relayed, NOTIFY=FAILURE":  func(r *Report) { r.Action, r.Fates[0].Recipient.Notify = Relayed, []string{"FAILURE"} },
		"auto-submitted and no no": func(r *Report) { r.Original = parse(t, with("Auto-Submitted: no\r\nAuto-Submitted: auto-replied")) },
	}
	for name, change := range cases {
		r := failure(t, plainMail)
		change(r)
		if msg, err := r.Message(); msg != nil || err != nil {
			t.Errorf("%s: %q %v", name, msg, err)
		}
	}
}

func TestDue(t *testing.T) {
	cases := map[string]func(r *Report){
		"auto-submitted no":       func(r *Report) { r.Original = parse(t, "Auto-Submitted: No\r\n"+plainMail) },
		"precedence first-class":  func(r *Report) { r.Original = parse(t, "Precedence: first-class\r\n"+plainMail) },
		"NOTIFY=failure":          func(r *Report) { r.Fates[0].Recipient.Notify = []string{"failure"} },
		"delayed without NOTIFY":  func(r *Report) { r.Action = Delayed },
		"delayed NOTIFY=DELAY":    func(r *Report) { r.Action, r.Fates[0].Recipient.Notify = Delayed, []string{"DELAY"} },
		"relayed, NOTIFY=SUCCESS": func(r *Report) { r.Action, r.Fates[0].Recipient.Notify = Relayed, []string{"SUCCESS", "FAILURE"} },
	}
	for name, change := range cases {
		r := failure(t, plainMail)
		change(r)
		msg, err := r.Message()
		if msg == nil || err != nil {
			t.Errorf("%s: no notification, %v", name, err)
			continue
		}
		if got := readBack(t, msg); got.rcpts[0].Get("Action") != string(r.Action) {
			t.Errorf("%s: %v", name, got.rcpts)
		}
	}
}

func TestStatus(t *testing.T) {
	late := now.Add(1000 * time.Hour)
	cases := []struct {
		action Action
		fate   Fate
		at     time.Time
		want   string
	}{
		{Failed, Fate{Status: "5.7.1"}, now, "5.7.1"},
		{Failed, Fate{Status: "4.2.1"}, late, "4.2.1"},
		{Failed, Fate{Status: "2.0.0"}, now, "5.0.0"},
		{Failed, Fate{Status: "not_found", Code: 404}, now, "5.0.0"},
		{Failed, Fate{Status: "5.1", Code: 550}, now, "5.0.0"},
		{Failed, Fate{Status: "5.x.1"}, now, "5.0.0"},
		{Failed, Fate{Status: "5.1234.1"}, now, "5.0.0"},
		{Failed, Fate{Code: 413}, now, "5.3.4"},
		{Failed, Fate{Code: 550, SMTP: true}, late, "5.0.0"},
		{Failed, Fate{Code: 429}, late, "4.4.7"},
		{Failed, Fate{}, late, "4.4.7"},
		{Failed, Fate{}, now, "5.0.0"},
		{Delayed, Fate{}, now, "4.0.0"},
		{Delayed, Fate{Status: "5.7.1"}, now, "4.7.1"},
		{Delayed, Fate{Status: "4.4.1"}, now, "4.4.1"},
		{Relayed, Fate{Status: "5.7.1"}, now, "2.7.1"},
		{Relayed, Fate{}, now, "2.0.0"},
	}
	for _, c := range cases {
		r := &Report{Action: c.action, At: c.at, Until: now.Add(time.Hour)}
		if got := r.status(c.fate); got != c.want {
			t.Errorf("%s %+v: %s, want %s", c.action, c.fate, got, c.want)
		}
	}
}

func TestDiagnostic(t *testing.T) {
	cases := []struct {
		fate Fate
		want string
	}{
		{Fate{}, ""},
		{Fate{Words: "dial: refused"}, "x-mailhatch; dial: refused"},
		{Fate{Code: 422, Words: "bad\r\nBcc: x"}, "x-mailhatch-http; 422 bad  Bcc: x"},
		{Fate{Code: 503}, "x-mailhatch-http; 503"},
		{Fate{Code: 550, SMTP: true, Words: "550: no"}, "smtp; 550: no"},
		{Fate{Code: 550, SMTP: true, Status: "5.1.1", Words: "no"}, "smtp; 550 no"},
		{Fate{Words: strings.Repeat("x", 2000)}, "x-mailhatch; " + strings.Repeat("x", maxDiagnostic-1) + "…"},
	}
	for _, c := range cases {
		if got := c.fate.diagnostic(); got != c.want {
			t.Errorf("%+v: %q, want %q", c.fate, got, c.want)
		}
	}
}

func TestAdvice(t *testing.T) {
	for status, want := range map[string]string{"5.1.1": "Check", "5.1.8": "sender's", "5.2.2": "full", "5.2.1": "does not take",
		"5.3.4": "too large", "5.6.7": "form", "5.7.26": "policy", "4.4.7": "as long as", "5.0.0": "reason above"} {
		if got := adviceFor(status); !strings.Contains(got, want) {
			t.Errorf("%s: %q", status, got)
		}
	}
}

func TestOriginal(t *testing.T) {
	long := "Subject: x\r\n\r\n" + strings.Repeat("y", 1200) + "\r\n"
	cases := []struct {
		name, raw, ret string
		action         Action
		kind, encoding string
	}{
		{"default", plainMail, "", Failed, "text/rfc822-headers", ""},
		{"HDRS", plainMail, "HDRS", Failed, "text/rfc822-headers", ""},
		{"FULL", plainMail, "FULL", Failed, "message/rfc822", ""},
		{"FULL, delayed", plainMail, "FULL", Delayed, "text/rfc822-headers", ""},
		{"FULL, 8-bit body", "Subject: x\r\n\r\n\xe9\r\n", "FULL", Failed, "message/rfc822", "8bit"},
		{"FULL, UTF-8 header", "Subject: \xc3\xa9\r\n\r\nx\r\n", "FULL", Failed, "message/global", "base64"},
		{"FULL, Latin-1 header", "Subject: \xe9\r\n\r\nx\r\n", "FULL", Failed, "text/rfc822-headers", "quoted-printable"},
		{"FULL, long line", long, "FULL", Failed, "text/rfc822-headers", ""},
		{"FULL, NUL", "Subject: x\r\n\r\n\x00\r\n", "FULL", Failed, "text/rfc822-headers", ""},
		{"FULL, too large", "Subject: x\r\n\r\n" + strings.Repeat("line\r\n", maxReturned/6), "FULL", Failed, "text/rfc822-headers", ""},
		{"long header line", "Subject: " + strings.Repeat("y", 1200) + "\r\n\r\nx", "", Failed, "text/rfc822-headers", "quoted-printable"},
		{"huge header", strings.Repeat("X-A: b\r\n", maxHeader/8+10) + "\r\nx", "", Failed, "text/rfc822-headers", ""},
		{"header alone, no line end", "Subject: x", "", Failed, "text/rfc822-headers", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			r := failure(t, c.raw)
			r.Envelope.Ret, r.Action = c.ret, c.action
			msg, err := r.Message()
			if err != nil {
				t.Fatal(err)
			}
			got := readBack(t, msg)
			if len(got.kinds) != 3 || got.kinds[2] != c.kind || got.encodings[2] != c.encoding {
				t.Errorf("%q %q", got.kinds, got.encodings)
			}
			outer := got.header.Get("Content-Transfer-Encoding")
			if (outer == "8bit") != (c.encoding == "8bit") {
				t.Errorf("Content-Transfer-Encoding %q of the whole", outer)
			}
			checkLines(t, msg)
		})
	}
}

func TestNoOriginal(t *testing.T) {
	r := failure(t, plainMail)
	r.Original, r.Until, r.Action = nil, time.Time{}, Delayed
	r.Envelope.Received = time.Time{}
	msg, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	got := readBack(t, msg)
	if len(got.kinds) != 2 || got.header.Get("Subject") != "Delayed mail" || got.header.Get("References") != "" {
		t.Errorf("%q %v", got.kinds, got.header)
	}
}

func TestReferencesAreBounded(t *testing.T) {
	var refs strings.Builder
	for i := range 100 {
		refs.WriteString(" <" + strings.Repeat("r", i+1) + "@x>")
	}
	r := failure(t, "References:"+refs.String()+" broken <two words>\r\nMessage-ID: <m@x>\r\nSubject: "+strings.Repeat("s", 500)+"\r\n\r\n")
	msg, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	got := readBack(t, msg)
	ids := strings.Fields(got.header.Get("References"))
	if len(ids) != maxReferences+1 || ids[0] != "<r@x>" || ids[len(ids)-1] != "<m@x>" {
		t.Errorf("%d ids: %q", len(ids), ids)
	}
	checkLines(t, msg)
}

// TestHostileWords gives every text that others choose line ends and control characters.
func TestHostileWords(t *testing.T) {
	const evil = "x\r\nBcc: victim@example.net\r\n\r\n--\x00\x1b[31m\u2028"
	r := failure(t, plainMail)
	r.Envelope.EnvID = evil
	r.Fates[0].Words, r.Fates[0].Upstream = evil, evil
	r.Fates[0].Recipient = envelope.Recipient{Address: "a\r\nb@example.org", Given: evil, ORcpt: "rfc822;" + evil}
	r.Original.Subject = evil
	msg, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	got := readBack(t, msg)
	if got.header.Get("Bcc") != "" || got.message.Get("Bcc") != "" || len(got.rcpts) != 1 || got.rcpts[0].Get("Bcc") != "" {
		t.Errorf("a field was injected: %v %v %v", got.header, got.message, got.rcpts)
	}
	if strings.ContainsAny(got.words, "\x00\x1b") {
		t.Errorf("control characters in %q", got.words)
	}
	checkLines(t, msg)
}

type brokenSource struct{ n int64 }

func (b brokenSource) ReadAt([]byte, int64) (int, error) { return 0, errors.New("disk on fire") }
func (b brokenSource) Size() int64                       { return b.n }

func TestReadError(t *testing.T) {
	r := failure(t, plainMail)
	r.Envelope.Ret = "FULL"
	r.Original.Source = brokenSource{r.Original.Source.Size()}
	if _, err := r.Message(); err == nil || !strings.Contains(err.Error(), "disk on fire") {
		t.Errorf("%v", err)
	}
}
