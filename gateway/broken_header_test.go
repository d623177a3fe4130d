package gateway

import (
	"fmt"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/upstream/upstreamtest"
)

// TestBrokenHeader sends mail whose header has lines that are no fields: rules still see the fields
// around them, the relay gets every byte as it came, and the APIs get a header that they take.
func TestBrokenHeader(t *testing.T) {
	f := newFour(t)
	const head = "Date: Mon, 23 Nov 2026 10:11:12 +0000\nFrom: App <app@example.com>\nTo: ann@example.org\nSubject: one\ntwo\n: Crash\n" +
		"X Odd Name: 1\nX-Via: %s\nMessage-ID: <m1@app.example.com>\nMIME-Version: 1.0\nContent-Type: multipart/mixed;\nboundary=M\n"
	const body = "\n--M\n\nText.\n--M\nContent-Type: application/pdf; name=a.pdf\n\nPDF\n--M--\n"
	for _, via := range upstreams {
		f.mustSend("app@example.com", []string{"ann@example.org"}, fmt.Sprintf(head, via)+body)
	}
	f.await("4 recipients", func() bool { return len(f.ended(envelope.Sent)) == 4 })
	for _, fake := range f.apis {
		got := fake.Accepted()
		if len(got) != 1 {
			t.Fatalf("%d mails at a fake, want 1; refused: %q", len(got), fake.Rejected())
		}
		m := got[0]
		if m.Subject != "one two" || strings.TrimSpace(m.Text) != "Text." || len(m.Attachments) != 1 || m.Attachments[0].Name != "a.pdf" {
			t.Errorf("%s has %+v", m.Provider, m)
		}
	}
	got := f.relay.mail[0].data
	if want := strings.ReplaceAll(fmt.Sprintf(head, "relay")+body, "\n", "\r\n"); !strings.HasPrefix(got, "Received: ") || !strings.HasSuffix(got, "\r\n"+want) {
		t.Errorf("the relay has %q", got)
	}
}

// TestRewrittenFromFits asks an upstream whether it can carry mail as it will be offered: with rewrite_from.
func TestRewrittenFromFits(t *testing.T) {
	fake := upstreamtest.NewResend("k")
	t.Cleanup(fake.Close)
	h := newHouse(t, fmt.Sprintf(`
[upstream.strict]
type = "resend"
api_key = "k"
base_url = %q
[upstream.main]
type = "resend"
api_key = "k"
base_url = %[1]q
from_domains = ["verified.example"]
rewrite_from = "App <noreply@verified.example>"
[[route]]
to = ["*@strict.example"]
via = ["strict"]
[[route]]
via = ["main"]
`, fake.URL))
	const msg = "From: root@app1\nSubject: job\n\nout\n"
	if err := h.send("root@app1", []string{"ann@strict.example"}, msg); err == nil || !strings.HasPrefix(err.Error(), `554 "5.1.7 From: root@app1`) {
		t.Errorf("a sender without a domain: %v", err)
	}
	h.mustSend("root@app1", []string{"ann@example.org"}, msg)
	h.await("the mail", func() bool { return len(h.ended(envelope.Sent)) == 1 })
	if got := fake.Accepted(); len(got) != 1 || !strings.Contains(got[0].From, "noreply@verified.example") {
		t.Errorf("got %+v, refused %q", got, fake.Rejected())
	}
}
