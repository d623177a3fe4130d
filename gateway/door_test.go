package gateway

import (
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream/upstreamtest"
)

// RFC 5321 4.5.3.2.7: while there is room a client may be silent inside a message, after 354 as after some text. When
// connections are used up it is the first to go.
func TestPatience(t *testing.T) {
	const pause = time.Second // more than the thirtieth of idle_timeout that makes a session slow
	h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\nmax_connections = 2\nidle_timeout = \"15s\""+holding)
	scanner := dialTalker(t, "tcp", h.addr)
	scanner.want("220")
	scanner.talk(begin...)
	time.Sleep(pause)
	fmt.Fprint(scanner.conn, "Subject: x\r\n\r\n"+strings.Repeat("x", 200))
	time.Sleep(pause)
	scanner.talk("\r\n.", "250 2.0.0 OK: queued")

	scanner.talk(begin[2:]...)
	fmt.Fprint(scanner.conn, "Subject: x\r\n")
	time.Sleep(pause / 2)
	other := dialTalker(t, "tcp", h.addr)
	other.want("220")
	h.await("a place for a third", func() bool {
		third := dialTalker(t, "tcp", h.addr)
		return strings.HasPrefix(third.reply(), "220")
	})
	scanner.want("421 4.3.2")
	other.talk("NOOP", "250")
	if n := len(h.heldMail()); n != 1 {
		t.Errorf("%d messages kept", n)
	}
}

// What old devices do is refused unless their listener bears it.
func TestOldDevices(t *testing.T) {
	const (
		onlyLF   = "HELO me\nMAIL FROM:<x@example.com>\nRCPT TO:<a@example.org>\nDATA\na: b\n\nx\n.\nNOOP\n\r\n.\r\nQUIT\r\n"
		lfTaken  = "250 250 250 354 250 250 500 500 221"
		lfText   = "250 250 250 354 250 221" // NOOP is text
		noHelo   = "MAIL FROM:<x@example.com>\r\nQUIT\r\n"
		nameless = "HELO\r\nQUIT\r\n"
		device   = "proxy_from = [\"127.0.0.1\"]\nallow = [\"10.0.3.7\"]\n"
		user     = "auth = \"required\"\n[[listener.user]]\nname = \"app\"\npassword = \"pw\"\n"
	)
	login := func(name string) string {
		return "EHLO me\r\n" + plainAuth(name, "pw") + "\r\nMAIL FROM:<x@example.com>\r\nQUIT\r\n"
	}
	for name, c := range map[string]struct{ keys, say, want string }{
		"LF on this machine":           {"", onlyLF, lfTaken},
		"LF on this machine, strictly": {"bare_newlines = \"normalise\"\n", onlyLF, lfText},
		"LF":                           {device, onlyLF, lfText},
		"bare_newlines":                {device + "bare_newlines = \"accept\"\n", onlyLF, lfTaken},
		"no HELO":                      {"", noHelo, "503 221"},
		"require_helo, no HELO":        {"require_helo = false\n", noHelo, "250 221"},
		"no name":                      {"", nameless, "501 221"},
		"require_helo, no name":        {"require_helo = false\n", nameless, "250 221"},
		"no TLS":                       {device + "tls = \"starttls\"\nself_signed = true\n" + user, login("app"), "250 538 530 221"},
		"auth_plaintext":               {device + "auth_plaintext = true\n" + user, login("app"), "250 235 250 221"},
		"auth_plaintext beside TLS":    {device + "tls = \"starttls\"\nself_signed = true\nauth_plaintext = true\n" + user, login("app"), "250 235 250 221"},
		"auth_plaintext, wrong":        {device + "auth_plaintext = true\n" + user, login("bob"), "250 535 530 221"},
		"a login that nobody wants":    {"", login("app"), "250 502 250 221"},
		"accept_any_auth":              {"accept_any_auth = true\n", login("app"), "250 235 250 221"},
		"accept_any_auth, required":    {device + "accept_any_auth = true\nauth = \"required\"\n", login("app"), "250 235 250 221"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := newHouse(t, "[[listener]]\naddress = \"ADDR\"\n"+c.keys+holding)
			p := dialTalker(t, "tcp", h.addr)
			if strings.HasPrefix(c.keys, device) {
				fmt.Fprint(p.conn, "PROXY TCP4 10.0.3.7 10.0.0.1 4711 25\r\n")
			}
			p.want("220")
			fmt.Fprint(p.conn, c.say)
			all, err := io.ReadAll(p.r)
			var codes []string
			for line := range strings.Lines(string(all)) {
				if len(line) > 3 && line[3] == ' ' {
					codes = append(codes, line[:3])
				}
			}
			if got := strings.Join(codes, " "); got != c.want {
				t.Errorf("%s, want %s (%v)\n%s", got, c.want, err, all)
			}
		})
	}
}

// An address that is quoted as a whole, and one whose dots want quotes, is the recipient that To shows.
func TestOddAddresses(t *testing.T) {
	fake := upstreamtest.NewResend("re_key")
	defer fake.Close()
	h := newHouse(t, fmt.Sprintf("[[listener]]\naddress = \"ADDR\"\n[upstream.main]\ntype = \"resend\"\napi_key = \"re_key\"\nbase_url = %q\n"+
		"[[route]]\nto = [\"*@example.org\"]\nvia = [\"main\"]\n[identity]\ndomain = \"example.com\"\n[aliases]\n\"p.@example.org\" = \"q@example.org\"\n", fake.URL))
	p := dialTalker(t, "tcp", h.addr)
	p.want("220")
	p.talk("EHLO me", "250", `MAIL FROM:<"Me" <x@example.com>>`, "250", `RCPT TO:"o@example.org"`, "250", `RCPT TO:<"s..p"@example.org>`, "250",
		"RCPT TO:<p.@example.org>", "250", `RCPT TO:<"no address@example.org">`, "501 5.1.3", "DATA", "354",
		"From: x@example.com\r\nTo: \"o@example.org\", s..p@example.org\r\nCc: <<q@example.org>>\r\n\r\nx\r\n.", "250")
	h.await("the mail", func() bool { return len(fake.Accepted()) == 1 })
	m := fake.Accepted()[0]
	if got, want := fmt.Sprint(m.To, m.Cc, m.Bcc), `[o@example.org "s..p"@example.org] [q@example.org] []`; got != want {
		t.Errorf("%s, want %s; refused: %q", got, want, fake.Rejected())
	}
}
