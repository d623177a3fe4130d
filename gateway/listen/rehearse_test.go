package listen

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/upstream/kinds"
)

// witness notes what a handler is asked.
type witness struct{ seen string }

func (w *witness) Sender(_ context.Context, env *envelope.Envelope) error {
	w.seen += fmt.Sprintf("%s %s %s|", env.Client.Addr, env.Client.User, env.From)
	if strings.Contains(env.From, "evil") {
		return &envelope.Reply{Code: 553, Enhanced: [3]int{5, 7, 1}, Text: "not as that one"}
	}
	return nil
}

func (w *witness) Recipient(_ context.Context, _ *envelope.Envelope, r *envelope.Recipient) error {
	w.seen += r.Address + "|"
	if strings.Contains(r.Address, "gone") {
		return &envelope.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "gone"}
	}
	return nil
}

func (w *witness) Accept(_ context.Context, env *envelope.Envelope, body io.Reader) (string, string, error) {
	n, err := io.Copy(io.Discard, body)
	w.seen += fmt.Sprint(len(env.To), " ", n)
	return "", "", err
}

func TestRehearse(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "mailhatch.toml")
	text := fmt.Sprintf("state_dir = %q\nhostname = \"gw.example.com\"\n", dir) + `
[[listener]]
address = "127.0.0.1:1025"
max_recipients = 2
max_message = "3KB"
max_line = "998B"
bare_newlines = "reject"
[[listener]]
address = "0.0.0.0:1026"
tls = "starttls"
self_signed = true
auth = "required"
[[listener.user]]
name = "app"
password = "secret"
[[listener]]
address = "unix:/run/mailhatch-test.sock"
[upstream.main]
type = "memory"
[[route]]
via = "main"
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
	if err != nil {
		t.Fatal(err)
	}
	defer cfg.Close()
	here, there := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name     string
		listener int
		client   Client
		session  string // the refusal of the message, "" for none
		refused  string // the recipients refused
		seen     string
	}{
		{"taken", 0, Client{Addr: here, From: "a@x.example", To: []string{"b@x.example", "root"}, Message: []byte("Subject: x\r\n\r\n.\r\nx\r\n")}, "", "",
			"127.0.0.1  a@x.example|b@x.example|root@gw.example.com|2 20"},
		{"no message", 0, Client{Addr: here, To: []string{"b@x.example"}}, "", "", "127.0.0.1  |b@x.example|"},
		{"beyond ASCII", 0, Client{Addr: here, From: "ä@x.example", To: []string{"b@x.example"}, Message: []byte("Subject: ä\r\n\r\n")}, "", "",
			"127.0.0.1  ä@x.example|b@x.example|1 15"},
		{"stranger", 0, Client{Addr: there, From: "a@x.example", To: []string{"b@x.example"}}, "connect: 554 5.7.1", "", ""},
		{"sender", 0, Client{Addr: here, From: "a@evil.example", To: []string{"b@x.example"}}, "MAIL FROM:<a@evil.example>: 553 5.7.1 not as that one", "", "127.0.0.1  a@evil.example|"},
		{"syntax", 0, Client{Addr: here, From: "a@@", To: []string{"b@x.example"}}, "MAIL FROM:<a@@>: 501 5.1.", "", ""},
		{"two lines", 0, Client{Addr: here, From: "a@x.example>\r\nRSET", To: []string{"b@x.example"}}, "501 5.5.2", "", ""},
		{"recipients", 0, Client{Addr: here, To: []string{"gone@x.example", "a@x.example", "b@x.example", "c@x.example"}, Message: []byte("\r\n")}, "",
			"RCPT TO:<c@x.example>: 452 4.5.3|RCPT TO:<gone@x.example>: 550 5.1.1 gone", "127.0.0.1  |gone@x.example|a@x.example|b@x.example|2 2"},
		{"all recipients", 0, Client{Addr: here, To: []string{"gone@x.example"}, Message: []byte("\r\n")}, "", "RCPT TO:<gone@x.example>: 550", "127.0.0.1  |gone@x.example|"},
		{"size", 0, Client{Addr: here, To: []string{"b@x.example"}, Message: []byte("X: " + strings.Repeat("x", 4000) + "\r\n\r\n")}, "552 5.3.4", "", ""},
		{"line", 0, Client{Addr: here, To: []string{"b@x.example"}, Message: []byte("\r\n" + strings.Repeat("x", 1500) + "\r\n")}, "DATA: 554 5.6.0", "", "127.0.0.1  |b@x.example|"},
		{"bare CR", 0, Client{Addr: here, To: []string{"b@x.example"}, Message: []byte("\r\na\rb\r\n")}, "DATA: 554 5.6.0", "", "127.0.0.1  |b@x.example|"},
		{"login", 1, Client{Addr: there, From: "a@x.example", To: []string{"b@x.example"}}, "MAIL FROM:<a@x.example>: 530 5.7.0", "", ""},
		{"logged in", 1, Client{Addr: there, User: "app", From: "a@x.example", To: []string{"b@x.example"}}, "", "", "192.0.2.1 app a@x.example|b@x.example|"},
		{"unix socket", 2, Client{User: "uid:app", To: []string{"b@x.example"}}, "", "", "invalid IP uid:app |b@x.example|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := &witness{}
			got, err := Rehearse(t.Context(), cfg, &cfg.Listeners[c.listener], w, c.client)
			if err != nil {
				t.Fatal(err)
			}
			session := ""
			if got.Session != nil {
				session = got.Session.Command + ": " + got.Session.Reply
			}
			if (session == "") != (c.session == "") || !strings.Contains(session, c.session) {
				t.Errorf("the session: %q, want %q", session, c.session)
			}
			refused := 0
			for address, answer := range got.Recipients {
				refused++
				if text := answer.Command + ": " + answer.Reply; !strings.Contains(text, address) || !containsOne(c.refused, text) {
					t.Errorf("%s, want %s", text, c.refused)
				}
			}
			if want := len(strings.FieldsFunc(c.refused, func(r rune) bool { return r == '|' })); refused != want {
				t.Errorf("%d recipients refused, want %d", refused, want)
			}
			if !strings.HasPrefix(w.seen, c.seen) || c.seen == "" && w.seen != "" {
				t.Errorf("asked %q, want %q", w.seen, c.seen)
			}
		})
	}
	if found, err := filepath.Glob(filepath.Join(dir, "self-signed*")); err != nil || len(found) > 0 {
		t.Errorf("it made %q", found)
	}
}

// containsOne reports whether text begins with one of the wants.
func containsOne(wants, text string) bool {
	for want := range strings.SplitSeq(wants, "|") {
		if strings.HasPrefix(text, want) {
			return true
		}
	}
	return false
}
