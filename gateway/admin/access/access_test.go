package access

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/backoff"
	"mailhatch/upstream"
)

const (
	here  = "127.0.0.1:8025"
	token = "0123456789abcdef"
)

// server shows who asks to callers of the level that the path names, behind everything that access checks.
func server(c *Control) http.Handler {
	mux := http.NewServeMux()
	for path, level := range map[string]Level{"/healthz": Anybody, "/api/v1/queue": Program, "/": Person} {
		mux.HandleFunc(path, func(w http.ResponseWriter, r *http.Request) {
			if c.Admit(w, r, level) {
				_, _ = io.WriteString(w, "secret for "+c.Caller(r).By)
			}
		})
	}
	return c.Protect(mux, func(host string) bool { return host == "mail.example.com" })
}

// browser is what a request has beside its address.
type browser struct {
	host   string // "": here
	cookie *http.Cookie
	header map[string]string
	form   url.Values
	tls    bool
}

func (b browser) ask(h http.Handler, method, target string) *http.Response {
	var body io.Reader
	if b.form != nil {
		body = strings.NewReader(b.form.Encode())
	}
	r := httptest.NewRequest(method, target, body)
	if b.form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if r.Host = here; b.host != "" {
		r.Host = b.host
	}
	for k, v := range b.header {
		r.Header.Set(k, v)
	}
	if b.cookie != nil {
		r.AddCookie(b.cookie)
	}
	if b.tls {
		r.TLS = &tls.ConnectionState{}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

// opened opens a link and returns the cookie.
func opened(t *testing.T, c *Control, h http.Handler) *http.Cookie {
	t.Helper()
	resp := browser{header: map[string]string{"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}}.ask(h, "GET", c.Link("root"))
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Location") != "/" || len(resp.Cookies()) != 1 {
		t.Fatalf("a link: %s to %q with %v", resp.Status, resp.Header.Get("Location"), resp.Cookies())
	}
	return resp.Cookies()[0]
}

func text(t *testing.T, resp *http.Response) string {
	t.Helper()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// csrf returns the token that the forms of a session repeat.
func csrf(c *Control, cookie *http.Cookie) string {
	r := httptest.NewRequest("GET", "/", nil)
	r.AddCookie(cookie)
	return c.Caller(r).CSRF
}

func TestLink(t *testing.T) {
	var seen []string
	c := New(Config{Opened: func(by, client string) { seen = append(seen, by+" from "+client) }})
	h := server(c)
	path := c.Link("root")
	if resp := (browser{}).ask(h, "HEAD", path); resp.StatusCode != http.StatusMethodNotAllowed || len(resp.Cookies()) != 0 {
		t.Errorf("a program that looks at links: %s", resp.Status)
	}
	resp := browser{}.ask(h, "GET", path)
	if resp.StatusCode != http.StatusSeeOther || resp.Header.Get("Referrer-Policy") != "no-referrer" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("opened: %s %v", resp.Status, resp.Header)
	}
	cookie := resp.Cookies()[0]
	if !cookie.HttpOnly || cookie.SameSite != http.SameSiteStrictMode || cookie.Secure || cookie.Path != "/" || cookie.Domain != "" || len(cookie.Value) < 26 ||
		strings.Contains(path, cookie.Value) {
		t.Errorf("the cookie: %v", cookie)
	}
	if resp := (browser{cookie: cookie}).ask(h, "GET", "/messages?q=x"); resp.StatusCode != http.StatusOK || text(t, resp) != "secret for page: root" {
		t.Errorf("with the cookie: %s", resp.Status)
	}
	if resp := (browser{cookie: cookie}).ask(h, "GET", "/api/v1/queue"); resp.StatusCode != http.StatusOK {
		t.Errorf("the API with the cookie: %s", resp.Status)
	}
	for name, bad := range map[string]string{"opened before": path, "no token": "/login", "another": "/login?token=AAAAAAAAAAAAAAAAAAAAAAAAAA"} {
		resp := browser{}.ask(h, "GET", bad)
		if body := text(t, resp); resp.StatusCode != http.StatusForbidden || len(resp.Cookies()) != 0 || !strings.Contains(body, "mailhatch page") {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
	}
	if len(seen) != 1 || seen[0] != "root from 192.0.2.1:1234" {
		t.Errorf("on record: %q", seen)
	}
}

// TestLinkOnAnotherPage: browsers do not send a strict cookie along a redirection that began on another page.
func TestLinkOnAnotherPage(t *testing.T) {
	c := New(Config{})
	elsewhere := browser{header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document", "Accept": "text/html"}}
	resp := elsewhere.ask(server(c), "GET", c.Link("root"))
	if body := text(t, resp); resp.StatusCode != http.StatusOK || len(resp.Cookies()) != 1 || !strings.Contains(body, `http-equiv="refresh" content="0; url=/"`) {
		t.Errorf("%s %s", resp.Status, body)
	}
	resp = elsewhere.ask(server(c), "GET", "/messages/A1?tab=html")
	if body := text(t, resp); resp.StatusCode != http.StatusUnauthorized || !strings.Contains(body, `<a href="/messages/A1?tab=html">go on</a>`) {
		t.Errorf("a link to a message: %s %s", resp.Status, body)
	}
}

// TestForeign is what somebody tries who has no link.
func TestForeign(t *testing.T) {
	for _, tc := range []struct {
		name, method, target string
		browser              browser
		session              bool // the browser has one, and sends its cookie with everything
		status               int
	}{
		{name: "health", method: "GET", target: "/healthz", status: 200},
		{name: "health by name", method: "GET", target: "/healthz", browser: browser{host: "LocalHost:8025"}, status: 200},
		{name: "health by a name of this machine's own", method: "GET", target: "/healthz", browser: browser{host: "mail.localhost:8025"}, status: 200},
		{name: "health by IPv6", method: "GET", target: "/healthz", browser: browser{host: "[::1]:8025"}, status: 200},
		{name: "the page without a cookie", method: "GET", target: "/", browser: browser{header: map[string]string{"Accept": "text/html,*/*"}}, status: 401},
		{name: "the page as a program", method: "GET", target: "/", status: 403},
		{name: "a forged cookie", method: "GET", target: "/", browser: browser{cookie: &http.Cookie{Name: "mailhatch", Value: "AAAAAAAAAAAAAAAAAAAAAAAAAA"}}, status: 403},
		{name: "an empty cookie", method: "GET", target: "/", browser: browser{cookie: &http.Cookie{Name: "mailhatch"}}, status: 403},
		{name: "the page", method: "GET", target: "/", session: true, status: 200},
		{name: "the page by its own link", method: "GET", target: "/", session: true, browser: browser{header: map[string]string{"Sec-Fetch-Site": "same-origin"}}, status: 200},
		{name: "rebinding", method: "GET", target: "/", session: true, browser: browser{host: "evil.example:8025"}, status: 403},
		{name: "rebinding, health", method: "GET", target: "/healthz", browser: browser{host: "localhost.evil.example"}, status: 403},
		{name: "no host", method: "GET", target: "/healthz", browser: browser{host: ":8025"}, status: 403},
		{name: "a script elsewhere", method: "GET", target: "/api/v1/queue", session: true, browser: browser{header: map[string]string{"Origin": "http://evil.example"}}, status: 403},
		{name: "a picture elsewhere", method: "GET", target: "/", session: true, browser: browser{header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}}, status: 403},
		{name: "a picture on another port", method: "GET", target: "/", session: true, browser: browser{header: map[string]string{"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}}, status: 403},
		{name: "a frame elsewhere", method: "GET", target: "/", session: true, browser: browser{header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}}, status: 403},
		{name: "the API by a link elsewhere", method: "GET", target: "/api/v1/queue", session: true, browser: browser{header: map[string]string{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}}, status: 403},
		{name: "a form elsewhere", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "http://evil.example"}, form: url.Values{}}, status: 403},
		{name: "a form on another port", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "http://127.0.0.1:9999", "Sec-Fetch-Site": "same-site"}, form: url.Values{}}, status: 403},
		{name: "a form that hides where it is from", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "null"}, form: url.Values{}}, status: 403},
		{name: "a form of a sandbox", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "null", "Sec-Fetch-Site": "cross-site"}, form: url.Values{}}, status: 403},
		{name: "a form by TLS of a page without", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "http://" + here}, form: url.Values{}, tls: true}, status: 403},
		{name: "a form without the token", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "http://" + here}, form: url.Values{}}, status: 403},
		{name: "a form with another token", method: "POST", target: "/retry", session: true, browser: browser{header: map[string]string{"Origin": "http://" + here}, form: url.Values{FormToken: {"AAAA"}}}, status: 403},
		{name: "a logout elsewhere", method: "POST", target: "/logout", session: true, browser: browser{header: map[string]string{"Origin": "http://evil.example"}, form: url.Values{}}, status: 403},
		{name: "a logout without the token", method: "POST", target: "/logout", session: true, browser: browser{form: url.Values{}}, status: 403},
		{name: "a change without a session", method: "POST", target: "/retry", browser: browser{form: url.Values{}}, status: 403},
		{name: "a change of the API", method: "POST", target: "/api/v1/queue", session: true, browser: browser{form: url.Values{}}, status: 403},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := New(Config{})
			h := server(c)
			if tc.session {
				tc.browser.cookie = opened(t, c, h)
			}
			resp := tc.browser.ask(h, tc.method, tc.target)
			body := text(t, resp)
			if resp.StatusCode != tc.status || tc.status != 200 && strings.Contains(body, "secret") {
				t.Errorf("%s, want %d: %s", resp.Status, tc.status, body)
			}
			policy := resp.Header.Get("Content-Security-Policy")
			if policy != Policy && !(strings.HasPrefix(policy, "default-src 'none'; style-src 'sha256-") && strings.HasSuffix(policy, "frame-ancestors 'none'")) {
				t.Errorf("Content-Security-Policy: %q", policy)
			}
			for field, want := range map[string]string{"X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "no-referrer"} {
				if got := resp.Header.Get(field); got != want {
					t.Errorf("%s: %q", field, got)
				}
			}
		})
	}
}

// TestRefusedInABrowser: people are told on a page why they get nothing, and how they would; nothing of it is of the page itself.
func TestRefusedInABrowser(t *testing.T) {
	c := New(Config{})
	h := server(c)
	cookie := opened(t, c, h)
	for name, tc := range map[string]struct {
		b              browser
		method, target string
		status         int
		want           string
	}{
		"without a cookie": {browser{}, "GET", "/messages", 401, "mailhatch page"},
		"another name":     {browser{host: "evil.example:8025"}, "GET", "/", 403, "by its loopback address"},
		"an old form":      {browser{cookie: cookie, form: url.Values{FormToken: {"old"}}}, "POST", "/retry", 403, "The form is too old"},
		"another page":     {browser{cookie: cookie, form: url.Values{}, header: map[string]string{"Origin": "http://evil.example"}}, "POST", "/retry", 403, "sent by another page"},
		"the API":          {browser{}, "GET", "/api/v1/queue", 403, `{"error":`},
	} {
		if tc.b.header == nil {
			tc.b.header = map[string]string{}
		}
		tc.b.header["Accept"] = "text/html,*/*;q=0.8"
		resp := tc.b.ask(h, tc.method, tc.target)
		if body := text(t, resp); resp.StatusCode != tc.status || !strings.Contains(body, tc.want) || strings.Contains(body, "secret") {
			t.Errorf("%s: %s %s", name, resp.Status, body)
		}
		if challenge := resp.Header.Get("WWW-Authenticate"); (challenge != "") != (tc.status == 401) {
			t.Errorf("%s: the challenge is %q", name, challenge)
		}
	}
}

// TestForms: what the page itself sends is taken.
func TestForms(t *testing.T) {
	c := New(Config{})
	h := server(c)
	cookie := opened(t, c, h)
	own := csrf(c, cookie)
	for name, b := range map[string]browser{
		"Chromium and Firefox": {header: map[string]string{"Origin": "null", "Sec-Fetch-Site": "same-origin"}, form: url.Values{FormToken: {own}}},
		"others":               {header: map[string]string{"Origin": "http://" + here}, form: url.Values{FormToken: {own}}},
		"a script":             {header: map[string]string{"Origin": "http://" + here, "Sec-Fetch-Site": "same-origin", HeaderToken: own}},
	} {
		b.cookie = cookie
		if resp := b.ask(h, "POST", "/retry"); resp.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
	resp := browser{cookie: cookie, form: url.Values{FormToken: {own}}}.ask(h, "POST", "/logout")
	if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 || resp.Cookies()[0].MaxAge >= 0 {
		t.Errorf("logout: %s %v", resp.Status, resp.Cookies())
	}
	if resp := (browser{cookie: cookie}).ask(h, "GET", "/"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("after the logout: %s", resp.Status)
	}
}

// TestTLS: the cookie goes by TLS alone, and the server has the names of its certificate.
func TestTLS(t *testing.T) {
	c := New(Config{})
	h := server(c)
	b := browser{host: "Mail.example.com:8025", tls: true}
	resp := b.ask(h, "GET", c.Link("root"))
	if resp.StatusCode != http.StatusSeeOther || len(resp.Cookies()) != 1 {
		t.Fatal(resp.Status)
	}
	b.cookie = resp.Cookies()[0]
	if !b.cookie.Secure || b.cookie.Name != "__Host-mailhatch" || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%v", b.cookie)
	}
	if resp := b.ask(h, "GET", "/"); resp.StatusCode != http.StatusOK {
		t.Error(resp.Status)
	}
	for name, other := range map[string]browser{"another name": {host: "evil.example:8025", tls: true}, "the name without TLS": {host: "mail.example.com:8025"}} {
		if resp := other.ask(h, "GET", "/healthz"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("%s: %s", name, resp.Status)
		}
	}
}

// TestLifetimes: links and sessions end by themselves.
func TestLifetimes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		h := server(c)
		late := c.Link("root")
		time.Sleep(LinkLifetime)
		if resp := (browser{}).ask(h, "GET", late); resp.StatusCode != http.StatusForbidden {
			t.Errorf("a link that is too old: %s", resp.Status)
		}
		idle, busy := browser{cookie: opened(t, c, h)}, browser{cookie: opened(t, c, h)}
		for past := time.Duration(0); past < maxSession-time.Hour; past += time.Hour {
			if resp := busy.ask(h, "GET", "/"); resp.StatusCode != http.StatusOK {
				t.Errorf("after %v: %s", past, resp.Status)
			}
			time.Sleep(time.Hour)
		}
		if resp := idle.ask(h, "GET", "/"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("idle for hours: %s", resp.Status)
		}
		time.Sleep(time.Hour)
		if resp := busy.ask(h, "GET", "/"); resp.StatusCode != http.StatusForbidden {
			t.Errorf("at its end: %s", resp.Status)
		}
	})
}

// TestBounds: however many links are made and opened, the newest work.
func TestBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Config{})
		h := server(c)
		first := browser{cookie: opened(t, c, h)}
		for range maxSessions {
			time.Sleep(time.Second)
			_ = opened(t, c, h)
		}
		if resp := first.ask(h, "GET", "/"); resp.StatusCode != http.StatusForbidden || len(c.book.sessions) != maxSessions {
			t.Errorf("the oldest of %d sessions: %s", len(c.book.sessions), resp.Status)
		}
		oldest := c.Link("root")
		for range maxLinks {
			time.Sleep(time.Second)
			_ = c.Link("root")
		}
		if resp := (browser{}).ask(h, "GET", oldest); resp.StatusCode != http.StatusForbidden || len(c.book.links) != maxLinks {
			t.Errorf("the oldest of %d links: %s", len(c.book.links), resp.Status)
		}
	})
}

func TestToken(t *testing.T) {
	var guessed []string
	c := New(Config{Token: func() upstream.Secret { return upstream.NewSecret(token) }, Guard: backoff.New(time.Hour, nil), Guessed: func(client string) { guessed = append(guessed, client) }})
	h := server(c)
	with := func(authorization string) browser {
		return browser{header: map[string]string{"Authorization": authorization}}
	}
	for i, tc := range []struct {
		browser browser
		target  string
		status  int
	}{
		{browser{}, "/api/v1/queue", 401},
		{with("Bearer wrong"), "/healthz", 200},
		{with("Bearer wrong"), "/api/v1/queue", 401},
		{with("Bearer wrong"), "/api/v1/queue", 429},
		{with("Basic wrong"), "/api/v1/queue", 429},
		{with("bearer  " + token), "/api/v1/queue", 200},
		{with("Bearer " + token), "/", 403},
	} {
		if resp := tc.browser.ask(h, "GET", tc.target); resp.StatusCode != tc.status {
			t.Errorf("%d: %s, want %d", i, resp.Status, tc.status)
		}
	}
	if len(guessed) != 1 || guessed[0] != "192.0.2.1" {
		t.Errorf("on record: %q", guessed)
	}
	if resp := with("Bearer "+token).ask(h, "POST", "/api/v1/queue"); resp.StatusCode != http.StatusOK || text(t, resp) != "secret for token" {
		t.Errorf("a change: %s", resp.Status)
	}
	// A wrong token next to a good cookie is no good: which of them is meant cannot be told.
	b := with("Bearer wrong")
	b.cookie = opened(t, c, h)
	if resp := b.ask(h, "GET", "/"); resp.StatusCode == http.StatusOK {
		t.Error("a wrong token is passed over")
	}
}

// TestSocket: who can open the admin socket may do everything.
func TestSocket(t *testing.T) {
	c := New(Config{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.Admit(w, r, Owner) {
			_, _ = io.WriteString(w, "all")
		}
	}))
	l, err := net.Listen("unix", t.TempDir()+"/s")
	if err != nil {
		t.Fatal(err)
	}
	srv.Listener.Close()
	srv.Listener = l
	srv.Start()
	defer srv.Close()
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, "unix", l.Addr().String())
	}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://localhost/")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := text(t, resp); got != "all" {
		t.Errorf("%s %s", resp.Status, got)
	}
}
