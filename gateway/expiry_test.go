package gateway

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/fakes"
)

// tokenUpstream starts a token endpoint and returns the config of an upstream "main" that logs in by it, at whose
// address nobody listens. Its certificate ends in ten days.
func tokenUpstream(t *testing.T, life time.Duration) (*fakes.Tokens, string) {
	t.Helper()
	app, err := fakes.NewApplication(t.TempDir(), "app-1", time.Now().Add(10*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "app-1", Key: app.Public, Scope: "https://outlook.office365.com/.default", Life: life})
	t.Cleanup(tokens.Close)
	return tokens, fmt.Sprintf(`[upstream.main]
type = "smtp"
tls = "none"
host = "127.0.0.1"
port = %d
username = "scanner@example.com"
[upstream.main.oauth2]
provider = "microsoft"
flow = "client_credentials"
tenant = "example.com"
client_id = "app-1"
certificate_file = %q
key_file = %q
token_url = %q
[[route]]
via = ["main"]
`, freeport.Port(t), app.Certificate, app.Key, tokens.URL)
}

// expiry returns what the status shows of a credential; zero: nothing.
func (h *house) expiry(name string) api.Expiry {
	for _, u := range h.g.upstreamStatus() {
		for _, e := range u.Expiries {
			if e.Name == name {
				return e
			}
		}
	}
	return api.Expiry{}
}

// TestTokensOverReloads: an upstream that stays keeps its token, and one that goes is not renewed any more.
func TestTokensOverReloads(t *testing.T) {
	h, _ := resendHouse(t, "")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	tokens, upstreams := tokenUpstream(t, time.Hour)
	h.write(upstreams)
	h.start()
	h.await("a token", func() bool { return !h.expiry("token").At.IsZero() })
	h.await("the warning of the certificate", func() bool { return strings.Contains(h.log.String(), "msg=expiring upstream=main what=certificate") })
	for range 3 {
		if err := h.g.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	h.await("the token", func() bool { return !h.expiry("token").At.IsZero() })
	if n := tokens.Requests(); n != 1 {
		t.Errorf("%d requests for tokens, one is needed", n)
	}
	if e := h.expiry("certificate"); e.Renewed || !e.At.After(time.Now()) {
		t.Errorf("certificate %+v", e)
	}

	short, upstreams := tokenUpstream(t, time.Second)
	h.write(upstreams)
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await("renewals", func() bool { return short.Requests() >= 3 })
	h.write("[upstream.main]\ntype = \"memory\"\n[[route]]\nvia = [\"main\"]\n")
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	n := short.Requests()
	time.Sleep(2 * time.Second) // two lives
	if got := short.Requests(); got > n+1 {
		t.Errorf("%d requests after the upstream has gone", got-n)
	}
	if r := short.Refusals() + tokens.Refusals(); r != 0 {
		t.Errorf("%d requests were refused", r)
	}
}

// TestTokenNotRenewed: the operator is told once a day, and again when it was well between.
func TestTokenNotRenewed(t *testing.T) {
	h, _ := resendHouse(t, "")
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	tokens, upstreams := tokenUpstream(t, time.Hour)
	tokens.Set(func(s *fakes.TokenSettings) {
		s.Status, s.Body = 401, `{"error":"invalid_client","error_description":"AADSTS7000222: the secret has expired"}`
	})
	h.write(upstreams)
	h.start()
	h.await("the failure", func() bool { return strings.Contains(h.expiry("token").Error, "AADSTS7000222") })
	if e := h.expiry("token"); !e.At.IsZero() || !e.Renewed {
		t.Errorf("%+v", e)
	}
	// The watch of the gateway has its own memory; this one begins anew.
	lines := func() int { return strings.Count(h.log.String(), "msg=not_renewed upstream=main what=token") }
	told, now := map[credential]time.Time{}, time.Now()
	before := lines()
	for i, row := range []struct {
		after time.Duration
		want  int
	}{{0, 1}, {time.Minute, 1}, {23 * time.Hour, 1}, {25 * time.Hour, 2}} {
		h.g.tellExpiries(told, now.Add(row.after))
		if got := lines() - before; got != row.want {
			t.Errorf("step %d: told %d times, want %d", i, got, row.want)
		}
	}
	if !strings.Contains(h.log.String(), "make a new one") {
		t.Errorf("no hint in\n%s", h.log.String())
	}
	tokens.Set(func(s *fakes.TokenSettings) { s.Status = 0 })
	h.await("the token", func() bool { return h.expiry("token").Error == "" && !h.expiry("token").At.IsZero() })
	h.g.tellExpiries(told, now)
	if _, still := told[credential{"main", "token"}]; still {
		t.Error("it is well, and would not be told of when it fails again")
	}
}

// TestEndsSoon asserts which ends are an operator's matter.
func TestEndsSoon(t *testing.T) {
	now := time.Now()
	for _, row := range []struct {
		expiry upstream.Expiry
		want   bool
	}{
		{upstream.Expiry{At: now.Add(13 * 24 * time.Hour)}, true},
		{upstream.Expiry{At: now.Add(-time.Hour)}, true},
		{upstream.Expiry{At: now.Add(15 * 24 * time.Hour)}, false},
		{upstream.Expiry{At: now.Add(time.Minute), Renewed: true}, false},
		{upstream.Expiry{}, false},
	} {
		if got := row.expiry.EndsSoon(now); got != row.want {
			t.Errorf("%+v: %v", row.expiry, got)
		}
	}
}
