package smtpd

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mailhatch/gateway/smtpd/limit"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMaxConns(t *testing.T) {
	s := run(t, func(c *Config) { c.MaxConns = 2 })
	a := s.ready(TLSNone)
	s.ready(TLSNone)
	p := s.dial()
	p.want("421 4.7.0")
	p.wantEnd()
	if s.told(Refused) != 1 {
		t.Error("nobody was told")
	}
	a.talk("QUIT", "221")
	a.wantEnd()
	s.await(func() bool { return s.srv.Conns() == 1 })
	s.ready(TLSNone)
}

func TestMaxConnsPerAddr(t *testing.T) {
	s := run(t, func(c *Config) { c.MaxConnsPerAddr = 1 })
	a := s.ready(TLSNone)
	p := s.dial()
	p.want("421 4.7.0")
	p.wantEnd()
	a.talk("QUIT", "221")
	a.wantEnd()
	s.await(func() bool { return s.srv.Conns() == 0 })
	s.ready(TLSNone)
}

// Those who are turned away take no place, however long they stay.
func TestRefusedTakeNoPlace(t *testing.T) {
	s := run(t, func(c *Config) { c.MaxConns, c.MaxConnsPerAddr = 2, 1 })
	s.ready(TLSNone)
	for range 20 {
		s.dial().want("421 4.7.0 mx.test Too many connections from your address")
	}
}

// farConn reports that its other end is on another machine.
type farConn struct{ net.Conn }

func (farConn) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}
}

// A password in the clear would cross the network when the proxy is far, wherever the client is.
func TestLocal(t *testing.T) {
	near, _ := net.Pipe()
	for name, tc := range map[string]struct {
		raw   net.Conn
		peer  string
		local bool
	}{
		"unix socket":            {near, "", true},
		"loopback":               {near, "127.0.0.1", true},
		"far client, near proxy": {near, "192.0.2.9", false},
		"near client, far proxy": {farConn{near}, "127.0.0.1", false},
	} {
		f := &front{raw: tc.raw}
		if tc.peer != "" {
			f.peer = netip.MustParseAddr(tc.peer)
		}
		if f.local() != tc.local {
			t.Errorf("%s: local is %v", name, !tc.local)
		}
	}
}

// await polls a condition that the server reaches on its own.
func (s *site) await(ok func() bool) {
	s.t.Helper()
	for end := time.Now().Add(10 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatal("never came true")
		}
	}
}

func TestShutdownTellsIdleSessions(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		p.talk("MAIL FROM:<a@b.c>", "250")
		p.send("RC") // half a command
		s.stop()
		p.want("421 4.3.2")
		p.wantEnd()
		if _, err := net.Dial("tcp", s.addr); err == nil {
			t.Error("still listening")
		}
	})
}

func TestShutdownLetsMessagesFinish(t *testing.T) {
	overAll(t, nil, func(t *testing.T, s *site, p *peer) {
		s.k.began = make(chan struct{}, 1)
		p.begin()
		p.send("first\r\n")
		<-s.k.began
		go s.stop()
		s.await(func() bool {
			c, err := net.Dial("tcp", s.addr)
			if err == nil {
				c.Close()
			}
			return err != nil
		})
		p.send("second\r\n.\r\n")
		p.want("250 2.0.0 OK: queued as Q1")
		p.want("421 4.3.2")
		p.wantEnd()
		s.stop()
	})
}

func TestShutdownCutsWhatDoesNotEnd(t *testing.T) {
	overAll(t, func(c *Config) { c.DrainTimeout = 50 * time.Millisecond }, func(t *testing.T, s *site, p *peer) {
		s.k.began = make(chan struct{}, 1)
		p.begin()
		p.send("first\r\n")
		<-s.k.began
		s.stop()
		if rest, _ := io.ReadAll(p.r); strings.Contains(string(rest), "250") {
			t.Errorf("said %q", rest)
		}
		s.none(t)
	})
}

// A handler that never returns is named, and Serve ends all the same.
func TestShutdownNeverHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k := &keeper{hold: make(chan struct{}), began: make(chan struct{}, 1)}
		l := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- New(Config{DrainTimeout: time.Second}, k, slog.New(slog.DiscardHandler)).Serve(ctx, l)
		}()
		c := l.dial()
		go io.Copy(io.Discard, c)
		io.WriteString(c, "HELO me\r\nMAIL FROM:<a@b.c>\r\nRCPT TO:<d@e.f>\r\nDATA\r\nx\r\n.\r\n")
		<-k.began
		cancel()
		if err := <-done; err == nil || !strings.Contains(err.Error(), "1 sessions did not end") {
			t.Errorf("Serve: %v", err)
		}
		close(k.hold)
		c.Close()
	})
}

// failing is a listener that breaks.
type failing struct{ net.Listener }

func (failing) Accept() (net.Conn, error) { return nil, errors.New("socket is gone") }

func TestServeTellsOfABrokenListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if err := New(Config{}, &keeper{}, nil).Serve(t.Context(), failing{l}); err == nil || !strings.Contains(err.Error(), "socket is gone") {
		t.Errorf("Serve: %v", err)
	}
	if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("listener is open: %v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	s := &site{t: t, k: &keeper{}, log: &syncBuffer{}}
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Skip("no unix sockets: ", err)
	}
	srv := New(Config{
		Hostname: "mx.test", Allow: prefixes("10.0.0.0/8"), ProxyFrom: prefixes("0.0.0.0/0"), MaxConnsPerAddr: 1,
		Auth: AuthRequired, User: func(net.Conn) string { return "uid:ann" },
	}, s.k, nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- srv.Serve(ctx, l) }()
	c, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	p := newPeer(t, c)
	p.want("220")
	p.talk("EHLO me", "250", "MAIL FROM:<a@b.c>", "250", "RCPT TO:<d@e.f>", "250", "DATA", "354", ".", "250", "QUIT", "221")
	p.wantEnd()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if got := s.k.got(); got[0].env.Client.User != "uid:ann" || got[0].env.Client.Addr.IsValid() || got[0].env.Client.Protocol != "ESMTP" {
		t.Errorf("client is %+v", got[0].env.Client)
	}
}

func TestClientCertificate(t *testing.T) {
	config, pool := cert(t)
	config.ClientCAs, config.ClientAuth = pool, tls.VerifyClientCertIfGiven
	s := run(t, func(c *Config) {
		c.TLS, c.TLSConfig, c.Auth = TLSImplicit, config, AuthRequired
		c.CertUser = func(cs tls.ConnectionState) string { return cs.PeerCertificates[0].Subject.CommonName }
	})
	for _, certs := range [][]tls.Certificate{nil, config.Certificates} {
		p := s.dial()
		p.secure(pool, certs...)
		p.want("220")
		p.talk("EHLO me", "250")
		p.send("MAIL FROM:<a@b.c>\r\n")
		if certs == nil {
			p.want("530 5.7.0")
			continue
		}
		p.want("250")
		p.talk("RCPT TO:<d@e.f>", "250", "DATA", "354", ".", "250")
	}
	if got := s.k.got(); got[0].env.Client.User != "device7" {
		t.Errorf("client is %+v", got[0].env.Client)
	}
}

// A client that keeps sending needs as long as it needs; one that trickles is sent away.
func TestPace(t *testing.T) {
	tests := []struct {
		name  string
		piece string
		every time.Duration
		times int
		want  string
	}{
		{"slow but honest", strings.Repeat("x", 1000) + "\r\n", 10 * time.Second, 200, "250"},
		{"trickle", "x", 5 * time.Second, 200, "421 4.4.2"},
		{"trickle after a start", strings.Repeat("x", 6400), 90 * time.Second, 9, "250"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newPipes()
				ctx, cancel := context.WithCancel(t.Context())
				done := make(chan error, 1)
				k := &keeper{}
				go func() { done <- New(Config{IdleTimeout: 2 * time.Minute}, k, nil).Serve(ctx, l) }()
				c := l.dial()
				p := newPeer(t, c)
				p.want("220")
				p.talk("HELO me", "250")
				p.begin()
				sent := make(chan struct{})
				go func() {
					defer close(sent)
					for range tt.times {
						if _, err := io.WriteString(c, tt.piece); err != nil {
							return
						}
						time.Sleep(tt.every)
					}
					io.WriteString(c, "\r\n.\r\n")
				}()
				p.want(tt.want)
				c.Close()
				<-sent
				cancel()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		})
	}
}

func TestIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newPipes()
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- New(Config{IdleTimeout: time.Minute}, &keeper{}, nil).Serve(ctx, l) }()
		p := newPeer(t, l.dial())
		p.want("220")
		began := time.Now()
		for range 4 { // bytes that complete no command buy no time
			io.WriteString(p.conn, "N")
			time.Sleep(14 * time.Second)
		}
		p.want("421 4.4.2")
		if d := time.Since(began); d != time.Minute {
			t.Errorf("waited %v", d)
		}
		p.wantEnd()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestPanicsCostTheirSession(t *testing.T) {
	s := run(t, func(c *Config) {
		c.User = func(net.Conn) string { panic("in User") }
	})
	p := s.dial()
	p.wantEnd()
	s.await(func() bool { return s.srv.Conns() == 0 })
	if s.told(Panicked) != 1 || !strings.Contains(s.log.String(), "in User") {
		t.Errorf("log %q", s.log)
	}
}

func TestSecretsOfErrorsStayInTheLog(t *testing.T) {
	s := run(t, nil)
	p := s.ready(TLSNone)
	p.send("MAIL FROM:<broken@b.c>\r\n")
	if all := p.want("451 4.3.0"); strings.Contains(all, "secret") {
		t.Errorf("said %q", all)
	}
	if !strings.Contains(s.log.String(), "secret database words") {
		t.Errorf("log %q", s.log)
	}
}

func TestBudgetIsGivenBack(t *testing.T) {
	budget := limit.NewBudget(8 * minBudgetStep)
	s := run(t, func(c *Config) { c.InFlight = budget })
	p := s.ready(TLSNone)
	for _, tt := range []struct {
		steps int
		want  string
	}{{1, "250"}, {9, "452 4.3.1"}, {8, "250"}} {
		p.begin()
		p.send(strings.Repeat(strings.Repeat("x", 1022)+"\r\n", tt.steps*minBudgetStep/1024) + ".\r\n")
		p.want(tt.want)
	}
	if !isFree(budget) {
		t.Error("bytes are still taken")
	}
}

// A client is refused at MAIL, before it sends anything, that there is no room for its message now.
func TestBudgetIsSpentAtMail(t *testing.T) {
	budget := limit.NewBudget(8 * minBudgetStep)
	s := run(t, func(c *Config) { c.InFlight = budget })
	p := s.dial()
	p.want("220")
	p.talk("EHLO me", "250")
	for _, tt := range []struct {
		used    int64
		command string
		want    string
	}{
		{7 * minBudgetStep, "MAIL FROM:<a@b.c>", "250"},
		{7*minBudgetStep + 1, "MAIL FROM:<a@b.c>", "452 4.3.1"},
		{4 * minBudgetStep, "MAIL FROM:<a@b.c> SIZE=65537", "452 4.3.1"},
		{4 * minBudgetStep, "MAIL FROM:<a@b.c> SIZE=65536", "250"},
		{0, "MAIL FROM:<a@b.c> SIZE=999999", "250"}, // nothing else is there: it is judged as it comes
		{1, "MAIL FROM:<a@b.c> SIZE=999999", "452 4.3.1"},
	} {
		other := limit.NewHold(&limit.Conn{}, limit.NewClient("other", netip.Addr{}))
		if !budget.Take(&other, tt.used) {
			t.Fatal("the budget is smaller")
		}
		p.talk(tt.command, tt.want, "RSET", "250")
		budget.Give(&other)
	}
}
