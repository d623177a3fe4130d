package gateway

import (
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/test/freeport"
	"mailhatch/upstream/upstreamtest"
)

// secretive is a config with a secret in each place that has one.
const secretive = `
[[listener]]
address = "ADDR"
auth = "optional"
[[listener.user]]
name = "app"
password = "zq-secret-user-word"
[queue]
on_failure = "keep"
[upstream.main]
type = "resend"
api_key = "zq-secret-resend-key"
base_url = "BASE"
[upstream.relay]
type = "smtp"
host = "127.0.0.1"
port = 1
tls = "none"
username = "app"
password = "env:MAILHATCH_TEST_ZQ"
[upstream.mg]
type = "mailgun"
domain = "mg.example.com"
api_key = "zq-secret-mailgun-key"
base_url = "BASE"
[upstream.office]
type = "smtp"
host = "127.0.0.1"
port = 2
username = "app@example.com"
[upstream.office.oauth2]
provider = "custom"
flow = "client_credentials"
token_url = "BASE/token"
scopes = ["mail"]
client_id = "app"
client_secret = "zq-secret-client-secret"
[[route]]
to = ["held@*"]
hold = true
[[route]]
to = ["waits@*"]
via = ["relay", "mg"]
[[route]]
to = ["office@*"]
via = ["office"]
[[route]]
via = ["main"]
[[alert]]
on = ["failed"]
url = "BASE/hook?key=zq-secret-hook-key"
secret = "zq-secret-alert-key-of-some-length"
`

// TestNoSecretIsShown: neither a page nor an answer of the API has a secret of the config, whatever a person who may see everything
// follows; and all of them tell browsers what they may do.
func TestNoSecretIsShown(t *testing.T) {
	t.Setenv("MAILHATCH_TEST_ZQ", "zq-secret-relay-word")
	fake := upstreamtest.NewResend("re_key") // does not know the key
	t.Cleanup(fake.Close)
	text := strings.ReplaceAll(secretive, "BASE", fake.URL)
	h := newHouse(t, holding)
	h.adminAddr, h.adminKeys = freeport.Addr(t), "token = \"zq-secret-admin-token\"\n"
	h.write(text)
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await("the listener of the new config", func() bool { // the old one may still take connections, and send them away
		return h.send("app@example.com", []string{"held@example.org", "waits@example.org", "office@example.org", "main@example.org"},
			"Subject: one\nMIME-Version: 1.0\nContent-Type: text/html\n\n<p>text</p>\n") == nil
	})
	h.await("the refusals", func() bool {
		return strings.Count(h.log.String(), "upstream_closed") >= 3 && len(h.waiting(envelope.Held)) == 1
	})
	link, err := h.g.PageLink("root")
	if err != nil {
		t.Fatal(err)
	}
	c := &crawler{t: t, base: "http://" + h.adminAddr, seen: map[string]bool{}}
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c.client = &http.Client{Jar: jar}
	defer c.client.CloseIdleConnections()
	c.visit(strings.TrimPrefix(link.URL, c.base))
	for _, path := range []string{"/api/v1/status", "/api/v1/queue", "/api/v1/log", "/api/v1/recent", "/metrics", "/healthz", "/api/v1/openapi.yaml", "/nothing", "/messages/none"} {
		c.visit(path)
	}
	if len(c.seen) < 30 {
		t.Errorf("only %d addresses were found: %v", len(c.seen), c.seen)
	}
	if log := h.log.String(); strings.Contains(log, "zq-secret") {
		t.Errorf("the log has a secret:\n%s", log)
	}
}

// crawler follows all links of the page.
type crawler struct {
	t      *testing.T
	base   string
	client *http.Client
	seen   map[string]bool
}

const enough = 150 // addresses

func (c *crawler) visit(path string) {
	c.t.Helper()
	if c.seen[path] || len(c.seen) >= enough || strings.HasPrefix(path, "/live") {
		return
	}
	c.seen[path] = true
	resp, err := c.client.Get(c.base + path)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	body := string(b)
	if strings.Contains(body, "zq-secret") || strings.Contains(fmt.Sprint(resp.Header), "zq-secret") {
		at := max(strings.Index(body, "zq-secret"), 0)
		c.t.Errorf("%s shows a secret: …%s", path, body[max(at-200, 0):min(at+60, len(body))])
	}
	if resp.StatusCode >= 500 {
		c.t.Errorf("%s: %s %.300s", path, resp.Status, body)
	}
	for field, want := range map[string]string{"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"} {
		if got := resp.Header.Get(field); !strings.Contains(got, want) {
			c.t.Errorf("%s: %s is %q", path, field, got)
		}
	}
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") {
		return
	}
	from, err := url.Parse(path)
	if err != nil {
		c.t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?:href|src|action)="([^"]+)"`).FindAllStringSubmatch(body, -1) {
		to, err := from.Parse(html.UnescapeString(m[1]))
		if err != nil || to.Host != "" || to.Scheme != "" {
			continue
		}
		to.Fragment = ""
		c.visit(to.String())
	}
}
