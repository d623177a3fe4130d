package smtp

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
)

// tokenRelay starts a token endpoint and a relay that takes its tokens.
func tokenRelay(t *testing.T, mechanism string, life time.Duration, react func(upstreamtest.SMTPStep) upstreamtest.SMTPReaction) (*relay, *upstreamtest.SMTP, *fakes.Tokens) {
	t.Helper()
	tokens := fakes.NewTokens(fakes.TokenSettings{ClientID: "c", Secret: "the-client-secret", Scope: "https://outlook.office365.com/.default", Life: life})
	t.Cleanup(tokens.Close)
	server := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Mechanisms: []string{mechanism}, React: react,
		Token: func(user, access string) bool { return user == "scanner@example.com" && tokens.IsValid(access) }})
	u := openSMTP(t, server, func(s *settings) {
		s.TLS, s.Username = "starttls", "scanner@example.com"
		s.OAuth2 = &oauth.Settings{Provider: "microsoft", Flow: "client_credentials", Tenant: "example.com", ClientID: "c",
			ClientSecret: upstream.NewSecret("the-client-secret"), TokenURL: tokens.URL}
	})
	return u, server, tokens
}

func sendOne(t *testing.T, u *relay) error {
	t.Helper()
	return u.Send(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org"))[0].Err
}

func TestTokens(t *testing.T) {
	for _, mechanism := range []string{"XOAUTH2", "OAUTHBEARER"} {
		u, server, tokens := tokenRelay(t, mechanism, time.Hour, nil)
		for range 3 {
			if err := sendOne(t, u); err != nil {
				t.Fatalf("%s: %v", mechanism, err)
			}
			u.pool.close() // so that each logs in
			u.pool = pool{maxIdle: maxIdle}
		}
		if n := tokens.Requests(); n != 1 {
			t.Errorf("%s: %d requests for tokens", mechanism, n)
		}
		if taken := server.Taken(); len(taken) != 3 || taken[0].User != "scanner@example.com" {
			t.Errorf("%s: taken %+v", mechanism, taken)
		}
		if list := u.Expiries(); len(list) != 1 || list[0].Name != "token" {
			t.Errorf("expiries %+v", list)
		}
	}
}

// TestTokenWithdrawn: a token that the relay refuses before its end is replaced within the attempt; where the new one
// is refused too, the account is at fault and no further token is asked for.
func TestTokenWithdrawn(t *testing.T) {
	u, _, tokens := tokenRelay(t, "XOAUTH2", 3*time.Second, nil)
	if err := sendOne(t, u); err != nil {
		t.Fatal(err)
	}
	u.pool.close()
	u.pool = pool{maxIdle: maxIdle}
	time.Sleep(100 * time.Millisecond) // the token is not new any more
	tokens.Revoke()
	if err := sendOne(t, u); err != nil {
		t.Errorf("after the token was withdrawn: %v", err)
	}
	if n := tokens.Requests(); n != 2 {
		t.Errorf("%d requests", n)
	}
}

func TestTokenRefused(t *testing.T) {
	u, _, tokens := tokenRelay(t, "XOAUTH2", time.Hour, func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if s.Stage == upstreamtest.SMTPAuth {
			return upstreamtest.SMTPReaction{Reply: "535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant. access-token-000001"}
		}
		return upstreamtest.SMTPReaction{}
	})
	for range 3 {
		err := sendOne(t, u)
		if e := asError(t, err); e.Class != upstream.Account || e.Status != 535 || !strings.Contains(e.Error(), "Set-CASMailbox") || strings.Contains(e.Error(), "access-token") {
			t.Errorf("%v", err)
		}
	}
	if n := tokens.Requests(); n != 1 {
		t.Errorf("%d requests for tokens", n)
	}
	tokens.Set(func(s *fakes.TokenSettings) { s.Secret = "another" })
	u, _, tokens = tokenRelay(t, "XOAUTH2", time.Hour, nil)
	tokens.Set(func(s *fakes.TokenSettings) { s.Secret = "another" })
	err := sendOne(t, u)
	if e := asError(t, err); e.Class != upstream.Account || !strings.Contains(e.Error(), "AADSTS7000215") || strings.Contains(e.Error(), "the-client-secret") {
		t.Errorf("%v", err)
	}
	tokens.Set(func(s *fakes.TokenSettings) { s.Drop = true })
	u, _, tokens2 := tokenRelay(t, "XOAUTH2", time.Hour, nil)
	tokens2.Close()
	if e := asError(t, sendOne(t, u)); e.Class != upstream.Temporary || !e.Connect {
		t.Errorf("the endpoint is away: %v", e)
	}
}

func TestTokenSettings(t *testing.T) {
	good := oauth.Settings{Provider: "microsoft", Flow: "client_credentials", Tenant: "example.com", ClientID: "c", ClientSecret: upstream.NewSecret("x")}
	for name, row := range map[string]struct {
		settings settings
		bad      string
	}{
		"preset":       {settings{Preset: "microsoft365", Username: "a@example.com", OAuth2: &good}, ""},
		"no user":      {settings{Preset: "microsoft365", OAuth2: &good}, "username"},
		"a password":   {settings{Preset: "microsoft365", Username: "a", Password: upstream.NewSecret("x"), OAuth2: &good}, "password"},
		"plain":        {settings{Preset: "microsoft365", Username: "a", Auth: "plain", OAuth2: &good}, "auth"},
		"no tenant":    {settings{Preset: "microsoft365", Username: "a", OAuth2: &oauth.Settings{Provider: "microsoft", Flow: "client_credentials", ClientID: "c", ClientSecret: upstream.NewSecret("x")}}, "oauth2.tenant"},
		"in the clear": {settings{Host: "smtp.example.com", TLS: "none", Username: "a", OAuth2: &good}, "tls"},
	} {
		_, err := row.settings.Open(upstream.Env{Name: "m365", TokenDir: filepath.Join(t.TempDir(), "tokens")})
		if (err == nil) != (row.bad == "") || err != nil && !strings.HasPrefix(err.Error(), row.bad) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func asError(t *testing.T, err error) *upstream.Error {
	t.Helper()
	e, ok := errors.AsType[*upstream.Error](err)
	if !ok {
		t.Fatalf("%v is no *upstream.Error", err)
	}
	return e
}

// TestTokenProbe: check --online names the step that is missing, with the relay's words.
func TestTokenProbe(t *testing.T) {
	for name, row := range map[string]struct {
		reply, secret string
		want          []string
	}{
		"well":              {"", "the-client-secret", []string{"ok token: until ", "ok login: as scanner@example.com"}},
		"no secret":         {"", "another", []string{"fail token: 401 invalid_client: no token: AADSTS7000215", "| secret: client_secret is wrong", "ok ports: "}},
		"tenant":            {"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Tenant.", "the-client-secret", []string{"ok token: ", "fail login: 535 5.7.139", "| tenant setting: "}},
		"mailbox":           {"535 5.7.139 Authentication unsuccessful, SmtpClientAuthentication is disabled for the Mailbox.", "the-client-secret", []string{"| mailbox setting: "}},
		"service principal": {"535 5.7.3 Authentication unsuccessful", "the-client-secret", []string{"| service principal or mailbox permission: "}},
	} {
		u, server, tokens := tokenRelay(t, "XOAUTH2", time.Hour, func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
			if s.Stage == upstreamtest.SMTPAuth && row.reply != "" {
				return upstreamtest.SMTPReaction{Reply: row.reply}
			}
			return upstreamtest.SMTPReaction{}
		})
		tokens.Set(func(s *fakes.TokenSettings) { s.Secret = row.secret })
		out := findings(u.probe(t.Context(), []int{server.Port}))
		for _, want := range row.want {
			if !strings.Contains(out, want) {
				t.Errorf("%s: no %q in\n%s", name, want, out)
			}
		}
		if strings.Contains(out, "the-client-secret") || strings.Contains(out, "access-token") {
			t.Errorf("%s: a secret shows:\n%s", name, out)
		}
	}
}
