package alert

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/upstream"
)

// hook is a receiver that takes nothing it cannot verify, as Standard Webhooks asks for.
type hook struct {
	*httptest.Server
	mu   sync.Mutex
	got  []Message
	gets int
}

const hookSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func newHook(t *testing.T) *hook {
	h := &hook{}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(hookSecret, "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	h.Server = httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && r.URL.Path == "/beat" {
			h.mu.Lock()
			h.gets++
			h.mu.Unlock()
			return
		}
		m, err := verified(r, key)
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnauthorized)
			return
		}
		switch r.URL.Path {
		case "/moved":
			http.Redirect(w, r, "/hook/hidden-path", http.StatusPermanentRedirect)
			return
		case "/busy":
			w.Header().Set("Retry-After", "7")
			http.Error(w, "of ann@example.com, url /busy?token=hidden-query", http.StatusTooManyRequests)
			return
		case "/broken":
			http.Error(w, "", http.StatusInternalServerError)
			return
		case "/slow":
			<-r.Context().Done()
			panic(http.ErrAbortHandler) // an answer of now might still arrive
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.got = append(h.got, *m)
	}))
	t.Cleanup(h.Close)
	return h
}

// verified reads a request that must have a signature of now.
func verified(r *http.Request, key []byte) (*Message, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	at, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	if err != nil || time.Since(time.Unix(at, 0)).Abs() > 5*time.Minute {
		return nil, fmt.Errorf("timestamp %q", r.Header.Get("webhook-timestamp"))
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(r.Header.Get("webhook-id") + "." + r.Header.Get("webhook-timestamp") + "."))
	mac.Write(body)
	want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if r.Header.Get("webhook-id") == "" || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" ||
		!hmac.Equal([]byte(want), []byte(r.Header.Get("webhook-signature"))) {
		return nil, fmt.Errorf("%s with the signature %q", r.Method, r.Header.Get("webhook-signature"))
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	d.DisallowUnknownFields()
	var m Message
	return &m, d.Decode(&m)
}

// caFile writes the certificate of a server.
func (h *hook) caFile(t *testing.T) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pemOf(h.Certificate().Raw), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func pemOf(der []byte) []byte {
	return []byte("-----BEGIN CERTIFICATE-----\n" + base64.StdEncoding.EncodeToString(der) + "\n-----END CERTIFICATE-----\n")
}

// open makes settings ready.
func open(t *testing.T, s Settings) *Alerter {
	t.Helper()
	list, err := Open([]Settings{s}, "1.2")
	if err != nil {
		t.Fatal(err)
	}
	return list[0]
}

func testMessage(kind string) *Message {
	return newMessage(kind, origin{hostname: "app1", version: "1.2"}, time.Now(), []Alert{{Event: Disk, Status: Firing, Text: "full", Since: time.Now()}, {Event: Disk, Status: Resolved, Text: "x"}})
}

func (a *Alerter) try(ctx context.Context, kind string) (string, error) {
	m := testMessage(kind)
	return a.send(ctx, newID(), encode(m), m)
}

// TestSignature is the example of the specification.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func TestSignature(t *testing.T) {
	key, err := signingKey(upstream.NewSecret(hookSecret))
	if err != nil {
		t.Fatal(err)
	}
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 0), []byte(`{"test": 2432232314}`))
	if want := "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestWebhook: a receiver that checks all takes the message; what is no success is told without secrets.
func TestWebhook(t *testing.T) {
	h := newHook(t)
	ca := h.caFile(t)
	for _, c := range []struct {
		name   string
		url    string
		change func(*Settings)
		kind   string
		want   string // of the error; "": it was taken
	}{
		{"taken", "/hook/hidden-path", nil, TypeAlert, ""},
		{"signed by another key", "/hook", func(s *Settings) { s.Secret = upstream.NewSecret("hidden-secret") }, TypeAlert, "answered 401 Unauthorized: POST with the signature"},
		{"not signed", "/hook", func(s *Settings) { s.Secret = upstream.Secret{} }, TypeAlert, "answered 401"},
		{"redirected", "/moved", nil, TypeAlert, "answered 308 Permanent Redirect, a redirect, which is not followed"},
		{"busy", "/busy?token=hidden-query", nil, TypeAlert, "answered 429 Too Many Requests: of …@…, url /busy?***"},
		{"broken", "/broken", nil, TypeAlert, "answered 500 Internal Server Error"},
		{"slow", "/slow", func(s *Settings) { s.Timeout = duration(20 * time.Millisecond) }, TypeAlert, "no answer within 20ms"},
		{"unknown authority", "/hook/hidden-path", func(s *Settings) { s.CAFile = "" }, TypeAlert, "tls: failed to verify certificate"},
		{"signed heartbeat", "/hook", nil, TypeHeartbeat, ""},
		{"heartbeat", "/beat", func(s *Settings) { s.Secret = upstream.Secret{} }, TypeHeartbeat, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := settings(func(s *Settings) {
				s.URL, s.Secret, s.CAFile = upstream.NewSecret(h.URL+c.url), upstream.NewSecret(hookSecret), ca
				if c.change != nil {
					c.change(s)
				}
			}, Disk)
			answer, err := open(t, s).try(t.Context(), c.kind)
			switch {
			case c.want == "" && (err != nil || answer != "200 OK"):
				t.Errorf("%q, %v", answer, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
				t.Errorf("%v, want %s", err, c.want)
			case err != nil && strings.Contains(err.Error(), "hidden"):
				t.Errorf("a secret is told: %v", err)
			}
		})
	}
	if len(h.got) != 2 || h.gets != 1 {
		t.Fatalf("%d messages, %d beats", len(h.got), h.gets)
	}
	if m := h.got[0]; m.Type != TypeAlert || m.Data.Status != Firing || len(m.Data.Alerts) != 2 || !strings.HasPrefix(m.Text, "mailhatch on app1: full\nmailhatch on app1: resolved after ") {
		t.Errorf("%+v", m)
	}
}

// TestNobodyAnswers: the error does not repeat the address.
func TestNobodyAnswers(t *testing.T) {
	h := httptest.NewServer(nil)
	h.Close()
	_, err := open(t, settings(func(s *Settings) { s.URL = upstream.NewSecret(h.URL + "/hidden-path") }, Disk)).try(t.Context(), TypeAlert)
	if err == nil || strings.Contains(err.Error(), "hidden") {
		t.Error(err)
	}
	if d := retryAfter("120"); d != 2*time.Minute || retryAfter("x") != 0 {
		t.Error(d)
	}
}

// TestSettings: what cannot be meant is told with the key.
func TestSettings(t *testing.T) {
	all := func(string) bool { return true }
	none := func(string) bool { return false }
	for _, c := range []struct {
		change func(*Settings)
		given  func(string) bool
		on     string
		want   string
	}{
		{func(*Settings) {}, none, Disk, ""},
		{func(s *Settings) { s.Exec, s.URL = []string{"prog"}, upstream.Secret{} }, none, Disk, ""},
		{func(s *Settings) { s.On, s.Every = nil, duration(time.Minute) }, none, Disk, ""},
		{func(s *Settings) { s.On = nil }, none, Disk, "on is missing: it says what to report"},
		{func(s *Settings) { s.Name = "a b" }, none, Disk, "name must be one word of at most 64 characters"},
		{func(s *Settings) {}, none, "dsik", `on[0] must be "upstream_closed", "queue_old", "failed", "silent", "disk", "expiring", "maildrop", "database", "canary", "internal_error" or "event", not "dsik"`},
		{func(s *Settings) {}, none, Silent, `for is missing: on = "silent" needs it`},
		{func(s *Settings) { s.Older = duration(0) }, none, Disk, "older must be greater than zero"},
		{func(s *Settings) { s.Count = -1 }, none, Disk, "count must not be negative"},
		{func(s *Settings) { s.Window = duration(8 * 24 * time.Hour) }, none, Disk, "window must be from 1m to 7d"},
		{func(s *Settings) { s.Repeat = duration(time.Second) }, none, Disk, "repeat must be at least 1m"},
		{func(s *Settings) { s.Timeout = duration(time.Hour) }, none, Disk, "timeout must be from 1s to 5m"},
		{func(s *Settings) { s.Every = duration(1) }, none, Disk, "every must be at least 1s"},
		{func(s *Settings) {}, all, Disk, "after does nothing here, older does nothing here, count does nothing here, window does nothing here, for does nothing here"},
		{func(s *Settings) { s.URL = upstream.Secret{} }, none, Disk, "url is missing: the alert would reach nobody"},
		{func(s *Settings) { s.Exec = []string{"x"} }, none, Disk, "exec cannot be combined with url"},
		{func(s *Settings) { s.Exec, s.URL = []string{""}, upstream.Secret{} }, none, Disk, "exec is empty: it must name a program"},
		{func(s *Settings) { s.URL = upstream.NewSecret("ftp://hidden/") }, none, Disk, "url must be an https:// address"},
		{func(s *Settings) { s.Secret = upstream.NewSecret("whsec_!hidden") }, none, Disk, "secret has no base64 behind whsec_"},
		{func(s *Settings) { s.CAFile = "testdata/none" }, none, Disk, "ca_file cannot be read: open testdata/none"},
	} {
		s := settings(c.change, c.on)
		var got []string
		for _, p := range s.Check(c.given) {
			got = append(got, p.Error())
			if strings.Contains(p.Error()+p.Hint, "hidden") {
				t.Errorf("a secret is told: %s, %s", p, p.Hint)
			}
		}
		if text := strings.Join(got, ", "); !strings.HasPrefix(text, c.want) || c.want == "" && text != "" {
			t.Errorf("%s, want %s", text, c.want)
		}
		if _, err := Open([]Settings{s}, ""); c.want == "" && err != nil {
			t.Error(err)
		}
	}
	if _, err := Open([]Settings{settings(func(s *Settings) { s.CAFile = "none" })}, ""); err == nil {
		t.Error("a file that is gone is no error")
	}
}

// TestAdvice: what is odd.
func TestAdvice(t *testing.T) {
	for url, want := range map[string]int{"https://example.com/": 0, "http://127.0.0.1/": 0, "http://example.com/": 1} {
		s := settings(func(s *Settings) { s.URL = upstream.NewSecret(url) }, Disk)
		if list := s.Advice(); len(list) != want {
			t.Errorf("%s: %v", url, list)
		}
	}
	s := settings(func(s *Settings) { s.Exec = []string{"/no/such/program"} }, Disk)
	if list := s.Advice(); len(list) != 1 || list[0].Key != "exec" || s.Receiver() != "program" {
		t.Errorf("%v, %s", list, s.Receiver())
	}
	if s := (&Settings{URL: upstream.NewSecret("hidden")}); s.Receiver() != upstream.Redacted {
		t.Error(s.Receiver())
	}
}

// TestHead: of what a program writes a little is kept, however it is copied.
func TestHead(t *testing.T) {
	h := &head{}
	if n, err := io.Copy(h, strings.NewReader(strings.Repeat("x", 1<<20))); n != 1<<20 || err != nil || h.text.Len() != maxSaid {
		t.Errorf("%d, %v, %d are kept", n, err, h.text.Len())
	}
}

// TestMasked: words of others are one line without addresses, of a length.
func TestMasked(t *testing.T) {
	for s, want := range map[string]string{
		"550 5.1.1 <ann.o'neil+x@example.com>: no such user": "550 5.1.1 <…@…>: no such user",
		"rcpt to:bob@example.org, mailto:a@b":                "rcpt to:…@…, mailto:…@…",
		"two\r\nlines \x1b[31m\u009b":                        "two lines [31m",
		strings.Repeat("x", 2*maxWords):                      strings.Repeat("x", maxWords) + "…",
	} {
		if got := masked(s); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
