package smtpd

import (
	"context"
	"io"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"
)

// TestRetire: a server that was replaced interrupts nobody in the middle of a message.
func TestRetire(t *testing.T) {
	const drain, idle = 30 * time.Second, 5 * time.Minute
	const settingsChanged = "421 4.3.2 mx.test The settings"
	for _, c := range []struct {
		name   string
		before func(p *peer)
		after  func(p *peer) // the session goes on, and ends
	}{
		{"that has just come", func(*peer) {}, func(p *peer) {
			time.Sleep(9 * time.Second)
			p.talk("EHLO me", "250", "MAIL FROM:<a@b.c>", "250", "RCPT TO:<d@e.f>", "250", "DATA", "354", "x\r\n.", "250 2.0.0 OK: queued", "QUIT", "221")
		}},
		{"that stays silent", func(*peer) {}, func(p *peer) {
			time.Sleep(10 * time.Second)
			p.want(settingsChanged)
		}},
		{"that waits between two messages", func(p *peer) {
			p.begin()
			p.talk("x\r\n.", "250")
			time.Sleep(8 * time.Second)
		}, func(p *peer) {
			time.Sleep(2 * time.Second)
			p.want(settingsChanged)
		}},
		{"in a transaction", func(p *peer) { p.talk("MAIL FROM:<a@b.c>", "250") }, func(p *peer) {
			time.Sleep(2 * drain)
			p.talk("RCPT TO:<d@e.f>", "250")
			time.Sleep(2 * drain)
			p.talk("DATA", "354", "x\r\n.", "250 2.0.0 OK: queued")
			p.want(settingsChanged)
		}},
		{"in a transaction, silent", func(p *peer) { p.talk("MAIL FROM:<a@b.c>", "250") }, func(p *peer) {
			time.Sleep(idle)
			p.want("421 4.4.2")
		}},
		{"in the text of a message", func(p *peer) { p.begin() }, func(p *peer) {
			for range 20 {
				time.Sleep(drain)
				p.send("some text of a message that comes slowly\r\n")
			}
			p.send(".\r\nMAIL FROM:<a@b.c>\r\n")
			p.want("250 2.0.0 OK: queued")
			p.want(settingsChanged)
		}},
		{"that never pauses", func(*peer) {}, func(p *peer) {
			for start := time.Now(); time.Since(start) < drain; time.Sleep(5 * time.Second) {
				p.begin()
				p.talk("x\r\n.", "250")
			}
			p.want(settingsChanged)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				done := make(chan error, 1)
				srv := New(Config{Hostname: "mx.test", HeloOptional: true, DrainTimeout: drain, IdleTimeout: idle, MinRate: -1}, &keeper{}, slog.New(slog.DiscardHandler))
				go func() { done <- srv.Serve(context.Background(), l) }()
				p := newPeer(t, l.dial())
				p.want("220")
				c.before(p)
				srv.Retire()
				srv.Retire() // twice does no harm
				c.after(p)
				if rest, err := io.ReadAll(p.r); err != nil || len(rest) > 0 {
					t.Errorf("at the end it says %q, %v", rest, err)
				}
				p.conn.Close()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// TestShutdownAfterRetire: the end of the program does not wait for sessions of a server that was replaced.
func TestShutdownAfterRetire(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := newPipes()
		done := make(chan error, 1)
		srv := New(Config{Hostname: "mx.test", HeloOptional: true, DrainTimeout: time.Minute}, &keeper{}, slog.New(slog.DiscardHandler))
		go func() { done <- srv.Serve(ctx, l) }()
		p := newPeer(t, l.dial())
		p.want("220")
		p.talk("MAIL FROM:<a@b.c>", "250")
		srv.Retire()
		time.Sleep(2 * time.Minute)
		cancel()
		p.want("421 4.3.2 mx.test Service shutting down")
		p.conn.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
