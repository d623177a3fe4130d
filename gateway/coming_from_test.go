package gateway

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/accept"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream/kinds"
)

// passage is a mail and where the config of another mailer would have sent it.
type passage struct {
	from, to, user string
	want           string // "upstream: envelope sender > recipients", or the reply
	header         string // a line that it has then
}

// passages lists, by the headings of doc/coming-from.md, what their examples do.
var passages = map[string][]passage{
	"Postfix": {
		{"app", "a@example.org", "", "relay: app@example.com > a@example.org", "From: App <app@example.com>"},
		{"root", "a@example.org", "", "relay: ops@example.com > a@example.org", "From: App <ops@example.com>"},
		{"app", "postmaster", "", "relay: app@example.com > ops@example.com", ""},
		{"x@news.example", "a@example.org", "", "news: x@news.example > a@example.org", ""},
		{"x@shop.example", "a@example.org", "", "relay: x@shop.example > a@example.org archive@example.com", ""},
	},
	"Exim": {
		{"ann", "a@example.org", "", "smarthost: ann.lee@example.com > a@example.org", "From: App <ann.lee@example.com>"},
		{"bob@web01.internal", "a@example.org", "", "smarthost: bob@example.com > a@example.org", ""},
		{"x@shop.example", "a@example.org", "", "smarthost: x@shop.example > a@example.org", ""},
	},
	"msmtp": {
		{"www-data", "a@example.org", "uid:www-data", "provider: www-data@web01.example.com > a@example.org", "From: App <www-data@web01.example.com>"},
		{"x@news.example", "a@example.org", "uid:news", "news: x@news.example > a@example.org", ""},
		{"x@shop.example", "a@example.org", "", "provider: x@shop.example > a@example.org", ""},
	},
	"OpenSMTPD": {
		{"app", "a@example.org", "", "relay: app@example.com > a@example.org", "From: App <app@example.com>"},
		{"app", "hostmaster", "", "local: app@web01.example.com > ann@web01.example.com", ""},
		{"app", "a@blocked.example", "", "550 5.7.1 not from here", ""},
	},
	"nullmailer": {
		{"app", "a@example.org", "", "first second: web01@example.com > a@example.org", ""},
		{"app", "root", "", "first second: web01@example.com > ops@example.com", ""},
	},
	"ssmtp": {
		{"root", "root", "", "mailhub: root@example.com > ops@example.com", "From: App <root@example.com>"},
		{"www-data", "a@example.org", "uid:www-data", "shop: shop@example.com > a@example.org", ""},
	},
	"dma": {
		{"root", "root", "", "smarthost: web01@example.com > ops@example.com", "From: App <root@web01.example.com>"},
		{"", "a@example.org", "", "smarthost:  > a@example.org", ""},
	},
	"Posthorn": {
		{"blog@example.com", "a@example.org", "ghost", "postmark: blog@example.com > a@example.org", ""},
	},
	"Mailpit's relay": {
		{"app@example.org", "ann@example.com", "", "relay: bounces@example.com > ann@example.com", "From: App <app@example.org>"},
		{"app@example.org", "ann@customer.example", "", ": bounces@example.com > ann@customer.example", ""},
	},
	"Container images": {
		{"app@web01.example.com", "a@example.org", "", "relay: app@example.com > a@example.org", "X-Relayed-By: relay.example.com"},
		{"", "a@example.org", "", "relay:  > a@example.org", ""},
		{"x@shop.example", "a@example.org", "", "550 5.7.1 this sender may not use the relay", ""},
	},
}

// TestComingFrom reads the examples of doc/coming-from.md and looks where they send mail.
func TestComingFrom(t *testing.T) {
	text, err := os.ReadFile("../doc/coming-from.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"RELAY_PASSWORD", "GHOST_SMTP_PASSWORD", "POSTMARK_API_KEY", "SMTP_USERNAME", "SMTP_PASSWORD"} {
		t.Setenv(name, "secret")
	}
	t.Setenv("SMTP_SERVER", "smtp.example.com")
	tried := 0
	for _, section := range strings.Split(strings.ReplaceAll(string(text), "\r", ""), "\n## ")[1:] {
		heading, body, _ := strings.Cut(section, "\n")
		for _, block := range regexp.MustCompile("(?s)```toml\n(.*?)```").FindAllStringSubmatch(body, -1) {
			t.Run(heading, func(t *testing.T) { tryConfig(t, block[1], passages[heading]) })
			tried++
		}
	}
	if tried != len(passages) {
		t.Errorf("%d examples, %d known", tried, len(passages))
	}
}

func tryConfig(t *testing.T, text string, list []passage) {
	file := filepath.Join(t.TempDir(), "mailhatch.toml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.Close()
	if len(cfg.Warnings) > 0 {
		t.Error(cfg.Warnings)
	}
	if len(list) == 0 {
		t.Error("where its mail goes is not looked at")
	}
	for _, p := range list {
		got, header := p.through(t, cfg)
		if got != p.want || p.header != "" && !strings.Contains(header, p.header+"\r\n") {
			t.Errorf("%q to %q: %q, want %q\n%s", p.from, p.to, got, p.want, header)
		}
	}
}

// through accepts the mail and returns where it goes, and its header then.
func (p *passage) through(t *testing.T, cfg *config.Config) (where, header string) {
	t.Helper()
	msg, err := mime.Parse(mime.NewBytesSource([]byte("From: App <" + p.from + ">\r\nTo: " + p.to + "\r\nSubject: hi\r\n\r\nhello\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	env := &envelope.Envelope{From: cfg.Identity.Qualify(p.from), Client: envelope.Client{User: p.user}}
	env.To, _ = cfg.Aliases.Expand(cfg.Identity, []envelope.Recipient{{Address: cfg.Identity.Qualify(p.to)}})
	prepared, _, err := accept.Prepare(cfg, env, msg, "ID")
	if err != nil {
		t.Fatal(err)
	}
	in := route.NewInput("ID", env, prepared, prepared.Source.Size())
	var via, to []string
	for _, r := range env.To {
		in.To = r.Address
		d := cfg.Routes.Decide(in)
		if d.Action == route.Reject {
			return d.Reply.Error(), ""
		}
		via, to = append(via, strings.Join(d.Via, " ")), append(to, r.Address)
	}
	return strings.Join(slices.Compact(via), " | ") + ": " + env.From + " > " + strings.Join(to, " "), string(prepared.HeaderBytes())
}
