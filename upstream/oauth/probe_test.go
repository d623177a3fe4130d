package oauth

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/fakes"
)

// claims returns a token with these claims; nobody checks its signature here.
func claims(text string) string {
	return "e30." + base64.RawURLEncoding.EncodeToString([]byte(text)) + ".x"
}

func lines(list []upstream.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s %s: %s | %s\n", f.Level, f.Name, f.Text, f.Hint)
	}
	return b.String()
}

// TestRightOfExchange: at Graph an application may send without a right in its token, a person may not.
func TestRightOfExchange(t *testing.T) {
	for flow, want := range map[string]string{ClientCredentials: "", Device: "Mail.Send"} {
		s := &Source{settings: &Settings{Provider: microsoft, Flow: flow}, purpose: Graph}
		if got := s.lacks(claims(`{"roles":[],"scp":"User.Read"}`)); got != want {
			t.Errorf("%s: lacks %q, want %q", flow, got, want)
		}
	}
}

// TestProbe: what is missing is named, before the far side is asked.
func TestProbe(t *testing.T) {
	for name, row := range map[string]struct {
		flow, body string
		status     int
		want       string
		ok         bool
	}{
		"a right":        {ClientCredentials, `{"access_token":"` + claims(`{"roles":["SMTP.SendAsApp"]}`) + `","expires_in":3600}`, 200, "ok token: until ", true},
		"no right":       {ClientCredentials, `{"access_token":"` + claims(`{"roles":[]}`) + `","expires_in":3600}`, 200, "fail right: the token has not the right SMTP.SendAsApp | app right: ", true},
		"another token":  {ClientCredentials, `{"access_token":"opaque","expires_in":3600}`, 200, "ok token: until ", true},
		"no JSON in it":  {ClientCredentials, `{"access_token":"a.b.c","expires_in":3600}`, 200, "ok token: until ", true},
		"a wrong secret": {ClientCredentials, `{"error":"invalid_client","error_description":"AADSTS7000215: Invalid client secret"}`, 401, "fail token: 401 invalid_client: no token: AADSTS7000215: Invalid client secret | secret: client_secret is wrong", false},
		"no consent":     {ClientCredentials, `{"error":"invalid_grant","error_description":"AADSTS65001: nobody"}`, 400, "| consent: nobody has consented", false},
		"unknown words":  {ClientCredentials, `{"error":"invalid_grant","error_description":"words"}`, 400, "fail token: 400 invalid_grant: no token: words | \n", false},
		"no login":       {Device, ``, 0, "fail token: nobody has logged in yet | login: run mailhatch login m365\n", false},
	} {
		h := newHouse(t, row.flow)
		h.fake.Set(func(s *fakes.TokenSettings) { s.Status, s.Body = row.status, row.body })
		list, ok := h.open().Probe(t.Context())
		if got := lines(list); ok != row.ok || !strings.Contains(got, row.want) || strings.Contains(row.want, "ok token") && len(list) != 1 {
			t.Errorf("%s: %v\n%s", name, ok, got)
		}
	}
}

// TestProbeOfALogin: the login has the right to send, or not; one that is over is to be made again.
func TestProbeOfALogin(t *testing.T) {
	for body, want := range map[string]string{
		`{"access_token":"` + claims(`{"scp":"User.Read SMTP.Send"}`) + `","refresh_token":"r","expires_in":3600}`: "ok token: until ",
		`{"access_token":"` + claims(`{"scp":"User.Read"}`) + `","refresh_token":"r","expires_in":3600}`:           "the right SMTP.Send |",
	} {
		h := newHouse(t, Device)
		s := h.open()
		if err := s.Login(t.Context(), func(upstream.LoginCode) {
			h.fake.Set(func(s *fakes.TokenSettings) { s.Status, s.Body = 200, body })
		}); err != nil {
			t.Fatal(err)
		}
		if list, ok := s.Probe(t.Context()); !ok || !strings.Contains(lines(list), want) {
			t.Errorf("%s", lines(list))
		}
		h.fake.Set(func(s *fakes.TokenSettings) {
			s.Status, s.Body = 400, `{"error":"invalid_grant","error_description":"AADSTS700082: inactive for 90 days"}`
		})
		h.advance(2 * time.Hour)
		if list, ok := s.Probe(t.Context()); ok || !strings.Contains(lines(list), "AADSTS700082: inactive for 90 days | login: run mailhatch login m365") {
			t.Errorf("%s", lines(list))
		}
	}
}

func TestProbeOfACertificate(t *testing.T) {
	h := newHouse(t, ClientCredentials)
	app, err := fakes.NewApplication(t.TempDir(), client, time.Now().Add(5*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	h.settings.ClientSecret, h.settings.CertificateFile, h.settings.KeyFile = upstream.Secret{}, app.Certificate, app.Key
	h.fake.Set(func(s *fakes.TokenSettings) { s.Key = app.Public })
	list, ok := h.open().Probe(t.Context())
	if got := lines(list); !ok || !strings.Contains(got, "warn certificate: ends on ") {
		t.Errorf("%s", got)
	}
}

// TestTokenFileCannotBeRead: who may not read it does not claim that nobody has logged in.
func TestTokenFileCannotBeRead(t *testing.T) {
	h := newHouse(t, Device)
	if err := os.MkdirAll(h.open().store.(fileStore).path(), 0o700); err != nil { // a directory cannot be read as a file
		t.Fatal(err)
	}
	s := h.open()
	if s.NeedsLogin() {
		t.Error("it is said that nobody has logged in")
	}
	if _, e := s.Token(t.Context()); e == nil || e.Class != upstream.Temporary || !strings.Contains(e.Error(), "m365.json") {
		t.Errorf("%v", e)
	}
}

func TestAdvise(t *testing.T) {
	for words, want := range map[string]string{
		"AADSTS700082: x":                   "login",
		"AADSTS7000215: x":                  "secret",
		"AADSTS65001":                       "consent",
		"AADSTS650011: x":                   "", // another code
		"5.7.3 Authentication unsuccessful": "service principal or mailbox permission",
		"5.7.30 Basic authentication":       "oauth2",
		"5.7.139 SmtpClientAuthentication is disabled for the Tenant.":  "tenant setting",
		"5.7.139 SmtpClientAuthentication is disabled for the Mailbox.": "mailbox setting",
		"5.7.139 the request did not meet the criteria":                 "policy",
		"words": "",
	} {
		err := Advise(errors.New("x"), words)
		f := Finding("login", err)
		if step, _, _ := strings.Cut(f.Hint, ": "); step != want || f.Text != "x" || want == "" != (err.Error() == "x") {
			t.Errorf("%s: %+v", words, f)
		}
	}
}
