package smtpd

import (
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

func TestTempo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tp := newRateLimiter(2, time.Minute)
		a, b := client{user: "a"}, client{user: "b"}
		for i, want := range []bool{true, true, false} {
			if got := tp.allow(a); got != want {
				t.Errorf("allow %d is %v", i, got)
			}
		}
		if !tp.exhausted(a) || tp.exhausted(b) || !tp.allow(b) {
			t.Error("clients share their rateLimiter")
		}
		time.Sleep(30 * time.Second)
		if tp.exhausted(a) || !tp.allow(a) || tp.allow(a) {
			t.Error("half a minute gives one back")
		}
		for i := range maxTracked {
			tp.allow(client{user: fmt.Sprint(i)})
		}
		if n := len(tp.clients); n > maxTracked {
			t.Errorf("%d clients remembered", n)
		}
		time.Sleep(time.Hour)
		tp.forget()
		if n := len(tp.clients); n != 0 {
			t.Errorf("%d clients at rest remembered", n)
		}
	})
}

// An address that keeps guessing over new connections is not heard for a while.
func TestGuessingFromOneAddress(t *testing.T) {
	s := run(t, func(c *Config) {
		c.TLS, c.Auth, c.ProxyFrom = TLSStart, AuthRequired, prefixes("127.0.0.0/8")
	})
	guess := func() string {
		p := s.dial()
		p.send("PROXY TCP4 192.0.2.9 192.0.2.1 1 2\r\n")
		p.want("220")
		p.talk("EHLO me", "250", "STARTTLS", "220")
		p.secure(s.pool)
		p.talk("EHLO me", "250")
		io.WriteString(p.conn, "AUTH PLAIN AGFubgB3cm9uZw==\r\n")
		reply, _ := p.reply()
		return reply[:9]
	}
	for i := range 5 * maxGuesses { // some come back while the guessing takes its time
		switch got := guess(); {
		case got == "535 5.7.8":
		case got == "421 4.7.0" && i >= maxGuesses:
			return
		default:
			t.Fatalf("guess %d: %q", i, got)
		}
	}
	t.Error("guessing has no end")
}
