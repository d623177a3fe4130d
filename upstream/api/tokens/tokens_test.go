package tokens_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/gmail"
	"mailhatch/upstream/graph"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

const secret = "key-0123456789"

// kind is one that takes tokens, with its settings.
type kind struct {
	upstream.Kind
	scope, settings string
}

func kinds() []kind {
	return []kind{
		{graph.Kind(), "https://graph.microsoft.com/.default", "user = 'app@example.com'\noauth2.tenant = 'example.com'\n"},
		{gmail.Kind(), "the-scope", "oauth2.provider = 'custom'\noauth2.flow = 'client_credentials'\noauth2.scopes = ['the-scope']\n"},
	}
}

func open(t *testing.T, k upstream.Kind, settings string) upstream.Upstream {
	t.Helper()
	up, err := upstreamtest.Open(k, settings)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return server.URL
}

func sendOne(t *testing.T, up upstream.Upstream) error {
	t.Helper()
	return up.Send(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "ann@example.org"))[0].Err
}

func asError(t *testing.T, err error) *upstream.Error {
	t.Helper()
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		t.Fatalf("%T is no *upstream.Error: %v", err, err)
	}
	if strings.Contains(e.Error(), secret) {
		t.Errorf("the secret is in %v", e)
	}
	return e
}

// start starts a token endpoint and an API that takes its tokens, and opens a kind there.
func start(t *testing.T, k kind, life time.Duration, takes func(access string) bool) (upstream.Upstream, *fakes.Tokens, *atomic.Int32) {
	t.Helper()
	settings, tokens, requests := provide(t, k, life, takes)
	return open(t, k.Kind, settings), tokens, requests
}

// provide starts a token endpoint and an API that takes its tokens, and returns the settings of a kind there.
func provide(t *testing.T, k kind, life time.Duration, takes func(access string) bool) (settings string, _ *fakes.Tokens, _ *atomic.Int32) {
	t.Helper()
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "client", Secret: secret, Scope: k.scope, Life: life})
	t.Cleanup(tokens.Close)
	requests := &atomic.Int32{}
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		access := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		switch {
		case !tokens.IsValid(access) || takes != nil && !takes(access):
			w.WriteHeader(http.StatusUnauthorized)
			_, _ = fmt.Fprintf(w, `{"error":{"code":"InvalidAuthenticationToken","message":"the token %s has expired"}}`, access)
		case k.Name == "graph":
			w.Header().Set("Request-Id", "r-1")
			w.WriteHeader(http.StatusAccepted)
		default:
			_, _ = fmt.Fprint(w, `{"id":"m-1"}`)
		}
	})
	return fmt.Sprintf("%soauth2.client_id = 'client'\noauth2.client_secret = '%s'\noauth2.token_url = '%s'\nbase_url = '%s'\n", k.settings, secret, tokens.URL, url), tokens, requests
}

// TestTokens: one token serves many mails; one that is withdrawn is replaced within the attempt.
func TestTokens(t *testing.T) {
	for _, k := range kinds() {
		up, tokens, requests := start(t, k, time.Minute, nil)
		for range 3 {
			if err := sendOne(t, up); err != nil {
				t.Fatalf("%s: %v", k.Name, err)
			}
		}
		if n, expiries := tokens.Requests(), up.(upstream.Expiring).Expiries(); n != 1 || requests.Load() != 3 || len(expiries) != 1 || expiries[0].Name != "token" {
			t.Errorf("%s: %d tokens for %d requests, %+v", k.Name, n, requests.Load(), expiries)
		}
		var shown strings.Builder
		if err := up.(upstream.Renderer).Render(upstreamtest.NewMail(t, upstreamtest.PlainMessage, "ann@example.org"), &shown); err != nil || !strings.Contains(shown.String(), "Authorization: Bearer ***\n") {
			t.Errorf("%s: %v\n%s", k.Name, err, shown.String())
		}
		tokens.Revoke()
		// A token that was refused at once is not replaced: for a hundredth of its life the account is at fault.
		for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			err := sendOne(t, up)
			if err == nil {
				break
			}
			if e := asError(t, err); e.Class != upstream.Account || time.Since(begin) > time.Minute {
				t.Fatalf("%s: a token that was withdrawn: %v", k.Name, err)
			}
		}
		if n := tokens.Requests(); n != 2 {
			t.Errorf("%s: %d tokens", k.Name, n)
		}
	}
}

// TestTokenRefusedForGood asks no further token where a new one is refused as well.
func TestTokenRefusedForGood(t *testing.T) {
	for _, k := range kinds() {
		up, tokens, requests := start(t, k, time.Hour, func(string) bool { return false })
		for range 3 {
			e := asError(t, sendOne(t, up))
			if e.Class != upstream.Account || strings.Contains(e.Error(), "access-token") {
				t.Errorf("%s: %+v", k.Name, e)
			}
		}
		if tokens.Requests() != 1 || requests.Load() != 3 {
			t.Errorf("%s: %d tokens, %d requests", k.Name, tokens.Requests(), requests.Load())
		}
	}
}

// TestTokenEndpointFails keeps the mail, with the endpoint's class and words.
func TestTokenEndpointFails(t *testing.T) {
	for _, k := range kinds() {
		for _, row := range []struct {
			change  func(*fakes.TokenSettings)
			class   upstream.Class
			connect bool
			words   string
		}{
			{func(s *fakes.TokenSettings) { s.Secret = "another" }, upstream.Account, false, "client_secret is wrong"},
			{func(s *fakes.TokenSettings) { s.Drop = true }, upstream.Temporary, true, "cannot reach the token endpoint"},
			{func(s *fakes.TokenSettings) { s.Status, s.Body = 503, "<html>" }, upstream.Temporary, false, "no token"},
		} {
			up, tokens, requests := start(t, k, time.Hour, nil)
			tokens.Set(row.change)
			e := asError(t, sendOne(t, up))
			if e.Class != row.class || e.Connect != row.connect || !strings.Contains(e.Error(), row.words) || requests.Load() != 0 {
				t.Errorf("%s: %+v after %d requests", k.Name, e, requests.Load())
			}
		}
	}
}

// TestServiceAccount sends by Gmail as Google's documentation has it: a signed assertion for the subject.
func TestServiceAccount(t *testing.T) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	account, err := json.Marshal(map[string]string{"type": "service_account", "client_email": "robot@project.example", "private_key_id": "1",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "google.json")
	if err := os.WriteFile(file, account, 0o600); err != nil {
		t.Fatal(err)
	}
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "robot@project.example", Key: &key.PublicKey, Scope: "https://www.googleapis.com/auth/gmail.send", Subject: "app@example.com", Life: time.Hour})
	defer tokens.Close()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !tokens.IsValid(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) {
			t.Errorf("authorized by %q", r.Header.Get("Authorization"))
		}
		_, _ = fmt.Fprint(w, `{"id":"m-1"}`)
	})
	up := open(t, gmail.Kind(), fmt.Sprintf("oauth2.service_account_file = '%s'\noauth2.subject = 'app@example.com'\noauth2.token_url = '%s'\nbase_url = '%s'\n", filepath.ToSlash(file), tokens.URL, url))
	if out := up.Send(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "ann@example.org")); out[0].Err != nil || out[0].ID != "m-1" {
		t.Errorf("%+v", out)
	}
}

// TestLogin: a person logs in by the device flow, and mail goes by what they granted while Run keeps it.
func TestLogin(t *testing.T) {
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "client", Life: time.Hour})
	defer tokens.Close()
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		if !tokens.IsValid(strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")) || r.URL.Path != "/me/sendMail" {
			t.Errorf("%s %s", r.URL.Path, r.Header.Get("Authorization"))
		}
		w.WriteHeader(http.StatusAccepted)
	})
	up := open(t, graph.Kind(), fmt.Sprintf("oauth2.flow = 'device'\noauth2.tenant = 'example.com'\noauth2.client_id = 'client'\noauth2.token_url = '%s'\noauth2.device_url = '%[1]s/device'\nbase_url = '%s'\n", tokens.URL, url))
	login := up.(upstream.Loginer)
	if e := asError(t, sendOne(t, up)); e.Class != upstream.Account || !login.NeedsLogin() {
		t.Errorf("before the login: %+v", e)
	}
	if list := up.(upstream.Prober).Probe(t.Context(), nil); len(list) != 1 || list[0].Level != upstream.Fail {
		t.Errorf("probed before the login: %+v", list)
	}
	if err := login.Login(t.Context(), func(upstream.LoginCode) { tokens.Consent() }); err != nil {
		t.Fatal(err)
	}
	if err := sendOne(t, up); err != nil || login.NeedsLogin() {
		t.Errorf("after the login: %v", err)
	}
	if list := up.(upstream.Prober).Probe(t.Context(), nil); len(list) < 2 || list[0].Level != upstream.Fine {
		t.Errorf("probed after the login: %+v", list)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := up.(upstream.Runner).Run(ctx); err != nil {
		t.Error(err)
	}
}

// vault is one that two gateways share.
type vault struct {
	values   map[string][]byte
	versions map[string]int64
}

func (v *vault) Get(_ context.Context, name string) ([]byte, int64, error) {
	return v.values[name], v.versions[name], nil
}

func (v *vault) Set(_ context.Context, name string, value []byte, version int64) (int64, error) {
	if v.versions[name] != version {
		return 0, nil
	}
	v.values[name], v.versions[name] = value, version+1
	return version + 1, nil
}

func (v *vault) Lock(context.Context, string) (func(), error) { return func() {}, nil }

// TestSharedTokens: two gateways with the same settings and a vault between them ask for one token.
func TestSharedTokens(t *testing.T) {
	for _, k := range kinds() {
		settings, tokens, _ := provide(t, k, time.Minute, nil)
		v := &vault{map[string][]byte{}, map[string]int64{}}
		for range 2 {
			up := open(t, k.Kind, settings)
			sharer, ok := up.(upstream.TokenSharer)
			if !ok || !sharer.HasTokens() {
				t.Fatalf("%s does not share tokens", k.Name)
			}
			sharer.ShareTokens(v)
			if err := sendOne(t, up); err != nil {
				t.Errorf("%s: %v", k.Name, err)
			}
		}
		if n := tokens.Requests(); n != 1 {
			t.Errorf("%s: %d tokens for two gateways", k.Name, n)
		}
	}
}
