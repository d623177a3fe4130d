// Package submit submits one message to the gateway by SMTP, for the commands sendmail and send.
package submit

import (
	"context"
	"errors"
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

// Timeouts. The gateway answers at once; when a reply takes longer, it hangs.
const (
	dialLimit  = 10 * time.Second
	replyLimit = 30 * time.Second
	dataLimit  = 5 * time.Minute // for the message to be on stable storage
)

// ReplyError is a refusal by the gateway.
type ReplyError struct {
	Code int // of SMTP
	Text string
}

// Error returns the reply.
func (e *ReplyError) Error() string { return strconv.Itoa(e.Code) + " " + e.Text }

// Refused is a recipient that the gateway does not accept.
type Refused struct {
	Address string
	Reply   *ReplyError
}

// session is an SMTP session with the gateway (RFC 5321).
type session struct {
	conn net.Conn
	text *textproto.Conn
}

// Dial connects to a gateway.
func Dial(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialLimit}
	return d.DialContext(ctx, network, address)
}

// Sent is what became of a message.
type Sent struct {
	Refused []Refused            // for good
	Rest    []envelope.Recipient // who have not got it because of an error
	Reply   string               // the last one that accepted it
	Begun   bool                 // the message itself was offered
}

// errOnce is about a message that cannot be read twice.
var errOnce = errors.New("the gateway wants the message once more for further recipients, and there is no temporary folder to keep it in")

// Send submits m and closes conn. Each call of message returns a reader of m. Where the gateway takes no
// more recipients for one message, the others get it in further ones. Some recipients may be refused
// for good while the others are accepted; if all are refused, or one cannot be accepted now, none of
// the recipients of that message gets it, and Send returns an error.
func Send(conn net.Conn, env *envelope.Envelope, m *Spool, message func() io.Reader) (sent Sent, err error) {
	s := &session{conn, textproto.NewConn(conn)}
	defer s.text.Close()
	sent.Rest = env.To
	if err := s.greet(); err != nil {
		return sent, err
	}
	for len(sent.Rest) > 0 {
		offered, refused, err := s.envelope(env, sent.Rest, m)
		if err == nil && offered < len(sent.Rest) && m.rest != nil {
			err = errOnce
		}
		if err == nil && offered > len(refused) {
			sent.Begun = true
			sent.Reply, err = s.data(message())
		}
		if err != nil {
			return sent, sent.partly(err, len(env.To))
		}
		sent.Refused = append(sent.Refused, refused...)
		sent.Rest = sent.Rest[offered:]
	}
	if len(sent.Refused) == len(env.To) {
		return Sent{Rest: env.To}, sent.Refused[0].Reply
	}
	_, _ = s.command(221, "QUIT") // it has the message already
	return sent, nil
}

// partly adds to an error that some recipients have had the message.
func (s *Sent) partly(err error, all int) error {
	if had := all - len(s.Rest); had > 0 {
		return fmt.Errorf("%w (only the first %d of %d recipients were offered the message)", err, had, all)
	}
	return err
}

// expect reads a reply.
func (s *session) expect(code int, limit time.Duration) (string, error) {
	if err := s.conn.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return "", err
	}
	got, text, err := s.text.ReadResponse(code)
	if _, no := err.(*textproto.Error); no {
		return "", &ReplyError{got, text}
	}
	if err != nil {
		return "", fmt.Errorf("the gateway does not answer: %w", err)
	}
	return text, nil
}

func (s *session) command(code int, format string, args ...any) (string, error) {
	if err := s.conn.SetWriteDeadline(time.Now().Add(replyLimit)); err != nil {
		return "", err
	}
	if err := s.text.PrintfLine(format, args...); err != nil {
		return "", err
	}
	return s.expect(code, replyLimit)
}

func (s *session) greet() error {
	if _, err := s.expect(220, replyLimit); err != nil {
		return err
	}
	_, err := s.command(250, "EHLO localhost")
	return err
}

// envelope begins a message for as many recipients as the gateway takes: those offered that are not refused.
func (s *session) envelope(env *envelope.Envelope, to []envelope.Recipient, m *Spool) (offered int, refused []Refused, err error) {
	if _, err := s.command(250, "MAIL FROM:<%s>%s", env.From, mailParams(env, m)); err != nil {
		return 0, nil, err
	}
	for i, r := range to {
		notify := ""
		if len(r.Notify) > 0 {
			notify = " NOTIFY=" + strings.Join(r.Notify, ",")
		}
		_, err := s.command(250, "RCPT TO:<%s>%s", r.Address, notify)
		no, ok := err.(*ReplyError)
		switch {
		case ok && no.Code >= 500:
			refused = append(refused, Refused{r.Address, no})
		case ok && no.Code == 452 && strings.HasPrefix(no.Text, "4.5.3") && i > len(refused): // RFC 5321 4.5.3.1.10
			return i, refused, nil
		case err != nil:
			return 0, nil, err
		}
	}
	return len(to), refused, nil
}

func mailParams(env *envelope.Envelope, m *Spool) string {
	params := ""
	if size := m.Size(); size >= 0 {
		params = fmt.Sprintf(" SIZE=%d", size) // RFC 1870
	}
	switch {
	case env.Body != "":
		params += " BODY=" + env.Body // RFC 6152
	case m.eightBit || m.rest != nil: // nobody knows what comes
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

// needsUTF8 reports whether an address is not ASCII.
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

// data sends the message and returns the reply that accepted it.
func (s *session) data(message io.Reader) (string, error) {
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
