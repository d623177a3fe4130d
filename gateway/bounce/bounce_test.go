package bounce

import (
	"bytes"
	"flag"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

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
			Text: "550 5.1.1: no such user", Code: 550, SMTP: true, Last: now.Add(-time.Second)}}}
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
			Text: "422 validation_error: Ungültige Adresse", Last: now},
		Fate{Recipient: envelope.Recipient{Address: "eve@example.org", Notify: []string{"NEVER"}}, Text: "hidden"})

	delayed := failure(t, plainMail)
	delayed.Action = Delayed
	delayed.Fates[0].Status, delayed.Fates[0].Code, delayed.Fates[0].SMTP = "", 0, false
	delayed.Fates[0].Text = "dial tcp: connection refused"

	relayed := failure(t, plainMail)
	relayed.Action = Relayed
	relayed.Fates = []Fate{{Recipient: envelope.Recipient{Address: "ann@example.org", Notify: []string{"success"}}, Upstream: "relay", Last: now}}

	expired := failure(t, plainMail)
	expired.At = expired.Until.Add(time.Minute)
	expired.Fates[0] = Fate{Recipient: envelope.Recipient{Address: "ann@example.org"}, Upstream: "main",
		Text: "given up after 120h0m0s. Last error: timeout"}

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

// TestHostileWords gives every text that others choose line ends and control characters.
func TestHostileWords(t *testing.T) {
	const evil = "x\r\nBcc: victim@example.net\r\n\r\n--\x00\x1b[31m\u2028"
	r := failure(t, plainMail)
	r.Envelope.EnvID = evil
	r.Fates[0].Text, r.Fates[0].Upstream = evil, evil
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
