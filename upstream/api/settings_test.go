package api_test

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

func TestAPISettings(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(garbage, []byte("no certificate"), 0o600); err != nil {
		t.Fatal(err)
	}
	rows := []struct{ kind, settings, keys string }{
		{"resend", "api_key = 'k'", ""},
		{"resend", "", "api_key"},
		{"resend", "api_key = 'two words'", "api_key"},
		{"resend", "api_key = 'k'\nbase_url = 'https://proxy.example/resend/'", ""},
		{"resend", "api_key = 'k'\nbase_url = 'http://localhost:1'", ""},
		{"resend", "api_key = 'k'\nbase_url = 'http://[::1]:1'", ""},
		{"resend", "api_key = 'k'\nbase_url = 'http://api.resend.com'", "base_url"},
		{"resend", "api_key = 'k'\nbase_url = 'http://10.0.0.1'", "base_url"},
		{"resend", "api_key = 'k'\nbase_url = 'ftp://localhost'", "base_url"},
		{"resend", "api_key = 'k'\nbase_url = 'api.resend.com'", "base_url"},
		{"resend", "api_key = 'k'\nbase_url = 'https://u:p@api.resend.com'", "base_url"},
		{"resend", "api_key = 'k'\ntimeout = '0s'\non_lossy = 'maybe'", "timeout on_lossy"},
		{"resend", "api_key = 'k'\nca_file = '/nowhere/ca.pem'", "ca_file"},
		{"resend", "api_key = 'k'\nca_file = '" + garbage + "'", "ca_file"},
		{"resend", "api_key = 'k'\nbind = '127.0.0.1'", ""},
		{"mailgun", "api_key = 'k'\ndomain = 'mg.example.com'\nbind = 'eth0'", "bind"},
		{"sendgrid", "type = 'sendgrid'\napi_key = 'k'\nregion = 'eu'\nsandbox = true\npass_control_headers = true", ""},
		{"sendgrid", "api_key = 'k'\nregion = 'us'\non_lossy = ''", "region on_lossy"},
		{"mailgun", "api_key = 'k'\ndomain = 'mg.example.com'\nregion = 'eu'\ntest_mode = true", ""},
		{"mailgun", "region = 'de'", "api_key region domain"},
		{"mailgun", "api_key = 'k'\ndomain = 'a/b'", "domain"},
		{"postal", "api_key = 'k'\nbase_url = 'https://postal.example.com'", ""},
		{"postal", "api_key = 'k'", "base_url"},
		{"brevo", "api_key = 'k'\non_lossy = 'allow'\npass_control_headers = true", ""},
		{"brevo", "on_lossy = 'no'", "api_key on_lossy"},
		{"postmark", "server_token = 'k'\nmessage_stream = 'broadcast-1'\non_lossy = 'allow'", ""},
		{"postmark", "message_stream = 'a/b'\non_lossy = ''", "server_token on_lossy message_stream"},
		{"cloudflare", "account_id = 'a1'\napi_token = 'k'", ""},
		{"cloudflare", "", "account_id api_token"},
		{"cloudflare", "account_id = 'a/b'\napi_token = 'two words'", "account_id api_token"},
		{"sparkpost", "api_key = 'k'\nregion = 'eu'", ""},
		{"sparkpost", "region = 'de'", "api_key region"},
		{"mandrill", "api_key = 'k'", ""},
		{"mandrill", "base_url = 'http://mandrillapp.com'", "api_key base_url"},
		{"ses", "region = 'eu-west-1'\naccess_key_id = 'k'\nsecret_access_key = 's'\nsession_token = 't'", ""},
		{"ses", "access_key_id = 'k'\nsecret_access_key = 's'", "region"},
		{"ses", "region = 'a/b'\naccess_key_id = 'k'\nsecret_access_key = 's'\nidentity_arn = 'x'", "region identity_arn"},
		{"ses", "region = 'eu west'\naccess_key_id = 'k'\nsecret_access_key = 's'", "region"},
		{"ses", "region = 'eu-west-1'\naccess_key_id = 'k'", "secret_access_key"},
		{"ses", "region = 'eu-west-1'\nsecret_access_key = 's'", "access_key_id"},
		{"ses", "region = 'eu-west-1'\nsecret_access_key = 's'\naccess_key_id = 'k'\nprofile = 'p'", "profile"},
		{"ses", "region = 'eu-west-1'\nprofile = 'nowhere'", "profile"},
		{"postal", "base_url = 'https://postal.example.com'", "api_key"},

		{"jmap", "token = 't'\nsession_url = 'https://api.example.com/jmap/session'", ""},
		{"jmap", "token = 't'\nbase_url = 'https://jmap.example.com'", ""},
		{"jmap", "token = 't'", "session_url"},
		{"jmap", "session_url = 'https://api.example.com/jmap/session'", "token"},
		{"jmap", "token = 't'\nsession_url = 'api.example.com'", "session_url"},
		{"jmap", "token = 't'\nsession_url = 'https://u:p@api.example.com'", "session_url"},
		{"jmap", "token = 't'\nsession_url = 'http://api.example.com/jmap/session'", "session_url"},
		{"jmap", "token = 't'\nsession_url = 'http://127.0.0.1:1/jmap/session'", ""},
		{"jmap", "token = 't'\nbase_url = 'ftp://%zz'", "base_url"},

		{"graph", "user = 'a@example.com'\noauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.client_secret = 's'", ""},
		{"graph", "oauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.flow = 'device'", ""},
		{"graph", "user = 'a@example.com'", "oauth2"},
		{"graph", "oauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.client_secret = 's'", "user"},
		{"graph", "user = 'a@example.com'\noauth2.provider = 'google'\noauth2.client_id = 'c'\noauth2.flow = 'device'", "oauth2.provider"},
		{"graph", "user = 'a@example.com'\noauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.client_secret = 's'\nca_file = '/nowhere/ca.pem'\ntimeout = '0s'", "timeout ca_file"},
		{"gmail", "oauth2.client_id = 'c'\noauth2.flow = 'device'", ""},
		{"gmail", "user = 'a@example.com'", "oauth2"},
		{"gmail", "oauth2.client_id = 'c'", "oauth2.service_account_file oauth2.subject"},
		{"gmail", "oauth2.provider = 'microsoft'\noauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.client_secret = 's'\noauth2.flow = 'client_credentials'\nbase_url = 'ftp://x'", "oauth2.provider base_url"},
	}
	for _, row := range rows {
		_, err := openKind(row.kind, row.settings)
		var keys []string
		for _, e := range flatten(err) {
			if e.Problem == "" || strings.Contains(e.Error(), "two words") || strings.Contains(e.Error(), "u:p") {
				t.Errorf("%s: %+v", row.settings, e)
			}
			keys = append(keys, e.Key)
		}
		if got := strings.Join(keys, " "); got != row.keys {
			t.Errorf("%s %q: problems with %q, want %q: %v", row.kind, row.settings, got, row.keys, err)
		}
	}
}

// flatten returns all KeyErrors inside an error.
func flatten(err error) []*upstream.KeyError {
	if err == nil {
		return nil
	}
	if k, ok := err.(*upstream.KeyError); ok {
		return []*upstream.KeyError{k}
	}
	var out []*upstream.KeyError
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			out = append(out, flatten(e)...)
		}
	}
	return out
}

func TestHosts(t *testing.T) {
	rows := []struct{ kind, settings, url string }{
		{"resend", "", "https://api.resend.com/emails"},
		{"resend", "base_url = 'https://proxy.example/resend/'\n", "https://proxy.example/resend/emails"},
		{"sendgrid", "", "https://api.sendgrid.com/v3/mail/send"},
		{"sendgrid", "region = 'eu'\n", "https://api.eu.sendgrid.com/v3/mail/send"},
		{"graph", "user = 'a@example.com'\noauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.client_secret = 's'\n", "https://graph.microsoft.com/v1.0/users/a@example.com/sendMail"},
		{"graph", "oauth2.tenant = 't'\noauth2.client_id = 'c'\noauth2.flow = 'device'\n", "https://graph.microsoft.com/v1.0/me/sendMail"},
		{"gmail", "user = 'a/b@example.com'\noauth2.client_id = 'c'\noauth2.flow = 'device'\n", "https://gmail.googleapis.com/gmail/v1/users/a%2Fb@example.com/messages/send"},
		{"mailgun", "domain = 'mg.example.com'\n", "https://api.mailgun.net/v3/mg.example.com/messages.mime"},
		{"mailgun", "domain = 'mg.example.com'\nregion = 'eu'\n", "https://api.eu.mailgun.net/v3/mg.example.com/messages.mime"},
		{"sparkpost", "", "https://api.sparkpost.com/api/v1/transmissions"},
		{"sparkpost", "region = 'eu'\n", "https://api.eu.sparkpost.com/api/v1/transmissions"},
		{"mandrill", "", "https://mandrillapp.com/api/1.0/messages/send-raw.json"},
	}
	for _, row := range rows {
		key := "api_key = 'k'\n"
		if strings.Contains(row.settings, "oauth2") {
			key = ""
		}
		up := mustOpen(t, row.kind, key+row.settings)
		var b strings.Builder
		if err := up.(upstream.Renderer).Render(makeMail(t, plainMessage, "ann@example.org"), &b); err != nil {
			t.Fatal(err)
		}
		if !strings.HasPrefix(b.String(), "POST "+row.url+"\n") {
			t.Errorf("%s: %.80s", row.settings, b.String())
		}
	}
}

func TestCheck(t *testing.T) {
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		if err := up.(upstream.Checker).Check(t.Context()); err != nil {
			t.Errorf("%s: %v", kind.name, err)
		}
		fake.SetKey("another")
		if e := asError(t, up.(upstream.Checker).Check(t.Context())); e.Class != upstream.Account {
			t.Errorf("%s: %+v", kind.name, e)
		}
		if n := len(fake.Accepted()); n != 0 {
			t.Errorf("%s: check sent mail", kind.name)
		}
	}
}

func TestCheckAnswers(t *testing.T) {
	rows := []struct {
		name, kind string
		answers    map[string]string // method -> "status body"
		class      upstream.Class    // -1: fine
	}{
		{"a key that may only send", "resend", map[string]string{"GET": `401 {"name":"restricted_api_key","message":"x"}`}, -1},
		{"another site", "resend", map[string]string{"GET": "200 <html>"}, upstream.Account},
		{"no scope to send", "sendgrid", map[string]string{"GET": `200 {"scopes":["alerts.read"]}`}, upstream.Account},
		{"another site", "sendgrid", map[string]string{"GET": "200 hello"}, upstream.Account},
		{"a domain's sending key", "mailgun", map[string]string{"GET": "401 Forbidden", "POST": `400 {"message":"to parameter is missing"}`}, -1},
		{"a wrong key", "mailgun", map[string]string{"GET": "401 Forbidden", "POST": "401 Forbidden"}, upstream.Account},
		{"no such domain", "mailgun", map[string]string{"GET": `404 {"message":"Domain not found"}`}, upstream.Account},
		{"another site", "mailgun", map[string]string{"GET": "200 Mailgun Magnificent API"}, upstream.Account},
		{"down", "mailgun", map[string]string{"GET": "503 "}, upstream.Temporary},
	}
	for _, row := range rows {
		t.Run(row.kind+"/"+row.name, func(t *testing.T) {
			url := serve(t, func(w http.ResponseWriter, r *http.Request) {
				status, body, _ := strings.Cut(row.answers[r.Method], " ")
				w.WriteHeader(map[string]int{"200": 200, "400": 400, "401": 401, "404": 404, "503": 503}[status])
				_, _ = io.WriteString(w, body)
			})
			up := mustOpen(t, row.kind, "api_key = '"+apiKey+"'\nbase_url = '"+url+"'\n"+map[string]string{"mailgun": "domain = 'mg.example.com'"}[row.kind])
			err := up.(upstream.Checker).Check(t.Context())
			if row.class < 0 {
				if err != nil {
					t.Error(err)
				}
				return
			}
			if e := asError(t, err); e.Class != row.class {
				t.Errorf("%+v", e)
			}
		})
	}
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: h}
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		_ = srv.Close()
		if err := <-done; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// TestTLSAndProxy sends over HTTPS with an authority of ca_file through the proxy of the environment.
func TestTLSAndProxy(t *testing.T) {
	fake := upstreamtest.NewSendGrid(apiKey, upstreamtest.TLS())
	defer fake.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, fake.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	connects := make(chan string, 10)
	proxy := connectProxy(t, strings.TrimPrefix(fake.URL, "https://"), connects)
	t.Setenv("HTTPS_PROXY", proxy)
	t.Setenv("NO_PROXY", "")
	// The test certificate of httptest is made out to example.com.
	up := mustOpen(t, "sendgrid", "api_key = '"+apiKey+"'\nbase_url = 'https://example.com'\nca_file = '"+ca+"'\n")
	for range 2 {
		if out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org")); out[0].Err != nil {
			t.Fatal(out[0].Err)
		}
	}
	if got := <-connects; got != "example.com:443" {
		t.Errorf("the proxy was asked for %q", got)
	}
	if len(connects) != 0 {
		t.Error("the connection was not used again")
	}
	if len(fake.Accepted()) != 2 {
		t.Errorf("%d mails", len(fake.Accepted()))
	}
}

// connectProxy tunnels every CONNECT to target.
func connectProxy(t *testing.T, target string, connects chan<- string) string {
	t.Helper()
	return serve(t, func(w http.ResponseWriter, r *http.Request) {
		connects <- r.Host
		out, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(r.Context(), "tcp", target)
		if err != nil {
			t.Error(err)
			return
		}
		conn, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
		go tunnel(out, conn, rw.Reader)
	})
}

func tunnel(out, conn net.Conn, in *bufio.Reader) {
	go func() {
		_, _ = io.Copy(out, in)
		_ = out.Close()
	}()
	_, _ = io.Copy(conn, out)
	_ = conn.Close()
}

// TestBind: connections come from the address of bind, or are not made.
func TestBind(t *testing.T) {
	for bind, good := range map[string]bool{"127.0.0.1": true, "192.0.2.7": false} {
		up, fake := start(t, "resend", "bind = '"+bind+"'\n")
		out := up.Send(t.Context(), makeMail(t, plainMessage, "ann@example.org"))
		if good != (out[0].Err == nil) || good != (len(fake.Accepted()) == 1) || !good && !asError(t, out[0].Err).Connect {
			t.Errorf("%s: %v", bind, out[0].Err)
		}
	}
}
