package smtp

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"mailhatch/upstream"
	"mailhatch/upstream/oauth"
	"mailhatch/upstream/smtp/preset"
)

func TestEveryPresetOpens(t *testing.T) {
	for _, p := range preset.All() {
		s := &settings{Preset: p.Name, Username: "u", Password: upstream.NewSecret("secret")}
		if p.Regions != nil {
			s.Region = p.Regions[0]
		}
		up, err := s.Open(upstream.Env{Hostname: "gw.example.com"})
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if u := relayOf(up); u.host != p.HostIn(s.Region) || u.port != p.Port || u.tlsMode != p.TLS || u.username != "u" || u.auth != authAuto {
			t.Errorf("%s: %+v", p.Name, u)
		}
		if l := s.Limits(); l.Recipients != p.Recipients || l.Rate != p.Rate || l.Concurrent != p.Concurrent {
			t.Errorf("%s: limits %+v", p.Name, l)
		}
	}
}

func TestPresetAndKeys(t *testing.T) {
	secret := upstream.NewSecret("secret")
	for _, row := range []struct {
		name     string
		settings settings
		want     string // host, port, tls, username
		advice   string // keys
		bad      string // "key: words"
	}{
		{"the one user of a service", settings{Preset: "resend", Password: secret}, "smtp.resend.com 465 implicit resend", "", ""},
		{"keys beside it win", settings{Preset: "resend", Host: "localhost", Port: 1465, Username: "me", Password: secret},
			"localhost 1465 implicit me", "host username port", ""},
		{"the same as the preset", settings{Preset: "resend", Host: "smtp.resend.com", Port: 465, TLS: "implicit", Password: secret},
			"smtp.resend.com 465 implicit resend", "", ""},
		{"another TLS mode has another port", settings{Preset: "gmail", TLS: "implicit", Username: "me", Password: secret},
			"smtp.gmail.com 465 implicit me", "tls", ""},
		{"another port has another TLS mode", settings{Preset: "gmail", Port: 465}, "smtp.gmail.com 465 implicit ", "port", ""},
		{"and the other way round", settings{Preset: "resend", Port: 587}, "smtp.resend.com 587 starttls ", "port", ""},
		{"a port that says nothing", settings{Preset: "resend", Port: 2465}, "smtp.resend.com 2465 implicit ", "port", ""},
		{"a port and a mode", settings{Preset: "gmail", Port: 465, TLS: "starttls"}, "smtp.gmail.com 465 starttls ", "port", ""},
		{"a port without a preset", settings{Host: "mail.example.com", Port: 465}, "mail.example.com 465 implicit ", "", ""},
		{"no login", settings{Preset: "gmail-relay"}, "smtp-relay.gmail.com 587 starttls ", "", ""},
		{"a password that is refused soon", settings{Preset: "microsoft365", Username: "me", Password: secret}, "smtp.office365.com 587 starttls me", "password", ""},
		{"tokens", settings{Preset: "microsoft365", Username: "me", OAuth2: &oauth.Settings{Tenant: "example.com", ClientID: "c", ClientSecret: secret}}, "smtp.office365.com 587 starttls me", "", ""},
		{"tokens by a person", settings{Preset: "microsoft365", Username: "me", OAuth2: &oauth.Settings{Flow: "device", Tenant: "example.com", ClientID: "c"}}, "smtp.office365.com 587 starttls me", "", ""},
		{"tokens of Google", settings{Preset: "gmail", Username: "me", OAuth2: &oauth.Settings{}}, "", "", "oauth2.service_account_file: is missing"},
		{"tokens of another", settings{Preset: "resend", Username: "me", OAuth2: &oauth.Settings{}}, "", "", "oauth2.provider: is missing"},
		{"a region", settings{Preset: "amazon-ses", Region: "eu-west-1"}, "email-smtp.eu-west-1.amazonaws.com 587 starttls ", "", ""},
		{"a region that is new", settings{Preset: "amazon-ses", Region: "mx-central-1"}, "email-smtp.mx-central-1.amazonaws.com 587 starttls ", "", ""},
		{"no region", settings{Preset: "amazon-ses"}, "", "", "region: is missing"},
		{"no region can be that", settings{Preset: "amazon-ses", Region: "evil.example/"}, "", "", "region: must be a region"},
		{"no such preset", settings{Preset: "gmial"}, "", "", `preset: must be "ahasend"`},
		{"a region too many", settings{Preset: "gmail", Region: "eu"}, "", "", "region: does not belong"},
		{"a region without a preset", settings{Host: "localhost", Region: "eu"}, "", "", "region: belongs to a preset"},
	} {
		t.Run(row.name, func(t *testing.T) {
			up, err := row.settings.Open(upstream.Env{Hostname: "gw.example.com"})
			if row.bad != "" {
				ke, _ := errors.AsType[*upstream.KeyError](err)
				if ke == nil || !strings.HasPrefix(ke.Key+": "+ke.Problem, row.bad) {
					t.Errorf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			u := relayOf(up)
			if got := fmt.Sprint(u.host, " ", u.port, " ", u.tlsMode, " ", u.username); got != row.want {
				t.Errorf("got %s, want %s", got, row.want)
			}
			var keys []string
			for _, a := range row.settings.Advice() {
				keys = append(keys, a.Key)
			}
			if got := strings.Join(keys, " "); got != row.advice {
				t.Errorf("advice about %q, want %q", got, row.advice)
			}
		})
	}
}

// relayOf is the relay behind what Open returned.
func relayOf(u upstream.Upstream) *relay {
	if k, ok := u.(keyed); ok {
		return k.relay
	}
	return u.(*relay)
}
