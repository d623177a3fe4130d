package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"mailhatch/gateway/envelope"
)

// Waits for the gateway. It answers at once; what takes so long hangs.
const (
	replyLimit = 30 * time.Second
	dataLimit  = 5 * time.Minute // for the message to be on stable storage
)

// replyError is a refusal by the gateway.
type replyError struct {
	code int // of SMTP
	text string
}

// Error gives the reply.
func (e *replyError) Error() string { return strconv.Itoa(e.code) + " " + e.text }

// exitCode tells a refusal in the words of sysexits(3).
func (e *replyError) exitCode() int {
	switch {
	case e.code < 500:
		return exTempFail
	case strings.HasPrefix(e.text, "5.1."):
		return exNoUser
	case strings.HasPrefix(e.text, "5.6."), strings.HasPrefix(e.text, "5.5."), e.code == 552:
		return exDataErr
	}
	return exUnavailable
}

// refusedRecipient is one that the gateway does not take.
type refusedRecipient struct {
	address string
	reply   *replyError
}

// smtpSession speaks SMTP with the gateway (RFC 5321).
type smtpSession struct {
	conn net.Conn
	text *textproto.Conn
}

// submitLocal hands a message to the gateway behind a socket. Some recipients may be refused for good
// while the others are taken; when none is, or one cannot be taken now, it is an error, and nobody gets it.
func submitLocal(ctx context.Context, socket string, env *envelope.Envelope, m *spool) (refused []refusedRecipient, reply string, err error) {
	conn, err := dialSubmit(ctx, socket)
	if err != nil {
		return nil, "", err
	}
	return submitOver(conn, env, m, m.reader())
}

// submitOver does so over a connection, which it closes. message reads m from its start.
func submitOver(conn net.Conn, env *envelope.Envelope, m *spool, message io.Reader) (refused []refusedRecipient, reply string, err error) {
	s := &smtpSession{conn, textproto.NewConn(conn)}
	defer s.text.Close()
	if refused, err = s.envelope(env, m); err != nil {
		return nil, "", err
	}
	reply, err = s.data(message)
	if err == nil {
		_, _ = s.command(221, "QUIT") // it has our message already
	}
	return refused, reply, err
}

// expect reads a reply.
func (s *smtpSession) expect(code int, limit time.Duration) (string, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	got, text, err := s.text.ReadResponse(code)
	if _, no := err.(*textproto.Error); no {
		return "", &replyError{got, text}
	}
	if err != nil {
		return "", fmt.Errorf("the gateway does not answer: %w", err)
	}
	return text, nil
}

func (s *smtpSession) command(code int, format string, args ...any) (string, error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(replyLimit)); err != nil {
		return "", err
	}
	if err := s.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	return s.expect(code, replyLimit)
}

func (s *smtpSession) envelope(env *envelope.Envelope, m *spool) (refused []refusedRecipient, err error) {
	if _, err := s.expect(220, replyLimit); err != nil {
		return nil, err
	}
	if _, err := s.command(250, "EHLO localhost"); err != nil {
		return nil, err
	}
	if _, err := s.command(250, "MAIL FROM:<%s>%s", env.From, mailParams(env, m)); err != nil {
		return nil, err
	}
	for _, r := range env.To {
		notify := ""
		if len(r.Notify) > 0 {
			notify = " NOTIFY=" + strings.Join(r.Notify, ",")
		}
		_, err := s.command(250, "RCPT TO:<%s>%s", r.Address, notify)
		no, ok := err.(*replyError)
		switch {
		case ok && no.code >= 500:
			refused = append(refused, refusedRecipient{r.Address, no})
		case err != nil:
			return nil, err
		}
	}
	if len(refused) == len(env.To) {
		return nil, refused[0].reply
	}
	return refused, nil
}

func mailParams(env *envelope.Envelope, m *spool) string {
	params := fmt.Sprintf(" SIZE=%d", m.size) // RFC 1870
	switch {
	case env.Body != "":
		params += " BODY=" + env.Body // RFC 6152
	case m.eightBit:
		params += " BODY=8BITMIME"
	}
	if env.Ret != "" {
		params += " RET=" + env.Ret // RFC 3461 4.3
	}
	if env.EnvID != "" {
		params += " ENVID=" + xtext(env.EnvID)
	}
	if needsUTF8(env) {
		params += " SMTPUTF8" // RFC 6531 3.4
	}
	return params
}

// needsUTF8 says whether an address is not ASCII.
func needsUTF8(env *envelope.Envelope) bool {
	all := env.From
	for _, r := range env.To {
		all += r.Address
	}
	return strings.ContainsFunc(all, func(r rune) bool { return r >= utf8.RuneSelf })
}

// xtext encodes an envelope id (RFC 3461 4).
func xtext(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if c := s[i]; c > ' ' && c <= '~' && c != '+' && c != '=' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "+%02X", c)
		}
	}
	return b.String()
}

// data sends the message and gives the words with which it was accepted.
func (s *smtpSession) data(message io.Reader) (string, error) {
	if _, err := s.command(354, "DATA"); err != nil {
		return "", err
	}
	if err := s.conn.SetWriteDeadline(time.Now().Add(dataLimit)); err != nil {
		return "", err
	}
	w := s.text.DotWriter()
	_, err := io.Copy(w, message)
	if err != nil {
		return "", err // w stays open: without its final dot the message is not accepted
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return s.expect(250, dataLimit)
}
