package oauth

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/fakes"
)

const (
	secret = "s3cret-of-the-application"
	client = "client-1"
	scope  = "https://outlook.office365.com/.default"
)

// house is a source with its fake endpoint and a clock that can be moved.
type house struct {
	t        *testing.T
	fake     *fakes.Tokens
	settings Settings
	env      upstream.Env
	ahead    time.Duration
	mu       sync.Mutex
}

func newHouse(t *testing.T, flow string) *house {
	t.Helper()
	h := &house{t: t, env: upstream.Env{Name: "m365", TokenDir: filepath.Join(t.TempDir(), "tokens")}}
	h.fake = fakes.NewTokens(fakes.TokenSettings{ClientID: client, Secret: secret, Scope: scope, Life: time.Hour})
	t.Cleanup(h.fake.Close)
	h.settings = Settings{Provider: microsoft, Flow: flow, Tenant: "example.com", ClientID: client, TokenURL: h.fake.URL, DeviceURL: h.fake.URL + "/device"}
	if flow == ClientCredentials {
		h.settings.ClientSecret = upstream.NewSecret(secret)
	}
	return h
}

// open is what a start of the program does.
func (h *house) open() *Source {
	h.t.Helper()
	s, err := h.settings.Open(h.env, SMTP, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	s.now = func() time.Time {
		h.mu.Lock()
		defer h.mu.Unlock()
		return time.Now().Add(h.ahead)
	}
	return s
}

func (h *house) advance(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ahead += d
}

func (h *house) token(s *Source) string {
	h.t.Helper()
	access, e := s.Token(h.t.Context())
	if e != nil {
		h.t.Fatal(e)
	}
	return access
}

func (h *house) wantRequests(n int) {
	h.t.Helper()
	if got := h.fake.Requests(); got != n {
		h.t.Errorf("%d requests, want %d", got, n)
	}
}

func TestOneTokenForItsLife(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	s := h.open()
	first := h.token(s)
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if got, e := s.Token(t.Context()); e != nil || got != first {
				t.Error(got, e)
			}
		})
	}
	wait.Wait()
	h.wantRequests(1)

	s = h.open() // a restart
	if got := h.token(s); got != first {
		t.Errorf("after a restart there is another token: %s", got)
	}
	h.wantRequests(1)

	h.advance(49 * time.Minute) // 80 % are over
	second := h.token(s)
	if second == first {
		t.Error("the token was not renewed")
	}
	h.wantRequests(2)
	st, err := os.Stat(filepath.Join(h.env.TokenDir, "m365.json"))
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file: %v, %v", st, err)
	}
}

// TestManyAtOnce: those who come while there is no token wait for one request.
func TestManyAtOnce(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	s := h.open()
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if _, e := s.Token(t.Context()); e != nil {
				t.Error(e)
			}
		})
	}
	wait.Wait()
	h.wantRequests(1)
}

func TestEndpointAway(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	s := h.open()
	first := h.token(s)
	h.fake.Set(func(s *fakes.TokenSettings) { s.Drop = true })
	h.advance(50 * time.Minute)
	if got := h.token(s); got != first {
		t.Errorf("the old token is not used while it is valid: %s", got)
	}
	n := h.fake.Requests()
	for range 20 {
		h.token(s)
	}
	if got := h.fake.Requests(); got != n {
		t.Errorf("%d requests within the pause", got-n)
	}
	h.advance(20 * time.Minute)
	if _, e := s.Token(t.Context()); e == nil || e.Class != upstream.Temporary || !e.Connect {
		t.Errorf("without a token: %+v", e)
	}
	h.fake.Set(func(s *fakes.TokenSettings) { s.Drop = false })
	h.advance(time.Minute)
	if got := h.token(s); got == first {
		t.Error("the token is the old one")
	}
}

func TestRefusals(t *testing.T) {
	for _, row := range []struct {
		status      int
		body, words string
		class       upstream.Class
	}{
		{401, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret provided: ` + secret + `"}`, "it is the secret's value", upstream.Account},
		{400, `{"error":"invalid_grant","error_description":"AADSTS65001: no consent"}`, "grant admin consent", upstream.Account},
		{400, `{"error":"something_new","error_description":"words"}`, "words", upstream.Account},
		{429, `{"error":"slow_down"}`, "", upstream.Throttled},
		{503, `<html>busy</html>`, "", upstream.Temporary},
		{400, `<html>a proxy</html>`, "", upstream.Temporary},
		{400, `{"error":"temporarily_unavailable"}`, "", upstream.Temporary},
		{200, `<html>login to the hotel</html>`, "", upstream.Temporary},
		{200, `{}`, "", upstream.Temporary},
	} {
		h := newHouse(t, ClientCredentials)
		h.fake.Set(func(s *fakes.TokenSettings) { s.Status, s.Body = row.status, row.body })
		_, e := h.open().Token(t.Context())
		if e == nil || e.Class != row.class || !strings.Contains(e.Error(), row.words) || strings.Contains(e.Error(), secret) {
			t.Errorf("%d %s: %v", row.status, row.body, e)
		}
	}
}

// TestRefusedToken: a token that the far side refuses is replaced once.
func TestRefusedToken(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	s := h.open()
	first := h.token(s)
	if s.Refused(first) {
		t.Error("a token that is new was refused: another one would be too")
	}
	h.advance(10 * time.Minute)
	if !s.Refused(first) {
		t.Error("an older token is not replaced")
	}
	if !s.Refused(first) {
		t.Error("another attempt with it, while nobody has renewed it yet, is not told to try again")
	}
	second := h.token(s)
	if second == first {
		t.Error("the same token")
	}
	if !s.Refused(first) || h.token(s) != second {
		t.Error("who still had the old one is not given the new one")
	}
	h.wantRequests(2)
}

func TestCertificate(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(90 * 24 * time.Hour).Truncate(time.Second)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: end}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	h.settings.ClientSecret = upstream.Secret{}
	h.settings.CertificateFile = writePEM(t, filepath.Join(dir, "cert.pem"), "CERTIFICATE", der)
	h.settings.KeyFile = writePEM(t, filepath.Join(dir, "key.pem"), "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(key))
	h.fake.Set(func(s *fakes.TokenSettings) { s.Key = &key.PublicKey })
	s := h.open()
	h.token(s)
	list := s.Expiries()
	if len(list) != 2 || list[0].Name != "token" || !list[0].Renewed || list[1].Name != "certificate" || !list[1].At.Equal(end) {
		t.Errorf("expiries %+v", list)
	}
	other, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	h.fake.Set(func(s *fakes.TokenSettings) { s.Key = &other.PublicKey })
	h.advance(50 * time.Minute)
	h.advance(time.Hour)
	if _, e := s.Token(t.Context()); e == nil || !strings.Contains(e.Error(), "upload it there") {
		t.Errorf("another certificate: %v", e)
	}
}

func writePEM(t *testing.T, path, kind string, der []byte) string {
	t.Helper()
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestServiceAccount(t *testing.T) {
	h := newHouse(t, ServiceAccount)
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := json.Marshal(map[string]string{"type": "service_account", "client_email": client, "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})), "token_uri": "https://evil.example/"})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "sa.json")
	if err := os.WriteFile(file, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	h.settings = Settings{Provider: google, Flow: ServiceAccount, ServiceAccountFile: file, Subject: "scanner@example.com", TokenURL: h.fake.URL}
	h.fake.Set(func(s *fakes.TokenSettings) {
		s.Key, s.Scope, s.Subject = &key.PublicKey, "https://mail.google.com/", "scanner@example.com"
	})
	s := h.open()
	if !h.fake.IsValid(h.token(s)) {
		t.Error("the token is not valid")
	}
	h.fake.Set(func(s *fakes.TokenSettings) { s.Scope = "another" })
	h.advance(2 * time.Hour)
	if _, e := s.Token(t.Context()); e == nil || e.Class != upstream.Account || !strings.Contains(e.Error(), "domain-wide delegation") {
		t.Errorf("no delegation: %v", e)
	}
	h.fake.Set(func(s *fakes.TokenSettings) { s.Drop = true })
	h.advance(2 * time.Hour)
	if _, e := s.Token(t.Context()); e == nil || e.Class != upstream.Temporary || !e.Connect || !strings.Contains(e.Error(), "cannot reach the token endpoint") || strings.Contains(e.Error(), h.fake.URL) {
		t.Errorf("the endpoint is away: %+v", e)
	}
}

// TestDevice logs in once; after that each refresh token is stored before the one before is worthless.
func TestDevice(t *testing.T) {
	h := newHouse(t, Device)
	s := h.open()
	if _, e := s.Token(t.Context()); e == nil || e.Class != upstream.Account || !strings.Contains(e.Error(), "mailhatch login m365") || !s.NeedsLogin() {
		t.Errorf("before the login: %v", e)
	}
	shown := make(chan upstream.LoginCode, 1)
	done := make(chan error, 1)
	cli := h.open() // another process
	go func() { done <- cli.Login(t.Context(), func(c upstream.LoginCode) { shown <- c }) }()
	if c := <-shown; c.Code != "ABCD-EFGH" || c.URL == "" || time.Until(c.Expiry) < time.Minute {
		t.Errorf("shown is %+v", c)
	}
	h.fake.Consent()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	h.advance(pause + time.Second)
	first := h.token(s)
	if s.NeedsLogin() {
		t.Error("the login is not known")
	}
	for i := range 5 {
		h.advance(50 * time.Minute)
		next := h.token(s)
		if next == first {
			t.Fatalf("renewal %d did nothing", i)
		}
		first = next
		s = h.open() // killed and started again: the rotated refresh token is there
	}
	h.settings.ClientID = "client-2"
	if !h.open().NeedsLogin() {
		t.Error("another application uses the token of the first")
	}
}

func TestLoginThatFails(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	if err := h.open().Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "device") {
		t.Errorf("another flow: %v", err)
	}
	h = newHouse(t, Device)
	ctx, cancel := context.WithCancel(t.Context())
	if err := h.open().Login(ctx, func(upstream.LoginCode) { cancel() }); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	h.fake.Set(func(s *fakes.TokenSettings) { s.ClientID = "another" })
	if err := h.open().Login(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "not an application of this tenant") {
		t.Errorf("another application: %v", err)
	}
}

// TestLoginEnds: what the endpoint says while it is asked whether the person has consented.
func TestLoginEnds(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		status     int
		body, want string
	}{
		"refused":           {400, `{"error":"access_denied"}`, "the person refused"},
		"declined":          {400, `{"error":"authorization_declined"}`, "the person refused"},
		"too late":          {400, `{"error":"expired_token"}`, "nobody consented in time"},
		"wrong":             {400, `{"error":"invalid_grant","error_description":"AADSTS7000218: a secret is missing"}`, "must allow public client flows"},
		"no refresh token":  {200, `{"access_token":"x","token_type":"Bearer"}`, "offline_access"},
		"away for a moment": {503, `busy`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, Device)
			s, asked := h.open(), h.fake.Requests()
			err := s.Login(t.Context(), func(upstream.LoginCode) {
				h.fake.Consent()
				h.fake.Set(func(s *fakes.TokenSettings) { s.Status, s.Body = row.status, row.body })
				if row.want == "" {
					go func() {
						await(t, "a question", func() bool { return h.fake.Requests() > asked })
						h.fake.Set(func(s *fakes.TokenSettings) { s.Status = 0 })
					}()
				}
			})
			if row.want == "" && (err != nil || s.NeedsLogin()) || row.want != "" && (err == nil || !strings.Contains(err.Error(), row.want)) {
				t.Error(err)
			}
		})
	}
}

// TestTokenFileCannotBeWritten: the token is used as long as the process lives, and the fault is told.
func TestTokenFileCannotBeWritten(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	h.env.TokenDir = filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(h.env.TokenDir, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	h.token(h.open())
	if err := os.Remove(h.env.TokenDir); err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(h.env.TokenDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(h.env.TokenDir, "m365.json"), []byte("{broken"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.token(h.open())
}

func TestSettings(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := Settings{Provider: microsoft, Flow: ClientCredentials, Tenant: "example.com", ClientID: "c", ClientSecret: upstream.NewSecret("x")}
	for _, row := range []struct {
		change func(*Settings)
		want   string // keys
	}{
		{func(*Settings) {}, ""},
		{func(s *Settings) { s.Provider = "" }, "provider"},
		{func(s *Settings) { s.Flow = "" }, ""},
		{func(s *Settings) { s.Provider, s.Flow = "", "" }, "provider flow"},
		{func(s *Settings) { s.Provider, s.Flow = custom, "" }, "flow"},
		{func(s *Settings) { s.Provider, s.Flow = google, "" }, "service_account_file subject"},
		{func(s *Settings) { s.Provider, s.Flow = "micro", "secret" }, "provider flow"},
		{func(s *Settings) { s.Tenant = "" }, "tenant"},
		{func(s *Settings) { s.Tenant = "a/b" }, "tenant"},
		{func(s *Settings) { s.Tenant, s.TokenURL = "", "https://login.example/token" }, ""},
		{func(s *Settings) { s.TokenURL = "http://login.example/token" }, "token_url"},
		{func(s *Settings) { s.ClientID = "" }, "client_id"},
		{func(s *Settings) { s.ClientSecret = upstream.Secret{} }, "client_secret"},
		{func(s *Settings) { s.CertificateFile = "/c.pem" }, "client_secret"},
		{func(s *Settings) { s.CertificateFile, s.KeyFile = "/c.pem", "/k.pem" }, "client_secret certificate_file"},
		{func(s *Settings) { s.ClientSecret, s.CertificateFile = upstream.Secret{}, "/c.pem" }, "key_file"},
		{func(s *Settings) {
			s.ClientSecret, s.CertificateFile, s.KeyFile = upstream.Secret{}, "/c.pem", "/k.pem"
		}, "certificate_file"},
		{func(s *Settings) {
			s.ClientSecret, s.CertificateFile, s.KeyFile = upstream.Secret{}, write("c.pem", "x"), "/k.pem"
		}, "key_file"},
		{func(s *Settings) {
			s.ClientSecret, s.CertificateFile, s.KeyFile = upstream.Secret{}, write("c.pem", "x"), write("k.pem", "x")
		}, "certificate_file"},
		{func(s *Settings) {
			s.ClientSecret, s.CertificateFile, s.KeyFile = upstream.Secret{}, write("c.pem", strings.Repeat("x", 1<<20+1)), write("k.pem", "x")
		}, "certificate_file"},
		{func(s *Settings) { s.ServiceAccountFile = "/sa.json" }, "service_account_file"},
		{func(s *Settings) { s.Provider, s.Flow, s.ServiceAccountFile = google, ServiceAccount, "/nowhere.json" }, "subject service_account_file"},
		{func(s *Settings) {
			s.Provider, s.Flow, s.Subject = google, ServiceAccount, "a@example.com"
			s.ServiceAccountFile = write("sa.json", `{"type":"service_account","client_email":"a@b.example","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n"}`)
		}, "service_account_file"},
		{func(s *Settings) { s.Flow = ServiceAccount }, "flow service_account_file subject"},
		{func(s *Settings) { s.Provider = google }, "flow"},
		{func(s *Settings) {
			s.Provider, s.Flow, s.ServiceAccountFile, s.Subject = google, ServiceAccount, "/nowhere.json", "a@example.com"
		}, "service_account_file"},
		{func(s *Settings) { s.Provider = custom }, "scopes token_url"},
		{func(s *Settings) {
			s.Provider, s.Flow, s.TokenURL, s.Scopes = custom, Device, "https://x.example/", []string{"s"}
		}, "device_url"},
		{func(s *Settings) { s.Provider, s.Flow, s.ClientSecret = google, Device, upstream.Secret{} }, ""},
	} {
		s := good
		row.change(&s)
		_, err := s.Open(upstream.Env{Name: "x"}, SMTP, nil)
		var keys []string
		for _, e := range errorsIn(err) {
			var ke *upstream.KeyError
			if !errors.As(e, &ke) {
				t.Errorf("%v is about no key", e)
				continue
			}
			keys = append(keys, strings.TrimPrefix(ke.Key, "oauth2."))
		}
		if got := strings.Join(keys, " "); got != row.want {
			t.Errorf("%+v: errors about %q, want %q: %v", s, got, row.want, err)
		}
	}
	if a := (&Settings{Provider: google, Flow: Device}).Advice(); len(a) != 1 {
		t.Errorf("advice %v", a)
	}
	if a := good.Advice(); a != nil {
		t.Errorf("advice %v", a)
	}
}

func errorsIn(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var all []error
		for _, e := range joined.Unwrap() {
			all = append(all, errorsIn(e)...)
		}
		return all
	}
	if err == nil {
		return nil
	}
	return []error{err}
}

func TestScopesAndEndpoints(t *testing.T) {
	for _, row := range []struct {
		provider, flow string
		purpose        Purpose
		scope          string
	}{
		{microsoft, ClientCredentials, SMTP, "https://outlook.office365.com/.default"},
		{microsoft, ClientCredentials, Graph, "https://graph.microsoft.com/.default"},
		{microsoft, Device, SMTP, "https://outlook.office.com/SMTP.Send offline_access"},
		{microsoft, Device, Graph, "https://graph.microsoft.com/Mail.Send offline_access"},
		{google, ServiceAccount, SMTP, "https://mail.google.com/"},
		{google, ServiceAccount, Gmail, "https://www.googleapis.com/auth/gmail.send"},
	} {
		s := Settings{Provider: row.provider, Flow: row.flow, Tenant: "t"}
		if got := strings.Join(s.scopes(row.purpose), " "); got != row.scope {
			t.Errorf("%+v: %s", row, got)
		}
		token, device := s.endpoints()
		if !strings.HasPrefix(token, "https://") || !strings.HasPrefix(device, "https://") {
			t.Errorf("%+v: %s %s", row, token, device)
		}
	}
	if got := fmt.Sprint((&Settings{Scopes: []string{"own"}}).scopes(SMTP)); got != "[own]" {
		t.Error(got)
	}
}

// TestAnswersOfTheEndpoint: what is no token is none, is told in words, and is not asked for again and again.
func TestAnswersOfTheEndpoint(t *testing.T) {
	const page = "<html>Welcome to the hotel</html>"
	for _, row := range []struct {
		status           int
		body             string
		class            upstream.Class
		words            string
		access, location string
	}{
		{200, `{"access_token":"abc","token_type":"Bearer","expires_in":3600}`, 0, "", "abc", ""},
		{200, `{"access_token":"abc"}`, 0, "", "abc", ""},
		{200, `{"access_token":"abc","token_type":"bearer","expires_in":"3600"}`, 0, "", "abc", ""},
		{200, `{"access_token":"abc","expires_in":1000000000000000}`, 0, "", "abc", ""},
		{200, `{"access_token":"abc","expires_in":-5}`, upstream.Temporary, "expired already", "", ""},
		{200, `{"access_token":"a\r\nX-Evil: 1"}`, upstream.Temporary, "characters", "", ""},
		{200, `{"access_token":"abc","token_type":"mac"}`, upstream.Temporary, `type "mac"`, "", ""},
		{200, `{"access_token":""}`, upstream.Temporary, "missing access_token", "", ""},
		{200, page, upstream.Temporary, "is not its own; look at token_url", "", ""},
		{200, "", upstream.Temporary, "is not its own", "", ""},
		{302, "", upstream.Temporary, "redirects", "", "https://elsewhere.example/"},
		{407, "", upstream.Temporary, "gives no reason", "", ""},
		{502, page, upstream.Temporary, "Welcome", "", ""},
		{429, `{"error":"x"}`, upstream.Throttled, "x", "", ""},
		{401, `{"error":"invalid_client","error_description":"` + secret + `"}`, upstream.Account, "***", "", ""},
	} {
		asked := 0
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			asked++
			if w.Header().Set("Content-Type", "application/json"); row.location != "" {
				w.Header().Set("Location", row.location)
			}
			w.WriteHeader(row.status)
			_, _ = io.WriteString(w, row.body)
		}))
		s := &Settings{Provider: custom, Flow: ClientCredentials, ClientID: client, ClientSecret: upstream.NewSecret(secret), TokenURL: server.URL, Scopes: []string{"s"}}
		source, err := s.Open(upstream.Env{Name: "x", TokenDir: t.TempDir()}, SMTP, nil)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			access, e := source.Token(t.Context())
			if access != row.access || (e == nil) != (row.words == "") {
				t.Errorf("%d %s: token %q, %v", row.status, row.body, access, e)
			} else if e != nil && (e.Class != row.class || !strings.Contains(e.Error(), row.words) || strings.Contains(e.Error(), secret)) {
				t.Errorf("%d %s: %v: %v, want %s", row.status, row.body, e.Class, e, row.words)
			}
		}
		server.Close()
		if asked != 1 {
			t.Errorf("%d %s: asked %d times", row.status, row.body, asked)
		}
	}
}

// TestLoginAtAPortal: a page in place of a code, and a token that is none, are told as such.
func TestLoginAtAPortal(t *testing.T) {
	for _, row := range []struct{ device, token, words string }{
		{"<html>Welcome</html>", "", "is not its own"},
		{`{"device_code":"d","user_code":"u","verification_uri":"https://x.example/","expires_in":900,"interval":1}`, `{"access_token":"a\nb","refresh_token":"r"}`, "characters"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = io.WriteString(w, map[string]string{"/device": row.device, "/token": row.token}[r.URL.Path])
		}))
		s := &Settings{Provider: custom, Flow: Device, ClientID: client, TokenURL: server.URL + "/token", DeviceURL: server.URL + "/device", Scopes: []string{"s"}}
		source, err := s.Open(upstream.Env{Name: "x", TokenDir: t.TempDir()}, SMTP, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := source.Login(t.Context(), func(upstream.LoginCode) {}); err == nil || !strings.Contains(err.Error(), row.words) || !source.NeedsLogin() {
			t.Errorf("%s: %v", row.words, err)
		}
		server.Close()
	}
}
