package smtpd

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/smtpd/limit"
)

// Dialogs are in testdata/*.smtp, read line by line:
//
//	! key=value …   settings of the listener
//	C: text         the client sends the text and CRLF
//	R: "text"       it sends exactly this; Go escapes
//	S: text         the server's next line; a * at the end stands for the rest
//	S~ text         the server's next whole reply has a line with this text
//	TLS             the client shakes hands
//	FIN             the client has no more to say
//	X               the server closes the connection
//	MAIL n          so many messages are kept
//	TEXT "text"     the last of them
//	FROM text       its sender
//	TO a b          its recipients
//	ENV text        is found in its envelope, printed by %+v
//	EVENT kind      was told
//	EVENTUALLY kind was told when the server has closed
func TestDialogs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d dialogs (%v), want 60 or more", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".smtp"), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			runDialog(t, strings.Split(string(text), "\n"))
		})
	}
}

// What is said in the clear holds over TLS as well; dialogs that are about TLS or proxies are left out,
// and those that begin before the greeting.
func TestDialogsOverTLS(t *testing.T) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil {
		t.Fatal(err)
	}
	played := 0
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(string(text), "\n")
		greeting := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "S: 220") })
		if greeting < 0 || overTLSNot.Match(text) {
			continue
		}
		lines[greeting] = ""
		played++
		for _, mode := range []TLSMode{TLSStart, TLSImplicit} {
			t.Run(strings.TrimSuffix(filepath.Base(file), ".smtp")+"/"+string(mode), func(t *testing.T) {
				t.Parallel()
				runDialogOver(t, mode, lines)
			})
		}
	}
	if played < 60 {
		t.Errorf("%d dialogs, want 60 or more", played)
	}
}

func runDialog(t *testing.T, lines []string) { runDialogOver(t, "", lines) }

// runDialogOver begins behind the greeting when a mode of TLS is given.
func runDialogOver(t *testing.T, mode TLSMode, lines []string) {
	s := run(t, func(c *Config) {
		c.TLS = mode
		for _, l := range lines {
			if set, ok := strings.CutPrefix(l, "! "); ok {
				for _, kv := range strings.Fields(set) {
					configure(t, c, kv)
				}
			}
		}
	})
	var p *peer
	switch mode {
	case "":
		p = s.dial()
	default:
		p = s.met(mode)
	}
	for i, l := range lines {
		word, arg, _ := strings.Cut(l, " ")
		if err := dialogLine(s, p, word, arg); err != nil {
			t.Fatalf("line %d %q: %v\nlog: %s", i+1, l, err, s.log)
		}
	}
}

func configure(t *testing.T, c *Config, kv string) {
	key, value, _ := strings.Cut(kv, "=")
	n, _ := strconv.ParseInt(value, 10, 64)
	switch key {
	case "tls":
		c.TLS = TLSMode(value)
	case "auth":
		c.Auth = AuthMode(value)
	case "insecure":
		c.AllowInsecureAuth = true
	case "max_message":
		c.MaxMessage = n
	case "max_recipients":
		c.MaxRecipients = int(n)
	case "max_line":
		c.MaxLine = int(n)
	case "per_minute":
		c.MaxRate = int(n)
	case "max_errors":
		c.MaxErrors = int(n)
	case "idle_ms":
		c.IdleTimeout = time.Duration(n) * time.Millisecond
	case "bare":
		c.BareNewlines = BareNewlines(value)
	case "budget":
		c.InFlight = limit.NewBudget(n)
	case "any_auth":
		c.AcceptAnyAuth = true
	case "plaintext":
		c.AuthInClear = true
	case "helo_optional":
		c.HeloOptional = true
	case "banner":
		c.Banner = value
	case "allow":
		c.Allow = prefixes(value)
	case "proxy_from":
		c.ProxyFrom = prefixes(value)
	default:
		t.Fatalf("unknown setting %q", kv)
	}
}

func dialogLine(s *site, p *peer, word, arg string) error {
	switch word {
	case "", "#", "!":
	case "C:":
		_, err := io.WriteString(p.conn, arg+"\r\n")
		return err
	case "R:":
		raw, err := strconv.Unquote(arg)
		if err == nil {
			_, err = io.WriteString(p.conn, raw)
		}
		return err
	case "S:":
		line, err := p.r.ReadString('\n')
		line = strings.TrimSuffix(line, "\r\n")
		prefix, open := strings.CutSuffix(arg, "*")
		if err != nil || line != arg && !(open && strings.HasPrefix(line, prefix)) {
			return fmt.Errorf("got %q (%v)", line, err)
		}
	case "S~":
		all, err := p.reply()
		if err != nil || !strings.Contains(all, arg) {
			return fmt.Errorf("got %q (%v)", all, err)
		}
	case "TLS":
		p.secure(s.pool)
	case "FIN":
		return p.conn.(interface{ CloseWrite() error }).CloseWrite()
	case "X":
		if b, _ := io.ReadAll(p.r); len(b) > 0 {
			return fmt.Errorf("got %q, want the end", b)
		}
	case "EVENTUALLY":
		io.Copy(io.Discard, p.r)
		return dialogLine(s, p, "EVENT", arg)
	case "EVENT":
		if s.told(EventKind(arg)) == 0 {
			return fmt.Errorf("not told")
		}
	default:
		return dialogMail(s.k.got(), word, arg)
	}
	return nil
}

func dialogMail(got []mail, word, arg string) error {
	if word == "MAIL" {
		if fmt.Sprint(len(got)) != arg {
			return fmt.Errorf("%d messages: %+v", len(got), got)
		}
		return nil
	}
	if len(got) == 0 {
		return fmt.Errorf("no message")
	}
	m, have := got[len(got)-1], ""
	switch word {
	case "TEXT":
		want, err := strconv.Unquote(arg)
		if err != nil {
			return err
		}
		have, arg = m.text, want
	case "FROM":
		have = m.env.From
	case "TO":
		var to []string
		for _, r := range m.env.To {
			to = append(to, r.Address)
		}
		have = strings.Join(to, " ")
	case "ENV":
		if have = fmt.Sprintf("%+v", m.env); strings.Contains(have, arg) {
			return nil
		}
	default:
		return fmt.Errorf("unknown word %q", word)
	}
	if have != arg {
		return fmt.Errorf("got %q", have)
	}
	return nil
}

// overTLSNot finds dialogs that are about TLS, or about what it changes.
var overTLSNot = regexp.MustCompile(`(?m)^! .*(tls=|proxy_from=|bare=accept|plaintext)|^TLS$|^C: STARTTLS|^ENV Protocol:`)
