package api_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// told writes findings as lines: "level name: text | hint".
func told(list []upstream.Finding) string {
	var b strings.Builder
	for _, f := range list {
		fmt.Fprintf(&b, "%s %s: %s | %s\n", f.Level, f.Name, f.Text, f.Hint)
	}
	return b.String()
}

func probe(t *testing.T, up upstream.Upstream, domains ...string) string {
	t.Helper()
	out := told(up.(upstream.Prober).Probe(t.Context(), domains))
	if strings.Contains(out, apiKey) {
		t.Errorf("the key is shown:\n%s", out)
	}
	return out
}

func TestProbe(t *testing.T) {
	many := func(n int) (list []upstreamtest.Domain) {
		for i := range n {
			list = append(list, upstreamtest.Domain{Name: fmt.Sprintf("d%d.example", i), Status: "valid"})
		}
		return list
	}
	rows := []struct {
		name, kind, settings string
		setup                func(*upstreamtest.Server)
		domains              []string
		want                 []string // parts of lines
		not                  string
	}{
		{"all well", "resend", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "verified"})
		}, []string{"example.com"}, []string{"ok key: valid", "ok domain: example.com is verified | \n", "ok clock: "}, "warn"},
		{"many", "resend", "", func(s *upstreamtest.Server) {
			s.SetDomains(append(many(1500), upstreamtest.Domain{Name: "example.com", Status: "verified"})...)
		}, []string{"example.com"}, []string{"ok domain: example.com is verified"}, "warn"},
		{"many", "mandrill", "", func(s *upstreamtest.Server) {
			s.SetDomains(append(many(1500), upstreamtest.Domain{Name: "example.com", Status: "verified"})...)
		}, []string{"example.com"}, []string{"ok domain: example.com is verified"}, "warn"},
		{"pending", "resend", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "pending"}, upstreamtest.Domain{Name: "a.example.com", Status: "partially_verified"})
		}, []string{"example.com", "*.example.com"}, []string{"fail domain: example.com is pending | add it", "warn domain: a.example.com is partially_verified"}, ""},
		{"absent", "resend", "", func(s *upstreamtest.Server) {
			s.SetDomains(many(7)...)
		}, []string{"example.com"}, []string{"fail domain: the account does not have example.com; it has d0.example, d1.example, d2.example, d3.example, d4.example and 2 more"}, ""},
		{"no domains in the config", "resend", "", nil, nil, []string{"ok domain: the account has none; from_domains"}, ""},
		{"send only", "resend", "", func(s *upstreamtest.Server) { s.SetSendOnly(true) }, []string{"example.com"},
			[]string{"ok key: valid; it may only send", "ok domain: a key that may only send"}, "fail"},
		{"wrong key", "resend", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 403 invalid_api_key", "| make one at https://resend.com/api-keys"}, "domain"},
		{"slow clock", "resend", "", func(s *upstreamtest.Server) { s.SetClock(3 * time.Minute) }, nil, []string{"warn clock: this machine's clock is ", " slow | set it"}, ""},
		{"fast clock", "resend", "", func(s *upstreamtest.Server) { s.SetClock(-3 * time.Hour) }, nil, []string{"warn clock: this machine's clock is 3h0m", " fast"}, ""},

		{"all well", "sendgrid", "", func(s *upstreamtest.Server) {
			s.SetScopes("mail.send", "whitelabel.read")
			s.SetDomains(upstreamtest.Domain{Name: "mail.Example.com", Status: "valid"})
		}, []string{"*.example.com"}, []string{"ok key: valid, and may send", "ok domain: mail.Example.com is authenticated"}, "warn"},
		{"not authenticated", "sendgrid", "", func(s *upstreamtest.Server) {
			s.SetScopes("mail.send", "whitelabel.read")
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "pending"})
		}, []string{"example.com", "other.example"}, []string{"fail domain: example.com is not authenticated yet", "warn domain: the account does not have other.example; it has example.com"}, ""},
		{"more than a page", "sendgrid", "", func(s *upstreamtest.Server) {
			s.SetScopes("mail.send", "whitelabel.read")
			s.SetDomains(many(50)...)
		}, []string{"example.com"}, []string{"warn domain: example.com is not among the first"}, ""},
		{"no scope for domains", "sendgrid", "", nil, []string{"example.com"}, []string{"ok key: valid, and may send", "ok domain: this key is not told"}, "fail"},
		{"no scope to send", "sendgrid", "", func(s *upstreamtest.Server) { s.SetScopes("alerts.read") }, nil, []string{"fail key: ", "lacks the scope mail.send | grant it the permission"}, ""},
		{"wrong key", "sendgrid", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401", "| make one at https://app.sendgrid.com"}, ""},
		{"sandbox", "sendgrid", "sandbox = true\n", nil, nil, []string{"warn sandbox: "}, ""},

		{"all well", "ses", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "verified"}, upstreamtest.Domain{Name: "new.example", Status: "pending"})
		}, []string{"example.com", "new.example", "other.example", "*.example.com"}, []string{"ok key: valid", "ok account: 17 of 50000 mails in 24 hours, 14 a second", "ok domain: example.com is verified",
			"fail domain: new.example is not verified", "fail domain: the account does not have other.example"}, "warn"},
		{"sandbox", "ses", "", func(s *upstreamtest.Server) { s.SetScopes("sandbox") }, nil, []string{"warn account: the account is in the sandbox"}, ""},
		{"paused", "ses", "", func(s *upstreamtest.Server) { s.SetScopes("paused") }, nil, []string{"fail account: sending is switched off"}, ""},
		{"send only", "ses", "", func(s *upstreamtest.Server) { s.SetSendOnly(true) }, nil, []string{"ok key: valid; it may only send"}, "fail"},
		{"wrong key", "ses", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 403 InvalidSignatureException", "| the access key, or the role"}, ""},

		{"all well", "postal", "", nil, nil, []string{"ok key: valid", "Postal's API does not list domains", "ok clock"}, "warn"},
		{"wrong key", "postal", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 200 InvalidServerAPIKey", "| make one for the server"}, ""},

		{"all well", "brevo", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "authenticated"}, upstreamtest.Domain{Name: "new.example", Status: "pending"})
		}, []string{"example.com"}, []string{"ok key: valid", "ok account: 291 credits are left of the plan free", "ok domain: example.com is authenticated"}, "warn"},
		{"domains", "brevo", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "new.example", Status: "pending"})
		},
			[]string{"new.example", "example.com"}, []string{"warn domain: new.example is not authenticated | authenticate it", "warn domain: the account does not have example.com"}, "fail"},
		{"no credits", "brevo", "", func(s *upstreamtest.Server) { s.SetScopes("no credits") }, nil, []string{"warn account: no credits are left of the plan free"}, "sms"},
		{"not activated", "brevo", "", func(s *upstreamtest.Server) { s.SetScopes("not activated") }, nil, []string{"fail account: sending of transactional mail is not activated"}, ""},
		{"no permission", "brevo", "", func(s *upstreamtest.Server) { s.SetSendOnly(true) }, nil, []string{"ok key: valid", "warn domain: the list of domains cannot be read: You do not have"}, "fail"},
		{"wrong key", "brevo", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401 unauthorized: Key not found", "| make one at https://app.brevo.com"}, ""},

		{"all well", "postmark", "message_stream = 'outbound'\n", nil, []string{"example.com"}, []string{"ok key: valid, of the server Production", "ok stream: outbound is there", "ok domain: a server token is not told"}, "warn"},
		{"sandbox that tracks", "postmark", "", func(s *upstreamtest.Server) { s.SetScopes("sandbox", "tracking") }, nil,
			[]string{"warn sandbox: the server is a sandbox", "warn tracking: ", "ok stream: the server's default"}, "fail"},
		{"no such stream", "postmark", "message_stream = 'news'\n", nil, nil, []string{"fail stream: the server has no message stream news: The message stream for"}, ""},
		{"a stream for inbound mail", "postmark", "message_stream = 'inbound'\n", nil, nil, []string{"fail stream: the message stream inbound is one for inbound mail"}, ""},
		{"wrong key", "postmark", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401 10: ", "| take the server's under API Tokens"}, ""},

		{"all well", "cloudflare", "", nil, []string{"example.com"}, []string{"ok key: valid, and may send", "ok domain: a token that may only send", "ok clock"}, "warn"},
		{"wrong token", "cloudflare", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401 10101", "| make a token with the permission"}, ""},
		{"may not send", "cloudflare", "", func(s *upstreamtest.Server) { s.SetScopes("read") }, nil, []string{"fail key: 403 10102"}, ""},
		{"wrong account", "cloudflare", "account_id = 'b2'\n", nil, nil, []string{"fail reach: 404 7003"}, ""},

		{"all well", "sparkpost", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "verified"}, upstreamtest.Domain{Name: "new.example", Status: "pending"}, upstreamtest.Domain{Name: "bad.example", Status: "blocked"})
		}, []string{"example.com", "new.example", "bad.example", "other.example"}, []string{"ok key: valid", "ok domain: example.com is verified | \n", "fail domain: new.example is not verified",
			"fail domain: bad.example is blocked", "fail domain: the account does not have other.example"}, "warn"},
		{"send only", "sparkpost", "", func(s *upstreamtest.Server) { s.SetSendOnly(true) }, nil, []string{"ok key: valid; it may only send", "is not told which"}, "fail"},
		{"wrong key", "sparkpost", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401", "| make one with the permission"}, ""},

		{"all well", "mandrill", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "example.com", Status: "verified"}, upstreamtest.Domain{Name: "new.example", Status: "pending"}, upstreamtest.Domain{Name: "half.example", Status: "unsigned"})
		}, []string{"example.com", "new.example", "half.example"}, []string{"ok key: valid", "ok domain: example.com is verified | \n", "fail domain: new.example is not verified",
			"fail domain: half.example is not set up for DKIM"}, "warn"},
		{"wrong key", "mandrill", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401 Invalid_Key", "| make one at https://mandrillapp.com"}, ""},

		{"all well", "jmap", "", nil, nil, []string{"ok key: the token is valid, and the account may send", "ok domain: the account has example.com", "ok clock"}, "warn"},
		{"identities", "jmap", "", func(s *upstreamtest.Server) { s.SetDomains(upstreamtest.Domain{Name: "other.example"}) }, []string{"other.example", "absent.example"}, []string{
			"ok domain: other.example is the domain of an identity", "warn domain: the account does not have absent.example; it has example.com, other.example"}, "fail"},
		{"wrong token", "jmap", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401 about:blank", "| make an API token"}, ""},
		{"no right", "jmap", "", func(s *upstreamtest.Server) { s.SetScopes("mail") }, nil, []string{"fail key: 200: the key lacks the scope urn:ietf:params:jmap:submission"}, ""},

		{"all well", "graph", "", nil, nil, []string{"ok key: the token is valid, and may send as app@example.com", "ok clock"}, "warn"},
		{"no right", "graph", "", func(s *upstreamtest.Server) { s.SetScopes("User.Read") }, nil, []string{"fail key: 403 ErrorAccessDenied", "| the application needs the right Mail.Send"}, ""},
		{"wrong secret", "graph", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail token: 401 invalid_client: no token: AADSTS7000215", "| secret: client_secret is wrong"}, ""},
		{"all well", "gmail", "user = 'app@example.com'\n", nil, nil, []string{"ok key: the token is valid, and may send as app@example.com", "ok clock"}, "warn"},
		{"no scope", "gmail", "", func(s *upstreamtest.Server) { s.SetScopes("gmail.readonly") }, nil, []string{"fail key: 403 insufficientPermissions", "| the token needs the scope gmail.send"}, ""},
		{"wrong secret", "gmail", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail token: 401 invalid_client: no token: "}, ""},

		{"all well", "mailgun", "", nil, nil, []string{"ok key: valid", "ok domain: mg.example.com is active | \n", "ok clock"}, "warn"},
		{"unverified", "mailgun", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "mg.example.com", Status: "unverified"})
		}, nil, []string{"fail domain: mg.example.com is unverified | add its DNS records"}, ""},
		{"no state", "mailgun", "", func(s *upstreamtest.Server) {
			s.SetDomains(upstreamtest.Domain{Name: "mg.example.com"})
		}, nil, []string{"warn domain: mg.example.com is in an unknown state"}, ""},
		{"send only", "mailgun", "", func(s *upstreamtest.Server) { s.SetSendOnly(true) }, nil, []string{"ok key: valid; it may only send", "is not told whether mg.example.com"}, "fail"},
		{"wrong key", "mailgun", "", func(s *upstreamtest.Server) { s.SetKey("x") }, nil, []string{"fail key: 401", "| take a sending key"}, ""},
		{"test mode", "mailgun", "test_mode = true\n", nil, nil, []string{"warn test_mode: "}, ""},
	}
	for _, row := range rows {
		t.Run(row.kind+"/"+row.name, func(t *testing.T) {
			up, fake := start(t, row.kind, row.settings)
			if row.setup != nil {
				row.setup(fake)
			}
			out := probe(t, up, row.domains...)
			for _, want := range row.want {
				if !strings.Contains(out, want) {
					t.Errorf("no %q in\n%s", want, out)
				}
			}
			if row.not != "" && strings.Contains(out, row.not) {
				t.Errorf("%q in\n%s", row.not, out)
			}
			if n := len(fake.Accepted()); n != 0 {
				t.Error("mail was sent")
			}
		})
	}
}

func TestProbeFailures(t *testing.T) {
	for _, row := range []struct {
		kind, settings, status, body, want string
	}{
		{"mailgun", "domain = 'other.example'\n", "404", `{"message":"Domain not found"}`, "fail domain: 404"},
		{"mailgun", "domain = 'mg.example.com'\n", "200", "Mailgun Magnificent API", "base_url and domain"},
		{"postal", "", "200", "<html>", "fail reach: 200: the answer is not from Postal"},
		{"jmap", "", "200", "<html>", "fail reach: 200: the answer is not a JMAP session; check session_url"},
		{"brevo", "", "200", "<html>", "fail reach: 200: the answer is not from Brevo"},
		{"brevo", "", "200", `{"email":"a@b.example"}`, "ok domain: the account has none"},
		{"cloudflare", "account_id = 'a1'\napi_token = 'k'\n", "200", "<html>", "fail reach: 200: the answer is not from Cloudflare"},
		{"cloudflare", "account_id = 'a1'\napi_token = 'k'\n", "503", "", "| the provider has an outage"},
		{"sparkpost", "", "200", "<html>", "fail reach: 200: the answer is not from SparkPost"},
		{"sparkpost", "", "200", `{"results":7}`, "warn domain: the list of domains cannot be read"},
		{"mandrill", "", "200", "<html>", "fail reach: 200: the answer is not from Mandrill"},
		{"mandrill", "", "200", "[7]", "warn domain: the list of domains cannot be read"},
		{"postmark", "", "200", "<html>", "fail reach: 200: the answer is not from Postmark"},
		{"resend", "", "200", "<html>", "fail reach: 200: the answer is not from Resend"},
		{"resend", "", "200", `{"data":7}`, "warn domain: the list of domains cannot be read"},
		{"resend", "", "503", "", "| the provider has an outage"},
		{"resend", "", "429", `{"name":"daily_quota_exceeded","message":"x"}`, "warn account: 429"},
		{"sendgrid", "", "200", `{"scopes":["mail.send","whitelabel.read"]}`, "warn domain: the list of domains cannot be read"},
	} {
		url := serve(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(map[string]int{"200": 200, "404": 404, "429": 429, "503": 503}[row.status])
			_, _ = w.Write([]byte(row.body))
		})
		at := slices.IndexFunc(apiKinds[:], func(k apiKind) bool { return k.name == row.kind })
		up := mustOpen(t, row.kind, apiKinds[at].with(apiKey)+"base_url = '"+url+"'\n"+row.settings)
		if out := probe(t, up); !strings.Contains(out, row.want) {
			t.Errorf("%s %s: no %q in\n%s", row.kind, row.status, row.want, out)
		}
	}
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		host := strings.TrimPrefix(fake.URL, "http://")
		fake.Close()
		if out := probe(t, up); strings.HasPrefix(out, "fail token: no token: cannot reach the token endpoint") {
			continue // which is down as well
		} else if !strings.Contains(out, "fail reach: cannot connect") || !strings.Contains(out, "| HTTPS to "+host+" must be possible") {
			t.Errorf("%s:\n%s", kind.name, out)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if list := up.(upstream.Prober).Probe(ctx, nil); len(list) == 0 || list[0].Level != upstream.Fail {
			t.Errorf("%s: %v", kind.name, list)
		}
	}
}
