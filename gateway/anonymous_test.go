package gateway

import (
	"net/http"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

// TestHealthNamesNobody: whatever programs and providers write, nothing of it is in what anybody may read.
func TestHealthNamesNobody(t *testing.T) {
	fake := upstreamtest.NewResend("re_key")
	t.Cleanup(fake.Close)
	fake.Refuse([]string{"secret-failed@example.org"}, upstreamtest.Fault{Status: 422,
		Body: `{"statusCode":422,"name":"validation_error","message":"secret-failed@example.org is unknown."}`})
	text := `
[[listener]]
address = "ADDR"
[queue]
on_failure = "keep"
[upstream.resend]
type = "resend"
api_key = "re_key"
base_url = "` + fake.URL + `"
[upstream.closed]
type = "resend"
api_key = "re_wrong"
base_url = "` + fake.URL + `"
[[route]]
to = ["secret-held@*"]
hold = true
[[route]]
to = ["secret-waits@*"]
via = ["closed"]
[[route]]
to = ["*@example.org"]
via = ["resend"]
`
	h := newHouse(t, text)
	metrics := freeport.Addr(t)
	h.adminAddr, h.adminKeys = freeport.Addr(t), "metrics = \""+metrics+"\"\n"
	h.write(text)
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	p := dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.talk("EHLO secret.example.com", "250", "SECRET@EXAMPLE.COM what", "500", "MAIL FROM:<secret-from@example.com>", "250", "RCPT TO:<secret-nowhere@example.net>", "550",
		"VRFY secret-to@example.org", "252", "AUTH PLAIN c2VjcmV0", "5", "QUIT", "221")
	h.mustSend("secret-from@example.com", []string{"secret-held@example.org", "secret-waits@example.org", "secret-failed@example.org", "secret-sent@example.org"},
		"From: secret-from@example.com\nSubject: secret subject\n\nsecret text\n")
	h.await("what became of all", func() bool {
		return len(h.waiting(envelope.Failed)) == 1 && len(h.waiting(envelope.Held)) == 1 && len(h.ended(envelope.Sent)) == 1 && strings.Contains(h.log.String(), "upstream_closed")
	})
	for _, address := range []string{h.adminAddr, metrics} {
		for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
			status, body := asks(t, &http.Client{Transport: &http.Transport{}}, "http://"+address+path, "")
			for line := range strings.Lines(body) {
				if strings.Contains(line, "@") || strings.Contains(strings.ToLower(line), "secret") || strings.Contains(line, "example.") {
					t.Errorf("%s names somebody: %s", path, line)
				}
			}
			if status != 200 || path == "/metrics" && !strings.Contains(body, `mailhatch_failed_total{class="permanent",upstream="resend"} 1`) {
				t.Errorf("%s: %d %s", path, status, body)
			}
		}
	}
}
