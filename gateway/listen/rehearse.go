package listen

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"net/textproto"
	"strings"

	"mailhatch/gateway/config"
	"mailhatch/gateway/smtpd"
	"mailhatch/mime"
)

// Client is a client that a session is rehearsed for.
type Client struct {
	Addr    netip.Addr // zero: one of a unix socket
	User    string     // who has logged in, or is known otherwise; "" nobody
	From    string     // envelope sender, as the client writes it, without brackets
	To      []string   // envelope recipients likewise
	Message []byte     // with CRLF line ends; nil: the session ends before DATA
}

// Answer is a refusal of the server.
type Answer struct {
	Command string `json:"command"` // "connect", "MAIL FROM:<ann@example.com>", "RCPT TO:<…>", "DATA"
	Reply   string `json:"reply"`   // "553 5.7.1 app may not send as <ann@example.com>"
}

// Refused is what a server refused of a session; all of it nil: nothing.
type Refused struct {
	Session    *Answer           // connecting, MAIL or DATA: the message as a whole
	Recipients map[string]Answer // by the address as the client writes it
}

// Rehearse returns what a listener's server answers to a client, without a network: the session is that of a server
// with the listener's settings, but for TLS and logins, which are assumed. h takes the message.
func Rehearse(ctx context.Context, cfg *config.Config, lc *config.Listener, h smtpd.Handler, c Client) (*Refused, error) {
	s := &SMTP{Current: func() *config.Config { return cfg }, Log: slog.New(slog.DiscardHandler)}
	plain := *lc
	plain.TLS, plain.ClientCAFile = "none", "" // and no certificate is made
	sc, err := s.config(cfg, &plain)
	if err != nil {
		return nil, err
	}
	sc.User = func(net.Conn) string { return c.User }
	sc.OnEvent, sc.ProxyFrom = nil, nil
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	client, server := net.Pipe()
	done := make(chan error, 1)
	go func() { done <- smtpd.New(sc, h, s.Log).Serve(ctx, newOneClient(server, c.Addr)) }()
	r := &rehearsal{text: textproto.NewConn(client), refused: &Refused{Recipients: map[string]Answer{}}}
	err = r.session(&c)
	client.Close()
	cancel()
	if err != nil {
		err = fmt.Errorf("the session was not answered: %w", err)
	}
	return r.refused, errors.Join(err, <-done)
}

// rehearsal is the client's side of a session.
type rehearsal struct {
	text    *textproto.Conn
	refused *Refused
}

// session says what a client says, up to the first refusal of the whole message.
func (r *rehearsal) session(c *Client) error {
	parameters := ""
	if !mime.IsASCII(c.From + strings.Join(c.To, "")) {
		parameters = " SMTPUTF8"
	}
	if c.Message != nil {
		parameters += fmt.Sprintf(" SIZE=%d", len(c.Message))
		if !mime.IsASCII(c.Message) {
			parameters += " BODY=8BITMIME"
		}
	}
	if ok, err := r.answered("connect", 220); !ok {
		return err
	}
	if ok, err := r.ask("EHLO", "EHLO localhost", 250); !ok {
		return err
	}
	mail := "MAIL FROM:<" + c.From + ">"
	if ok, err := r.ask(mail, mail+parameters, 250); !ok {
		return err
	}
	taken := 0
	for _, to := range c.To {
		rcpt := "RCPT TO:<" + to + ">"
		ok, err := r.ask(rcpt, rcpt, 250)
		switch {
		case err != nil:
			return err
		case ok:
			taken++
		default:
			r.refused.Recipients[to], r.refused.Session = *r.refused.Session, nil
		}
	}
	if c.Message == nil || taken == 0 {
		return nil
	}
	if ok, err := r.ask("DATA", "DATA", 354); !ok {
		return err
	}
	w := r.text.DotWriter()
	if _, err := io.Copy(w, bytes.NewReader(c.Message)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	_, err := r.answered("DATA", 250)
	return err
}

// ask sends a line. It is false where the answer is a refusal.
func (r *rehearsal) ask(command, line string, want int) (bool, error) {
	if strings.ContainsAny(line, "\r\n\x00") {
		r.refused.Session = &Answer{command, "501 5.5.2 a command is one line"}
		return false, nil
	}
	if err := r.text.PrintfLine("%s", line); err != nil {
		return false, err
	}
	return r.answered(command, want)
}

func (r *rehearsal) answered(command string, want int) (bool, error) {
	code, text, err := r.text.ReadResponse(want)
	var refusal *textproto.Error
	if errors.As(err, &refusal) {
		r.refused.Session = &Answer{command, fmt.Sprintf("%d %s", code, text)}
		return false, nil
	}
	return err == nil, err
}

// oneClient is a listener with one client.
type oneClient struct {
	conns  chan net.Conn
	closed context.Context
	close  context.CancelFunc
}

func newOneClient(conn net.Conn, addr netip.Addr) *oneClient {
	l := &oneClient{conns: make(chan net.Conn, 1)}
	l.closed, l.close = context.WithCancel(context.Background())
	if addr.IsValid() {
		conn = clientAt{conn, net.TCPAddrFromAddrPort(netip.AddrPortFrom(addr, 0))}
	}
	l.conns <- conn
	return l
}

// Accept returns the client, then waits for Close.
func (l *oneClient) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed.Done():
		return nil, net.ErrClosed
	}
}

func (l *oneClient) Close() error { l.close(); return nil }

func (l *oneClient) Addr() net.Addr { return &net.UnixAddr{} }

// clientAt is a connection with the address of a client.
type clientAt struct {
	net.Conn
	addr net.Addr
}

func (c clientAt) RemoteAddr() net.Addr { return c.addr }
