package environ_test

import (
	"os"
	"strings"
	"testing"

	"mailhatch/gateway/config/environ"
	"mailhatch/upstream/kinds"
)

// clear takes away the variables that a kind of upstream may find.
func clear(t *testing.T) {
	t.Helper()
	for _, pair := range os.Environ() {
		name, _, _ := strings.Cut(pair, "=")
		if strings.HasPrefix(name, "MAILHATCH_") || strings.HasSuffix(name, "_API_KEY") || name == "SMTP_PASSWORD" {
			t.Setenv(name, "")
		}
	}
}

func TestText(t *testing.T) {
	for name, c := range map[string]struct {
		set  []string
		want string
	}{
		"a key": {[]string{"MAILHATCH_UPSTREAM=resend", "MAILHATCH_API_KEY=re_1"}, `[upstream.main]
type = "resend"
api_key = "env:MAILHATCH_API_KEY"
[[route]]
via = ["main"]
`},
		"the usual name of a key": {[]string{"MAILHATCH_UPSTREAM=resend", "RESEND_API_KEY=re_1"}, `[upstream.main]
type = "resend"
api_key = "env:RESEND_API_KEY"
[[route]]
via = ["main"]
`},
		"a key in a file": {[]string{"MAILHATCH_UPSTREAM=resend", "MAILHATCH_API_KEY=file:/run/secrets/mail_key"}, `[upstream.main]
type = "resend"
api_key = "file:/run/secrets/mail_key"
[[route]]
via = ["main"]
`},
		"everything": {[]string{"MAILHATCH_UPSTREAM=mailgun", "MAILHATCH_API_KEY=k", "MAILHATCH_DOMAIN=mg.example.com", "MAILHATCH_REGION=eu",
			"MAILHATCH_FROM=App <app@example.com>", "MAILHATCH_LISTEN=:1025", "MAILHATCH_ALLOW=10.0.0.0/8", "MAILHATCH_HOSTNAME=a.example.com",
			"MAILHATCH_ADMIN=off", "MAILHATCH_ADMIN_TOKEN=0123456789abcdef", "MAILHATCH_METRICS=:9025"}, `hostname = "env:MAILHATCH_HOSTNAME"
[[listener]]
address = "env:MAILHATCH_LISTEN"
allow = "env:MAILHATCH_ALLOW"
[admin]
address = "env:MAILHATCH_ADMIN"
token = "env:MAILHATCH_ADMIN_TOKEN"
metrics = "env:MAILHATCH_METRICS"
[identity]
domain = "example.com"
default_from = "env:MAILHATCH_FROM"
[upstream.main]
type = "mailgun"
from_domains = ["example.com"]
rewrite_from = "env:MAILHATCH_FROM"
region = "env:MAILHATCH_REGION"
domain = "env:MAILHATCH_DOMAIN"
api_key = "env:MAILHATCH_API_KEY"
[[route]]
via = ["main"]
`},
		"networks alone": {[]string{"MAILHATCH_UPSTREAM=console", "MAILHATCH_ALLOW=10.0.0.0/8", "MAILHATCH_SERVICE_HOST=10.0.0.1"}, `[[listener]]
address = "127.0.0.1:1025"
allow = "env:MAILHATCH_ALLOW"
[upstream.main]
type = "console"
[[route]]
via = ["main"]
`},
		"another address of the API": {[]string{"MAILHATCH_UPSTREAM=resend", "MAILHATCH_API_KEY=k", "MAILHATCH_BASE_URL=http://127.0.0.1:1"}, `[upstream.main]
type = "resend"
base_url = "env:MAILHATCH_BASE_URL"
api_key = "env:MAILHATCH_API_KEY"
[[route]]
via = ["main"]
`},
		"what Kubernetes sets": {[]string{"MAILHATCH_UPSTREAM=smtp", "MAILHATCH_HOST=relay.example.com", "MAILHATCH_PORT=tcp://10.0.0.1:1025"}, `[upstream.main]
type = "smtp"
host = "relay.example.com"
tls = "starttls"
port = 587
[[route]]
via = ["main"]
`},
		"a relay without a login": {[]string{"MAILHATCH_UPSTREAM=smtp", "MAILHATCH_HOST=relay.example.com"}, `[upstream.main]
type = "smtp"
host = "relay.example.com"
tls = "starttls"
port = 587
[[route]]
via = ["main"]
`},
		"a relay as people write it": {[]string{"MAILHATCH_UPSTREAM=smtp", "MAILHATCH_HOST=relay.example.com:465", "MAILHATCH_USERNAME=u", "MAILHATCH_PASSWORD=p"},
			`[upstream.main]
type = "smtp"
host = "relay.example.com"
tls = "implicit"
port = 465
username = "env:MAILHATCH_USERNAME"
password = "env:MAILHATCH_PASSWORD"
[[route]]
via = ["main"]
`},
	} {
		t.Run(name, func(t *testing.T) {
			clear(t)
			for _, pair := range c.set {
				key, value, _ := strings.Cut(pair, "=")
				t.Setenv(key, value)
			}
			got, err := environ.Text(kinds.Kinds())
			if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, c.want)
			}
		})
	}
}

func TestTextProblems(t *testing.T) {
	for name, c := range map[string]struct{ set, want []string }{
		"no such type": {[]string{"MAILHATCH_UPSTREAM=resent"}, []string{`MAILHATCH_UPSTREAM="resent": there is no such type; write one of `, "resend"}},
		"no key":       {[]string{"MAILHATCH_UPSTREAM=resend"}, []string{"MAILHATCH_API_KEY or RESEND_API_KEY is not set, and MAILHATCH_UPSTREAM=resend needs it"}},
		"no address":   {[]string{"MAILHATCH_UPSTREAM=console", "MAILHATCH_FROM=root"}, []string{"MAILHATCH_FROM is not an address"}},
		"slips": {[]string{"MAILHATCH_UPSTREAM=console", "MAILHATCH_FORM=a@example.com", "MAILHATCH_ALOW=10.0.0.0/8"},
			[]string{"MAILHATCH_FORM is not a variable of console: ", "MAILHATCH_FROM", "MAILHATCH_ALOW is not a variable of console: ", "MAILHATCH_ALLOW"}},
		"all at once":    {[]string{"MAILHATCH_UPSTREAM=smtp", "MAILHATCH_FROM=root"}, []string{"MAILHATCH_FROM is not", "MAILHATCH_HOST is not set"}},
		"a key in parts": {[]string{"MAILHATCH_UPSTREAM=graph", "MAILHATCH_USER=a@example.com"}, []string{"MAILHATCH_OAUTH2_TENANT is not set", "MAILHATCH_OAUTH2_CLIENT_ID"}},
	} {
		t.Run(name, func(t *testing.T) {
			clear(t)
			for _, pair := range c.set {
				key, value, _ := strings.Cut(pair, "=")
				t.Setenv(key, value)
			}
			_, err := environ.Text(kinds.Kinds())
			if err == nil {
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in %q", want, err)
				}
			}
		})
	}
}

// TestVariablesDiffer: no key of a kind has the variable of another thing.
func TestVariablesDiffer(t *testing.T) {
	for _, k := range kinds.Kinds() {
		seen := map[string]string{}
		for _, own := range []string{environ.Upstream, environ.From, environ.Listen, environ.Allow, environ.Hostname, environ.Admin, environ.Token, environ.Metrics, "MAILHATCH_CONFIG"} {
			seen[own] = "of all"
		}
		for _, q := range k.Setup {
			if v := environ.Variable(q.Key); seen[v] != "" {
				t.Errorf("%s: %s of %s is %s too", k.Name, v, q.Key, seen[v])
			} else {
				seen[v] = q.Key
			}
		}
	}
}

// TestStray: variables that say where mail goes are not passed over where the one that all depends on is missing.
func TestStray(t *testing.T) {
	for pair, want := range map[string]string{
		"":                                     "",
		"MAILHATCH_UPSTREM=resend":             "MAILHATCH_UPSTREM is not a variable of mailhatch: did you mean",
		"MAILHATCH_API_KEY=re_1":               "MAILHATCH_API_KEY is set, and MAILHATCH_UPSTREAM is not",
		"MAILHATCH_HOST=relay":                 "MAILHATCH_HOST is set, and",
		"MAILHATCH_FROM=a@example.com":         "MAILHATCH_FROM is set, and",
		"MAILHATCH_LISTEN=0.0.0.0:1025":        "", // images set it
		"MAILHATCH_ALLOW=10.0.0.0/8":           "",
		"MAILHATCH_CONFIG=/etc/x":              "",
		"MAILHATCH_PORT=tcp://10.0.0.1:1025":   "", // Kubernetes, for a Service of that name
		"MAILHATCH_SERVICE_HOST=10.0.0.1":      "",
		"MAILHATCH_PORT_1025_TCP_ADDR=10.0.0.": "",
		"MAILHATCH_SERVICE_PORT=1025":          "",
		"MAILHATCH_SPECS=/specs":               "",
	} {
		t.Run(pair, func(t *testing.T) {
			clear(t)
			if key, value, ok := strings.Cut(pair, "="); ok {
				t.Setenv(key, value)
			}
			got := environ.Stray(kinds.Kinds(), "")
			if (got == nil) != (want == "") || !strings.Contains(got.Error(), want) {
				t.Errorf("%q, want %q", got, want)
			}
			if key, _, _ := strings.Cut(pair, "="); environ.Stray(kinds.Kinds(), `key = "env:`+key+`"`) != nil {
				t.Error("the config names it")
			}
		})
	}
}
