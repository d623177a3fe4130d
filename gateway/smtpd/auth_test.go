package smtpd

import (
	"context"
	"encoding/base64"
	"errors"
	"net/netip"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/backoff"
)

// lockedSite has one user, ann, whose guard has a clock of the test, and counts checks of passwords.
type lockedSite struct {
	*site
	checks atomic.Int32
	now    atomic.Int64
}

func newLockedSite(t *testing.T, unit time.Duration) *lockedSite {
	l := &lockedSite{}
	l.site = run(t, func(c *Config) {
		c.Auth, c.AllowInsecureAuth, c.ProxyFrom = AuthOptional, true, prefixes("127.0.0.0/8")
		c.Guard = backoff.New(unit, func() time.Time { return time.Unix(1e9, l.now.Load()) })
		c.Authenticate = func(_ context.Context, user, password string, _ netip.Addr) error {
			l.checks.Add(1)
			if user != "ann" || password != "secret" {
				return errors.New("wrong password")
			}
			return nil
		}
	})
	return l
}

// login tries a password on a new connection from an address of this machine.
func (l *lockedSite) login(mechanism, from, user, password string) string {
	l.t.Helper()
	p := l.dial()
	defer p.conn.Close()
	p.send("PROXY TCP4 " + from + " 127.0.0.1 1 2\r\n")
	p.want("220")
	p.talk("EHLO me", "250")
	word := base64.StdEncoding.EncodeToString
	if mechanism == "LOGIN" {
		p.talk("AUTH LOGIN", "334", word([]byte(user)), "334")
		p.send(word([]byte(password)) + "\r\n")
	} else {
		p.send("AUTH PLAIN " + word([]byte("\x00"+user+"\x00"+password)) + "\r\n")
	}
	reply, _ := p.reply()
	code, _, _ := strings.Cut(reply, " ")
	return code
}

// A guesser has to wait, on new connections too; the owner does not, and gets in there after the delay.
func TestGuessesWait(t *testing.T) {
	for _, mechanism := range []string{"PLAIN", "LOGIN"} {
		t.Run(mechanism, func(t *testing.T) {
			l := newLockedSite(t, time.Hour)
			const evil, home = "127.0.0.1", "127.0.0.2"
			for i, want := range []string{"535", "454", "454"} {
				if got := l.login(mechanism, evil, "ann", "guess"); got != want {
					t.Errorf("guess %d: %s, want %s", i+1, got, want)
				}
			}
			if n := l.checks.Load(); n != 1 {
				t.Errorf("%d passwords were checked", n)
			}
			if got := l.login(mechanism, home, "ann", "secret"); got != "235" {
				t.Errorf("the owner elsewhere: %s", got)
			}
			if got := l.login(mechanism, evil, "ann", "secret"); got != "454" {
				t.Errorf("the owner where the guesser is: %s", got)
			}
			l.now.Store(int64(time.Hour))
			if got := l.login(mechanism, evil, "ann", "secret"); got != "235" {
				t.Errorf("the owner there after the delay: %s", got)
			}
			if n := l.told(AuthFailed); n != 1 {
				t.Errorf("%d failures told", n)
			}
		})
	}
}

// Guessing on many connections at once is no faster.
func TestGuessesAtOnce(t *testing.T) {
	l := newLockedSite(t, time.Hour)
	var guessers sync.WaitGroup
	for range 50 {
		guessers.Go(func() { l.login("PLAIN", "127.0.0.1", "ann", "guess") })
	}
	guessers.Wait()
	if n := int(l.checks.Load()); n > max(2, runtime.GOMAXPROCS(0)) {
		t.Errorf("%d passwords were checked", n)
	}
}

// Who mistypes waits a second, and need not come again.
func TestMistypedPasswordWaits(t *testing.T) {
	cfg := Config{Auth: AuthOptional, AllowInsecureAuth: true, Authenticate: func(_ context.Context, _, password string, _ netip.Addr) error {
		if password != "secret" {
			return errors.New("wrong password")
		}
		return nil
	}}
	inBubble(t, cfg, func(b *bubble) {
		p := b.dial("")
		p.want("220")
		p.talk("EHLO me", "250", "AUTH PLAIN AGFubgBzZWNyZQ==", "535 5.7.8", "AUTH PLAIN AGFubgBzZWNyZQ==", "535 5.7.8")
		began := time.Now()
		p.talk("AUTH PLAIN AGFubgBzZWNyZXQ=", "235")
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("waited %v", d)
		}
	})
}
