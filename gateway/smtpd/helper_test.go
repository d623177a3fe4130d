package smtpd

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"math/big"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"mailhatch/gateway/backoff"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/smtpd/limit"
)

// mail is what the test handler took.
type mail struct {
	env  envelope.Envelope
	text string
}

// keeper is a Handler that keeps mail; addresses choose its moods.
type keeper struct {
	mu    sync.Mutex
	mails []mail
	hold  chan struct{} // Accept waits for it before it reads, when not nil
	began chan struct{} // gets a word when Accept begins, when not nil
}

func (k *keeper) Sender(_ context.Context, env *envelope.Envelope) error {
	switch local, _, _ := strings.Cut(env.From, "@"); local {
	case "refused":
		return &envelope.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Text: "Sender refused"}
	case "broken":
		return errors.New("secret database words")
	case "panic":
		panic("in Sender")
	}
	return nil
}

func (k *keeper) Recipient(_ context.Context, _ *envelope.Envelope, rcpt *envelope.Recipient) error {
	switch local, _, _ := strings.Cut(rcpt.Address, "@"); local {
	case "refused":
		return &envelope.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "No such user"}
	case "lines":
		return &envelope.Reply{Code: 450, Enhanced: [3]int{4, 2, 1}, Text: "First\nSecond\r\n250 forged"}
	case "wrapped":
		return fmt.Errorf("outer: %w", &envelope.Reply{Code: 451, Enhanced: [3]int{4, 2, 2}, Text: "Wrapped"})
	case "broken":
		return errors.New("secret database words")
	}
	return nil
}

func (k *keeper) Accept(_ context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error) {
	if k.began != nil {
		k.began <- struct{}{}
	}
	if k.hold != nil {
		<-k.hold
	}
	local, _, _ := strings.Cut(env.From, "@")
	switch local {
	case "early":
		return "", "", &envelope.Reply{Code: 550, Enhanced: [3]int{5, 7, 1}, Text: "Early no"}
	case "datapanic":
		panic("in Accept")
	case "careless":
		io.Copy(io.Discard, body)
		return "CARELESS", "", nil
	case "lazy":
		return "LAZY", "", nil
	case "databroken":
		return "", "", errors.New("secret database words")
	case "direct":
		io.Copy(io.Discard, body)
		return "D1", "Upstream said:\r\nfine", nil
	}
	if local == "bytewise" {
		body = iotest.OneByteReader(body)
	}
	b, err := io.ReadAll(body)
	if err != nil {
		return "", "", fmt.Errorf("reading: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.mails = append(k.mails, mail{*env, string(b)})
	return fmt.Sprintf("Q%d", len(k.mails)), "", nil
}

func (k *keeper) got() []mail {
	k.mu.Lock()
	defer k.mu.Unlock()
	return append([]mail(nil), k.mails...)
}

// syncBuffer is a log that many may write.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// site is a running server.
type site struct {
	t      testing.TB
	srv    *Server
	addr   string
	k      *keeper
	log    *syncBuffer
	stop   func() // ends it and waits
	mu     sync.Mutex
	events []Event
	pool   *x509.CertPool
}

// cert makes a certificate for 127.0.0.1, and a pool that trusts it.
func cert(t testing.TB) (*tls.Config, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "device7"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(leaf)
	return &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}, pool
}

// run starts a server; set changes its config first.
func run(t testing.TB, set func(*Config)) *site {
	t.Helper()
	s := &site{t: t, k: &keeper{}, log: &syncBuffer{}}
	cfg := Config{
		Name: "test", Hostname: "mx.test", Domain: "local.test", DrainTimeout: 2 * time.Second,
		Guard: backoff.New(time.Millisecond, nil), OnEvent: s.event,
	}
	if set != nil {
		set(&cfg)
	}
	if cfg.TLS != TLSNone && cfg.TLS != "" && cfg.TLSConfig == nil {
		cfg.TLSConfig, s.pool = cert(t)
	}
	if cfg.Auth != "" && cfg.Authenticate == nil {
		cfg.Authenticate = func(_ context.Context, user, password string, _ netip.Addr) error {
			switch {
			case user == "down":
				return &envelope.Reply{Code: 454, Enhanced: [3]int{4, 7, 0}, Text: "Try later"}
			case password != "secret":
				return errors.New("wrong password")
			}
			return nil
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	s.srv = New(cfg, s.k, slog.New(slog.NewTextHandler(s.log, nil)))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.srv.Serve(ctx, l) }()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

func (s *site) event(e Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// told counts events of a kind.
func (s *site) told(kind EventKind) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		if e.Kind == kind {
			n++
		}
	}
	return n
}

// peer is the client side of a raw connection.
type peer struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// dial connects without reading the greeting.
func (s *site) dial() *peer {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(20 * time.Second))
	return &peer{s.t, c, bufio.NewReader(c)}
}

// secure speaks TLS from now on.
func (p *peer) secure(pool *x509.CertPool, certs ...tls.Certificate) {
	p.t.Helper()
	c := tls.Client(p.conn, &tls.Config{RootCAs: pool, ServerName: "127.0.0.1", Certificates: certs})
	if err := c.Handshake(); err != nil {
		p.t.Fatal(err)
	}
	p.conn, p.r = c, bufio.NewReader(c)
}

// ready returns a client that has said EHLO, over TLS in the given mode.
func (s *site) ready(mode TLSMode) *peer {
	s.t.Helper()
	p := s.met(mode)
	p.send("EHLO me\r\n")
	p.want("250")
	return p
}

// met returns a client that has been greeted and speaks TLS in the given mode.
func (s *site) met(mode TLSMode) *peer {
	s.t.Helper()
	p := s.dial()
	if mode == TLSImplicit {
		p.secure(s.pool)
	}
	p.want("220 mx.test ESMTP")
	if mode == TLSStart {
		p.send("EHLO me\r\n")
		p.want("250")
		p.send("STARTTLS\r\n")
		p.want("220 2.0.0")
		p.secure(s.pool)
	}
	return p
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p.conn, s); err != nil {
		p.t.Fatalf("sending %q: %v", s, err)
	}
}

// reply reads a whole reply.
func (p *peer) reply() (string, error) {
	var all strings.Builder
	for {
		line, err := p.r.ReadString('\n')
		all.WriteString(line)
		if err != nil {
			return all.String(), err
		}
		if len(line) < 4 || line[3] != '-' {
			return all.String(), nil
		}
	}
}

// want reads a reply and checks how its last line begins.
func (p *peer) want(prefix string) string {
	p.t.Helper()
	all, err := p.reply()
	lines := strings.Split(strings.TrimRight(all, "\r\n"), "\n")
	if last := lines[len(lines)-1]; err != nil || !strings.HasPrefix(last, prefix) {
		p.t.Fatalf("reply %q (%v), want %q", all, err, prefix)
	}
	return all
}

// wantEnd checks that the server closes.
func (p *peer) wantEnd() {
	p.t.Helper()
	if b, err := io.ReadAll(p.r); len(b) > 0 || errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatalf("got %q (%v), want the end", b, err)
	}
}

// talk sends lines and checks the replies to each: "MAIL FROM:<a@b>", "250", …
func (p *peer) talk(pairs ...string) {
	p.t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		p.send(pairs[i] + "\r\n")
		p.want(pairs[i+1])
	}
}

func prefixes(list string) (all []netip.Prefix) {
	for _, s := range strings.Split(list, ",") {
		all = append(all, netip.MustParsePrefix(s))
	}
	return all
}

// isFree reports whether nothing of a budget is taken: then all of it fits.
func isFree(b *limit.Budget) bool { return b.Fits(limit.Client{}, math.MaxInt64) }

// Conns returns how many connections are open.
func (s *Server) Conns() int {
	return s.conns.Len()
}
