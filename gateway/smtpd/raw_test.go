package smtpd

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"
)

// modes are the ways to reach the server; every fault of the protocol is probed over each.
var modes = []TLSMode{TLSNone, TLSStart, TLSImplicit}

func overAll(t *testing.T, set func(*Config), probe func(t *testing.T, s *site, p *peer)) {
	for _, mode := range modes {
		t.Run(string(mode), func(t *testing.T) {
			t.Parallel()
			s := run(t, func(c *Config) {
				c.TLS = mode
				if set != nil {
					set(c)
				}
			})
			probe(t, s, s.ready(mode))
		})
	}
}

// begin opens a transaction up to 354.
func (p *peer) begin() {
	p.t.Helper()
	p.talk("MAIL FROM:<a@b.c>", "250", "RCPT TO:<d@e.f>", "250", "DATA", "354")
}

// halfClose ends the client's side; over TLS with close_notify.
func (p *peer) halfClose() {
	p.t.Helper()
	if err := p.conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		p.t.Fatal(err)
	}
}

// none checks that nothing was kept.
func (s *site) none(t *testing.T) {
	t.Helper()
	if got := s.k.got(); len(got) != 0 {
		t.Fatalf("kept %+v", got)
	}
}

// sequences are what other servers have taken for the end of DATA.
var sequences = []string{
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\r.\r\n", "\n.\r", "\r.\n", "\r\n\x00.\r\n", "\r\n.\x00\r\n",
	"\n\n.\r\n", "\r\n.\r\r\n", "\r\n. \r\n", "\n..\r\n", "\x1a.\r\n", "\r\n.\t\r\n", "\n.\n\n", "\r\r.\r\r", "\r\n\v.\r\n",
	"\n\r.\r\n", "\r\n.\n\r\n", "\r\n .\r\n", "\r\x00\n.\r\x00\n", "\x00\r\n.\x00\r\n", "\u0085.\u0085", "\u2028.\u2028", "\r\n..\r\n",
}

func TestSmuggling(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		for i, seq := range sequences {
			p.begin()
			p.send("hi" + seq + "MAIL FROM:<evil@b.c>\r\nRCPT TO:<victim@b.c>\r\nDATA\r\nboo\r\n.\r\n")
			p.want("250 2.0.0 OK: queued")
			p.talk("NOOP", "250")
			got := s.k.got()
			if len(got) != i+1 {
				t.Fatalf("%q: %d messages, want %d", seq, len(got), i+1)
			}
			m := got[i]
			if m.env.From != "a@b.c" || !strings.Contains(m.text, "RCPT TO:<victim@b.c>\r\nDATA\r\nboo\r\n") {
				t.Errorf("%q: %+v", seq, m)
			}
			if rest := strings.ReplaceAll(m.text, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
				t.Errorf("%q: bare newline left in %q", seq, m.text)
			}
		}
	})
}

// Where LF.LF may be the end, it is only for a client that has never used a CR.
func TestSmugglingOfLF(t *testing.T) {
	accept := func(c *Config) { c.BareNewlines = Accept }
	overAll(t, accept, func(t *testing.T, s *site, p *peer) {
		for i, seq := range sequences {
			p.begin()
			p.send("hi" + seq + "MAIL FROM:<evil@b.c>\r\n.\r\n")
			p.want("250 2.0.0 OK: queued")
			if got := s.k.got(); len(got) != i+1 || !strings.Contains(got[i].text, "MAIL FROM:<evil@b.c>\r\n") {
				t.Errorf("%q: %+v", seq, got)
			}
		}
	})
	for _, seq := range sequences {
		if !strings.Contains(seq, "\r") {
			continue
		}
		s := run(t, accept)
		p := s.dial()
		p.want("220")
		p.send("HELO me\nMAIL FROM:<a@b.c>\nRCPT TO:<d@e.f>\nDATA\n")
		for _, code := range []string{"250", "250", "250", "354"} {
			p.want(code)
		}
		p.send("hi" + seq + "MAIL FROM:<evil@b.c>\n.\nRSET\n\r\n.\r\n")
		p.want("250 2.0.0 OK: queued")
		if got := s.k.got(); len(got) != 1 || !strings.Contains(got[0].text, "MAIL FROM:<evil@b.c>\r\n.\r\nRSET\r\n") {
			t.Errorf("%q: %+v", seq, got)
		}
	}
}

func TestSmugglingRejected(t *testing.T) {
	reject := func(c *Config) { c.BareNewlines = Reject }
	overAll(t, reject, func(t *testing.T, s *site, p *peer) {
		for _, seq := range sequences {
			p.begin()
			p.send("hi" + seq + "MAIL FROM:<evil@b.c>\r\n.\r\n")
			want := "250"
			if rest := strings.ReplaceAll(seq, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
				want = "554 5.6.0"
			}
			p.want(want)
		}
		for _, m := range s.k.got() {
			if rest := strings.ReplaceAll(m.text, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
				t.Errorf("kept %q", m.text)
			}
		}
	})
}

// A chunk that is cut short is no message. CHUNKING is not offered.
func TestChunkCutShort(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		p.talk("MAIL FROM:<a@b.c>", "250", "RCPT TO:<d@e.f>", "250")
		p.send("BDAT 1000 LAST\r\nhello world")
		p.want("502")
		p.halfClose()
		p.wantEnd()
		s.none(t)
	})
}

// The rest of a message that stalled is never a command.
func TestStallInsideMessage(t *testing.T) {
	short := func(c *Config) { c.IdleTimeout = 150 * time.Millisecond }
	for _, begin := range []string{"DATA\r\n", "BDAT 2000 LAST\r\n"} {
		t.Run(begin[:4], func(t *testing.T) {
			overAll(t, short, func(t *testing.T, s *site, p *peer) {
				p.talk("MAIL FROM:<a@b.c>", "250", "RCPT TO:<d@e.f>", "250")
				p.send(begin + "first part\r\n")
				p.reply() // 354 or 502
				rest, _ := io.ReadAll(p.r)
				if begin == "DATA\r\n" && !strings.HasPrefix(string(rest), "421 4.4.2") {
					t.Errorf("got %q, want 421", rest)
				}
				io.WriteString(p.conn, "MAIL FROM:<evil@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx\r\n.\r\n")
				s.stop()
				s.none(t)
			})
		})
	}
}

// CR CR LF . CR LF ends the message, whichever way it is cut into packets.
func TestDoubledCR(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		for _, parts := range [][]string{{"hi\r\r\n.\r\n"}, {"hi\r", "\r", "\n", ".", "\r", "\n"}} {
			p.begin()
			for _, part := range parts {
				p.send(part)
			}
			p.want("250 2.0.0 OK: queued")
		}
		for _, m := range s.k.got() {
			if m.text != "hi\r\n" {
				t.Errorf("kept %q", m.text)
			}
		}
	})
}

// CRLF . CR X loses nothing but the transparent dot.
func TestDotCR(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		p.begin()
		p.send("a\r\n.\rX\r\n.\r\n")
		p.want("250")
		if got := s.k.got(); got[0].text != "a\r\n\r\nX\r\n" {
			t.Errorf("kept %q", got[0].text)
		}
	})
}

// A message of exactly the limit is taken, one byte more is not, and the session goes on.
func TestExactLimit(t *testing.T) {
	const limit = 100_000
	overAll(t, func(c *Config) { c.MaxMessage = limit }, func(t *testing.T, s *site, p *peer) {
		for extra, want := range []string{"250", "552 5.3.4"} {
			p.begin()
			p.send(strings.Repeat("x", limit-2+extra) + "\r\n.\r\n")
			p.want(want)
		}
		if got := s.k.got(); len(got) != 1 || len(got[0].text) != limit {
			t.Errorf("kept %d messages", len(got))
		}
	})
}

// A long line in the segment of its command is nothing special.
func TestLongLineAtOnce(t *testing.T) {
	long := strings.Repeat("<p>", 400_000)
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		p.send("MAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\n" + long + "\r\n.\r\n")
		for _, want := range []string{"250", "250", "354", "250"} {
			p.want(want)
		}
		if got := s.k.got(); got[0].text != long+"\r\n" {
			t.Errorf("kept %d bytes", len(got[0].text))
		}
	})
}

// After a handshake that failed nothing is said or done in the clear.
func TestFailedHandshake(t *testing.T) {
	s := run(t, func(c *Config) { c.TLS = TLSStart })
	p := s.dial()
	p.want("220")
	p.talk("EHLO me", "250", "STARTTLS", "220")
	p.send("NOOP\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx\r\n.\r\n")
	if rest, _ := io.ReadAll(p.r); strings.Contains(string(rest), "250") || strings.Contains(string(rest), "550") {
		t.Errorf("said %q", rest)
	}
	s.stop()
	s.none(t)
	if s.told(TLSFailed) != 1 {
		t.Error("nobody was told")
	}
}

// A command without end is refused early, and costs no memory.
func TestEndlessCommand(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		block := strings.Repeat("x", 64<<10)
		for range 100 {
			if _, err := io.WriteString(p.conn, block); err != nil {
				break
			}
		}
		if all, _ := p.reply(); all != "" && !strings.HasPrefix(all, "500 5.5.2") {
			t.Errorf("reply %q", all)
		}
		runtime.ReadMemStats(&after)
		if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 32<<20 {
			t.Errorf("heap grew by %d", grown)
		}
	})
}

// A command that the end of the connection cuts short is not run.
func TestCutCommand(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		p.send("NOO")
		p.halfClose()
		p.wantEnd()
	})
}

// Guessing passwords ends the session.
func TestGuessing(t *testing.T) {
	auth := func(c *Config) { c.Auth, c.AllowInsecureAuth = AuthOptional, true }
	overAll(t, auth, func(t *testing.T, s *site, p *peer) {
		p.talk("AUTH PLAIN AGFubgB3cm9uZw==", "535 5.7.8", "AUTH PLAIN AGFubgB3cm9uZw==", "535 5.7.8", "AUTH PLAIN AGFubgB3cm9uZw==", "421 4.7.0")
		p.wantEnd()
		if n := s.told(AuthFailed); n != 3 {
			t.Errorf("%d failures told, want 3", n)
		}
	})
}

// A cut message is not accepted, however the connection ends.
func TestCutMessage(t *testing.T) {
	for _, tail := range []string{"", "\r", "\r\n", "\r\n.", "\r\n.\r", "\n.\n"} {
		overAll(t, nil, func(t *testing.T, s *site, p *peer) {
			p.begin()
			p.send("hello" + tail)
			if c, ok := p.conn.(*net.TCPConn); ok {
				c.CloseWrite()
			} else {
				p.conn.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite() // without close_notify
			}
			io.Copy(io.Discard, p.r)
			s.stop()
			s.none(t)
		})
	}
}

// Replies to a pipelined group come as one write: over a pipe, what one Read gives is what one Write took.
func TestOneWritePerGroup(t *testing.T) {
	l := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- New(Config{Hostname: "mx.test", DrainTimeout: time.Second}, &keeper{}, slog.New(slog.DiscardHandler)).Serve(ctx, l)
	}()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	c := l.dial()
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Minute))
	for _, group := range []struct {
		send    string
		replies int
	}{
		{"", 1}, // the greeting
		{strings.Repeat("NOOP\r\n", 50), 50},
		{"HELO me\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nRCPT TO:<c@x.org>\r\nDATA\r\n", 5},
		{"Subject: s\r\n\r\ntext\r\n.\r\nMAIL FROM:<a@x.org>\r\nRCPT TO:<b@x.org>\r\nRSET\r\n", 4},
	} {
		if group.send != "" {
			if _, err := io.WriteString(c, group.send); err != nil {
				t.Fatal(err)
			}
		}
		written := make([]byte, 1<<16)
		n, err := c.Read(written)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(string(written[:n]), "\r\n"); got != group.replies {
			t.Fatalf("%d of %d replies in one write:\n%s", got, group.replies, written[:n])
		}
	}
}

// A client that never finishes its handshake does not hold up the end of the server.
func TestShutdownInsideHandshake(t *testing.T) {
	s := run(t, func(c *Config) { c.TLS, c.DrainTimeout = TLSImplicit, time.Minute })
	p := s.dial()
	p.send("\x16\x03\x01\x02\x00")
	s.await(func() bool { return s.srv.Conns() == 1 })
	began := time.Now()
	s.stop()
	if d := time.Since(began); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
	p.wantEnd()
}

// A client that only makes noise is sent away, whatever the noise is.
func TestNoise(t *testing.T) {
	for _, command := range []string{"NOOP", "RSET", "HELO x", "EHLO x", "VRFY x", "HELP"} {
		t.Run(command, func(t *testing.T) {
			p := run(t, nil).dial()
			p.want("220")
			for range maxJunk + 2 {
				p.send(command + "\r\n")
				reply, err := p.reply()
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(reply, "421 4.7.0") {
					p.wantEnd()
					return
				}
			}
			t.Errorf("%d commands were answered", maxJunk+2)
		})
	}
}
