package api_test

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// pitfall is one way in which translations of mail to APIs are known to fail.
type pitfall struct {
	name  string
	check func(t *testing.T)
}

// TestPitfalls has a test for each of them.
func TestPitfalls(t *testing.T) {
	for _, p := range slices.Concat(pitfallsOfRecipients, pitfallsOfContent, pitfallsOfHeaders, pitfallsOfAPIs) {
		t.Run(p.name, p.check)
	}
}

// sent sends a golden message to every recipient and gives what the fake took.
func sent(t *testing.T, kind, name, settings string) []upstreamtest.Message {
	t.Helper()
	up, fake := start(t, kind, settings)
	for i, o := range up.Send(t.Context(), goldenMail(t, name)) {
		if o.Err != nil || o.ID == "" {
			t.Fatalf("%s %s: recipient %d: %+v", kind, name, i, o)
		}
	}
	return fake.Accepted()
}

var jsonKinds = []string{"resend", "sendgrid", "postmark"}

var pitfallsOfRecipients = []pitfall{
	{"P01 the envelope decides, not the header", func(t *testing.T) {
		for _, kind := range apiKinds {
			got := sent(t, kind.name, "04-envelope-differs", "")[0]
			if slices.Sort(got.Recipients); !slices.Equal(got.Recipients, []string{"ann@example.org", "eve@example.org"}) {
				t.Errorf("%s: %v", kind.name, got.Recipients)
			}
		}
	}},
	{"P02 recipients who are hidden from each other still need a To", func(t *testing.T) {
		if got := sent(t, "resend", "58-bcc-only", ""); len(got) != 2 || len(got[0].To) != 1 || len(got[1].To) != 1 {
			t.Errorf("%+v", got)
		}
		if got := sent(t, "sendgrid", "58-bcc-only", ""); len(got) != 1 || !got[0].Apart || len(got[0].To) != 2 {
			t.Errorf("%+v", got)
		}
	}},
	{"P03 the same mailbox in other case gets one mail", func(t *testing.T) {
		for _, kind := range apiKinds {
			if got := sent(t, kind.name, "06-duplicates", "")[0]; len(got.Recipients) != 2 {
				t.Errorf("%s: %v", kind.name, got.Recipients)
			}
		}
	}},
	{"P04 more recipients than a call takes make several calls with keys of their own", func(t *testing.T) {
		up, fake := start(t, "resend", "")
		to := numbered("x", 120)
		up.Send(t.Context(), makeMail(t, "From: app@example.com\nSubject: s\nTo: "+strings.Join(to, ",\n ")+"\n\nbody\n", to...))
		keys := map[string]bool{}
		for _, m := range fake.Accepted() {
			keys[m.IdempotencyKey] = true
		}
		if len(keys) != 3 {
			t.Errorf("%d keys", len(keys))
		}
	}},
	{"P19 several Reply-To and From addresses all get the answer", func(t *testing.T) {
		for _, kind := range jsonKinds {
			if got := sent(t, kind, "55-reply-to-many", "")[0]; len(got.ReplyTo) != 2 {
				t.Errorf("%s: replies to %v", kind, got.ReplyTo)
			}
			if got := sent(t, kind, "21-many-from", "")[0]; len(got.ReplyTo) < 2 {
				t.Errorf("%s: replies to %v", kind, got.ReplyTo)
			}
		}
	}},
	{"P20 names with commas, quotes and non-ASCII stay one name", func(t *testing.T) {
		got := sent(t, "resend", "57-long-name", "")[0]
		if want := `"Gesellschaft für Blüten, Bäume und Sträucher, Großstadtbüro (München)" <app@example.com>`; got.From != want {
			t.Errorf("%s", got.From)
		}
		got = sent(t, "sendgrid", "22-display-names", "")[0]
		if got.To[0] != "Müller Ann (CEO) <ann@example.org>" || !strings.Contains(got.From, `Jörg "the app", GmbH`) {
			t.Errorf("%s to %s", got.From, got.To[0])
		}
	}},
	{"P21 domains travel as A-labels, local parts beyond ASCII are refused", func(t *testing.T) {
		for _, kind := range apiKinds {
			if got := sent(t, kind.name, "67-idn-everywhere", "")[0]; !slices.Contains(got.Recipients, "ann@xn--bcher-kva.example") {
				t.Errorf("%s: %v", kind.name, got.Recipients)
			}
			up, fake := start(t, kind.name, "")
			e := asError(t, up.Send(t.Context(), goldenMail(t, "24-eai"))[0].Err)
			if e.Class != upstream.Unrepresentable || e.Code != "5.6.7" || fake.Requests() != 0 {
				t.Errorf("%s: %+v", kind.name, e)
			}
		}
	}},
	{"P22 groups are their members, empty ones nobody", func(t *testing.T) {
		for _, kind := range jsonKinds {
			if got := sent(t, kind, "38-group", "")[0]; len(got.To) != 3 {
				t.Errorf("%s: %v", kind, got.To)
			}
			for _, got := range sent(t, kind, "05-undisclosed", "") {
				if strings.Contains(strings.Join(got.To, " "), "undisclosed") {
					t.Errorf("%s: %v", kind, got.To)
				}
			}
		}
	}},
}

var pitfallsOfHeaders = []pitfall{
	{"P18 each header name once, unfolded, decoded, none that is reserved", func(t *testing.T) {
		for _, kind := range jsonKinds {
			h := sent(t, kind, "20-headers", "")[0].Headers
			if h["X-Report"] != "one, two" || h["X-Encoded"] != "Grüße" || h["X-Long"] != "this value is folded and has a tab" ||
				h["Precedence"] != "bulk" || h["Keywords"] != "alpha, beta, gamma" {
				t.Errorf("%s: %q", kind, h)
			}
		}
	}},
	{"P23 one-click unsubscription works, nothing is added to it", func(t *testing.T) {
		for _, kind := range apiKinds {
			got := sent(t, kind.name, "25-list", "")[0]
			if got.Headers["List-Unsubscribe-Post"] != "List-Unsubscribe=One-Click" || !strings.Contains(got.Headers["List-Unsubscribe"], "<https://example.org/off?u=1&v=2>") ||
				got.Options["subscription_tracking"] != "" {
				t.Errorf("%s: %q %q", kind.name, got.Headers, got.Options)
			}
		}
	}},
	{"P24 threads hold together", func(t *testing.T) {
		for _, kind := range apiKinds {
			h := sent(t, kind.name, "54-thread", "")[0].Headers
			references, own := strings.CutSuffix(strings.Join(strings.Fields(h["References"]), " "), " <m1@app.example.com>")
			if h["In-Reply-To"] != "<q@list.example.org>" || references != "<a@list.example.org> <b@list.example.org> <q@list.example.org>" ||
				own != (h["X-Original-Message-ID"]+h["X-Original-Message-Id"] != "" && kind.name != "postmark") { // which keeps the Message-ID
				t.Errorf("%s: %q", kind.name, h)
			}
		}
	}},
	{"P25 a bounce carries its report and its Auto-Submitted", func(t *testing.T) {
		for _, kind := range apiKinds {
			if got := sent(t, kind.name, "26-bounce", "")[0]; got.Headers["Auto-Submitted"] != "auto-replied" || !kind.raw && len(got.Attachments) < 2 {
				t.Errorf("%s: %q, %d files", kind.name, got.Headers, len(got.Attachments))
			}
		}
	}},
	{"P26 a message does not steer the provider", func(t *testing.T) {
		for _, kind := range apiKinds {
			got := sent(t, kind.name, "27-control-headers", "")[0]
			got.Raw = bytes.Replace(got.Raw, []byte(`"X-PM-KeepID"`), nil, 1) // our own, for Postmark
			for _, name := range []string{"smtpapi", "drop-message", "x-mc-", "x-ses-", "x-msys", "x-sib", "x-pm-", "resend-idem"} {
				if strings.Contains(strings.ToLower(string(got.Raw)), name) || got.Options["o:testmode"] != "" {
					t.Errorf("%s: %s passed", kind.name, name)
				}
			}
		}
	}},
}

var pitfallsOfAPIs = []pitfall{
	{"P27 mail that a provider takes and drops can be looked up by its id, and render says so", func(t *testing.T) {
		if list := strings.Join(kindNamed("sendgrid").Changes, "\n"); !strings.Contains(list, "drops suppressed recipients") {
			t.Error(list)
		}
		for _, kind := range apiKinds {
			sent(t, kind.name, "01-plain", "") // checks the ids
		}
	}},
	{"P28 Resend's batch endpoint, which takes no files, is not used", func(t *testing.T) {
		var b strings.Builder
		up := mustOpen(t, "resend", "api_key = 'k'\n")
		if err := up.(upstream.Renderer).Render(goldenMail(t, "58-bcc-only"), &b); err != nil || strings.Count(b.String(), "POST https://api.resend.com/emails\n") != 2 {
			t.Errorf("%v\n%s", err, b.String())
		}
	}},
	{"P29 a wrong path at Mailgun answers 200 without taking the mail", func(t *testing.T) {
		var key *upstream.KeyError
		if _, err := openKind("mailgun", "api_key = 'k'\ndomain = 'a/b'\n"); !errors.As(err, &key) || key.Key != "domain" {
			t.Errorf("%v", err)
		}
		up, fake := start(t, "mailgun", "")
		fake.Script(upstreamtest.Fault{Status: 200, Body: "Mailgun Magnificent API"})
		if e := asError(t, up.Send(t.Context(), goldenMail(t, "01-plain"))[0].Err); e.Class != upstream.Account {
			t.Errorf("%+v", e)
		}
	}},
	{"P30 base64 counts: what is too large for a request is known before it is sent", func(t *testing.T) {
		for kind, limit := range map[string]int64{"resend": 40 << 20, "sendgrid": 30 << 20, "mailgun": 25 << 20} {
			for _, row := range []struct {
				size int64
				fits bool
			}{{limit * 96 / 100, true}, {limit + 2<<20, false}} {
				up := mustOpen(t, kind, "api_key = 'k'\n"+map[string]string{"mailgun": "domain = 'mg.example.com'\n"}[kind])
				msg, err := mime.Parse(bigMessage(row.size))
				if err != nil {
					t.Fatal(err)
				}
				m := &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
				if err := up.(upstream.Preflighter).Preflight(m); (err == nil) != row.fits {
					t.Errorf("%s, %d bytes of base64: %v", kind, row.size, err)
				}
			}
		}
	}},
}

// TestReferences: where Message-ID is replaced, what answers the new one and what followed upon the old one are one thread.
func TestReferences(t *testing.T) {
	long := strings.Repeat("<"+strings.Repeat("a", 60)+"@x> ", 80)
	for _, row := range []struct{ header, id, want string }{
		{"", "<m@x>", "<m@x>"},
		{"References: <a@x>\r\n <b@x>\r\n", "<m@x>", "<a@x> <b@x> <m@x>"},
		{"In-Reply-To: <b@x>\r\n", "<m@x>", "<b@x> <m@x>"},
		{"In-Reply-To: <a@x> <b@x>\r\n", "<m@x>", "<m@x>"},
		{"In-Reply-To: <b@x>\r\nReferences: <a@x> <b@x>\r\n", "<m@x>", "<a@x> <b@x> <m@x>"},
		{"References: <a@x>\r\nReferences: <b@x>\r\n", "<m@x>", "<a@x> <b@x> <m@x>"},
		{"References: <a@x> <m@x>\r\n", "<m@x>", ""},
		{"References: <a@x>\r\n", "", ""},
		{"References: <a@x>\r\n", "m@x", ""},
		{"References: <a@x>\r\n", "<m x>", ""},
		{"References: <a@x>\r\n", "<jörg@x>", ""},
		{"References: <first@x> " + long + "\r\n", "<m@x>", "long"},
	} {
		got := wire.References(mime.ParseHeader([]byte(row.header+"\r\n")), row.id)
		if row.want == "long" {
			if len(got) > wire.MaxReferences || !strings.HasPrefix(got, "<first@x> ") || !strings.HasSuffix(got, "@x> <m@x>") {
				t.Errorf("%d bytes: %s", len(got), got)
			}
		} else if got != row.want {
			t.Errorf("%q %s: %q, want %q", row.header, row.id, got, row.want)
		}
	}
	for kind, keeps := range map[string]bool{"resend": false, "sendgrid": false, "brevo": false, "postmark": true} {
		up, fake := start(t, kind, "")
		m := makeMail(t, strings.Replace(plainMessage, "Subject", "references: <a@example.com>\nSubject", 1), "ann@example.org")
		if o := up.Send(t.Context(), m)[0]; o.Err != nil {
			t.Fatalf("%s: %v", kind, o.Err)
		}
		want := "<a@example.com> <m@example.com>"
		if keeps {
			want = "<a@example.com>"
		}
		found := false
		for name, value := range fake.Accepted()[0].Headers {
			found = found || strings.EqualFold(name, "References") && value == want
		}
		if !found {
			t.Errorf("%s: %v", kind, fake.Accepted()[0].Headers)
		}
	}
	for _, kind := range []string{"ses", "cloudflare", "mandrill"} {
		up, fake := start(t, kind, "")
		if o := up.Send(t.Context(), makeMail(t, strings.Replace(plainMessage, "Subject", "References: <a@example.com>\nSubject", 1), "ann@example.org"))[0]; o.Err != nil {
			t.Fatalf("%s: %v", kind, o.Err)
		}
		head := mime.ParseHeader(fake.Accepted()[0].Raw)
		if head.Get("References") != "<a@example.com> <m@example.com>" || head.Get("X-Original-Message-ID") != "<m@example.com>" {
			t.Errorf("%s: %q", kind, head)
		}
	}
}
