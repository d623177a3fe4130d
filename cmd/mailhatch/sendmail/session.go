package sendmail

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"strings"
	"sync"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/smtpd"
)

// bareDomain marks names that have no domain: the gateway completes them when it takes the message.
const bareDomain = "bare.invalid"

// dropSession returns the client's side of a session whose messages go to the maildrop; end waits for the other side.
func dropSession(ctx context.Context, dir string) (conn net.Conn, end func(), err error) {
	ours, theirs, err := connPair()
	if err != nil {
		return nil, nil, err
	}
	server := smtpd.New(smtpd.Config{Name: "maildrop", Hostname: submit.Hostname(), Domain: bareDomain, TLS: smtpd.TLSNone,
		Auth: smtpd.AuthNone, MinRate: -1}, dropHandler{dir}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ctx, newSingle(theirs)) // the replies have told the client all there is
	}()
	return ours, func() { cancel(); <-done }, nil
}

// dropHandler keeps messages in a maildrop.
type dropHandler struct{ dir string }

// Sender accepts every sender: the gateway will judge.
func (dropHandler) Sender(context.Context, *envelope.Envelope) error { return nil }

// Recipient accepts every recipient.
func (dropHandler) Recipient(context.Context, *envelope.Envelope, *envelope.Recipient) error {
	return nil
}

// Accept keeps a message.
func (d dropHandler) Accept(_ context.Context, env *envelope.Envelope, body io.Reader) (id, text string, err error) {
	kept := *env
	kept.From = strings.TrimSuffix(env.From, "@"+bareDomain)
	kept.To = nil
	for _, r := range env.To {
		kept.To = append(kept.To, envelope.Recipient{Address: strings.TrimSuffix(r.Address, "@"+bareDomain), Notify: r.Notify})
	}
	from := &sourceError{r: body}
	if err := maildrop.Write(d.dir, &kept, maildrop.Unknown, from); err != nil {
		if from.err != nil {
			return "", "", from.err
		}
		return "", "", &envelope.Reply{Code: 452, Enhanced: [3]int{4, 3, 1}, Text: fmt.Sprintf("the gateway does not run, and %v", err)}
	}
	return "", "OK: kept until the gateway runs", nil
}

// sourceError remembers the error of a reader.
type sourceError struct {
	r   io.Reader
	err error
}

// Read implements io.Reader.
func (s *sourceError) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	if err != nil && err != io.EOF {
		s.err = err
	}
	return n, err
}

// single is a listener with one connection.
type single struct {
	conns chan net.Conn
	addr  net.Addr
	close func() error
}

func newSingle(conn net.Conn) *single {
	l := &single{conns: make(chan net.Conn, 1), addr: conn.LocalAddr()}
	l.conns <- conn
	l.close = sync.OnceValue(func() error { close(l.conns); return nil })
	return l
}

// Accept returns the connection, and later waits for Close.
func (l *single) Accept() (net.Conn, error) {
	if conn, ok := <-l.conns; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// Close ends Accept.
func (l *single) Close() error { return l.close() }

// Addr returns the address of the connection.
func (l *single) Addr() net.Addr { return l.addr }
