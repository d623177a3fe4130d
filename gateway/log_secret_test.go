package gateway

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
)

// TestLogHoldsNoSecret: neither those of the config nor the passwords that clients try are in the log, at any level and
// whatever a provider answers with them, and they do not get into what the queue keeps of errors.
func TestLogHoldsNoSecret(t *testing.T) {
	echo := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusUnauthorized)
		fmt.Fprintf(w, `{"name":"validation_error","message":"%s is not a key"}`, r.Header.Get("Authorization"))
	}))
	defer echo.Close()
	secrets := []string{"re_s3cret-of-upstream", "s3cret-of-user", "s3cret-of-alerts", "s3cret-of-guesser", base64.StdEncoding.EncodeToString([]byte("s3cret-of-guesser"))}
	h := newHouse(t, fmt.Sprintf(`[log]
level = "debug"
[[listener]]
address = "ADDR"
auth = "optional"
[[listener.user]]
name = "app"
password = %q
[upstream.out]
type = "resend"
api_key = %q
base_url = %q
[[alert]]
on = ["upstream_closed"]
after = "1ms"
url = %q
secret = %q
[[route]]
via = ["out"]
`, secrets[1], secrets[0], echo.URL, echo.URL+"/"+secrets[2], secrets[2]))
	p := dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.talk("EHLO me", "250", plainAuth("app", secrets[3]), "535",
		"AUTH LOGIN "+base64.StdEncoding.EncodeToString([]byte("app")), "334", secrets[4], "535", "QUIT", "221")
	p = dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.talk("EHLO me", "250", "AUTH PLAIN "+secrets[3]+"=", "5", "AUTH "+secrets[3]+" "+secrets[4], "5", plainAuth("app", secrets[1]), "235", "QUIT", "221")
	h.mustSend("app@example.com", []string{"ann@example.org"}, "Subject: 1\r\n\r\nx\r\n")
	h.await("the refusal", func() bool {
		list := h.waiting(envelope.Queued)
		return len(list) == 1 && list[0].Progress.Error != ""
	})
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	kept := h.waiting(envelope.Queued)[0].Progress.Error
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	log := h.log.String()
	for _, line := range []string{"msg=started", "msg=rejected", "msg=reloaded", "is not a key"} {
		if !strings.Contains(log, line) {
			t.Errorf("the log lacks %q", line)
		}
	}
	for _, secret := range secrets {
		if strings.Contains(log, secret) || strings.Contains(kept, secret) {
			t.Errorf("the log or an error has %q: %s", secret, kept)
		}
	}
}
