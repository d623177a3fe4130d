package explain

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/mime"
	"mailhatch/upstream/kinds"
)

const text = `
hostname = "gw.example.com"
state_dir = "DIR"
[[listener]]
address = "127.0.0.1:1026"
max_message = "1KB"
max_recipients = 2
[[listener]]
address = "127.0.0.1:1027"
auth = "required"
auth_plaintext = true
[[listener.user]]
name = "app"
password = "secret"
allow_from = ["app@*"]
[upstream.main]
type = "memory"
[upstream.json]
type = "resend"
api_key = "x"
[[rewrite]]
name = "staging"
to = ["*@staging.example.com"]
redirect_to = ["dev@example.com"]
[[route]]
name = "drafts"
to = ["*@drafts.example.net"]
hold = true
[[route]]
name = "no"
to = ["*@no.example.net"]
reject = "550 no"
[[route]]
name = "api"
to = ["*@api.example.net"]
via = ["json"]
[[route]]
via = ["main"]
[aliases]
root = "ops@example.com"
hole = "/dev/null"
`

// TestExplain: what becomes of each recipient, and what has decided it.
func TestExplain(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mailhatch.toml")
	if err := os.WriteFile(file, []byte(strings.Replace(text, "DIR", filepath.ToSlash(dir), 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.Close() //nolint:errcheck // nothing was sent
	const plain = "From: app@example.com\r\nTo: bob@example.org\r\n\r\nHi\r\n"
	const signed = "From: app@example.com\r\nTo: bob@api.example.net\r\nContent-Type: multipart/signed; boundary=b; protocol=x\r\n\r\n--b\r\n\r\nHi\r\n--b\r\n\r\nx\r\n--b--\r\n"
	for name, c := range map[string]struct {
		of      Case
		message string // "": none
		want    string
	}{
		"the last route":       {Case{To: []string{"bob@example.org"}}, "", "bob@example.org: route 4: via main"},
		"to of the message":    {Case{}, plain, "bob@example.org: route 4: via main"},
		"held":                 {Case{To: []string{"eva@drafts.example.net"}}, "", "eva@drafts.example.net: drafts: hold"},
		"rejected":             {Case{To: []string{"eva@no.example.net"}}, "", "eva@no.example.net: no: reject 550 5.7.1 no"},
		"an alias":             {Case{To: []string{"root"}}, "", "ops@example.com: route 4: via main"},
		"an alias to nothing":  {Case{To: []string{"hole"}}, "", "hole@gw.example.com: alias: discard"},
		"redirected":           {Case{To: []string{"x@staging.example.com"}}, plain, "dev@example.com: route 4: via main rewritten"},
		"cannot be carried":    {Case{To: []string{"bob@api.example.net"}}, signed, "bob@api.example.net: api: via json unfit"},
		"no login":             {Case{To: []string{"bob@example.org"}, Listener: "127.0.0.1:1027"}, "", "bob@example.org: MAIL FROM:<>: 530 5.7.0 Authentication required why"},
		"a login":              {Case{To: []string{"bob@example.org"}, User: "app", From: "app@example.com"}, "", "bob@example.org: route 4: via main"},
		"another's sender":     {Case{To: []string{"bob@example.org"}, User: "app", From: "eve@example.com"}, "", "MAIL FROM:<eve@example.com>: 553"},
		"an unknown login":     {Case{To: []string{"bob@example.org"}, User: "eve"}, "", "AUTH: 535"},
		"a stranger":           {Case{To: []string{"bob@example.org"}, Client: "192.0.2.1"}, "", "connect: 554"},
		"too large":            {Case{To: []string{"bob@example.org"}}, plain + strings.Repeat("x\r\n", 1000), "552"},
		"too many":             {Case{To: []string{"a@example.org", "b@example.org", "c@example.org"}}, "", "452"},
		"the gateway's own":    {Case{To: []string{"bob@example.org"}, Listener: config.BounceName}, "", "bob@example.org: route 4: via main"},
		"from an account":      {Case{To: []string{"bob@example.org"}, User: "uid:ann"}, "", "bob@example.org: route 4: via main"},
		"nobody":               {Case{}, "Subject: x\r\n\r\n", "no recipients"},
		"an unknown listener":  {Case{To: []string{"b@x"}, Listener: "nowhere"}, "", `no listener "nowhere"`},
		"a client by its name": {Case{To: []string{"b@x"}, Client: "localhost"}, "", "is not an IP address"},
	} {
		message := c.message
		if message == "" {
			message = "\r\n"
		}
		msg, err := mime.Parse(mime.NewBytesSource([]byte(message)))
		if err != nil {
			t.Fatal(err)
		}
		answers, err := c.of.Explain(t.Context(), cfg, msg, c.message != "")
		var got []string
		if err != nil {
			if m, ok := errors.AsType[*Mistake](err); !ok {
				t.Errorf("%s: %v", name, m)
			}
			got = append(got, err.Error())
		}
		for _, a := range answers {
			line := a.To + ": " + a.Decision
			if a.Rewritten {
				line += " rewritten"
			}
			if len(a.Unfit) > 0 {
				line += " unfit"
			}
			if a.Refused != nil && a.Refused.Why != "" {
				line += " why"
			}
			got = append(got, line)
		}
		if !strings.Contains(strings.Join(got, "\n"), c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}
