package smtpd

import (
	"errors"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/emersion/go-smtp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/smtpd/limit"
)

// session answers go-smtp about the commands that the front lets through.
type session struct {
	f   *front
	env *envelope.Envelope // of the running transaction, or nil

	grown bool // the stack is what a message needs, unless a wait was long enough for the GC to shrink it
}

func newSession(c *smtp.Conn) (smtp.Session, error) {
	f, ok := c.Conn().(*front)
	if !ok {
		return nil, internalError()
	}
	return &session{f: f}, nil
}

// internalError is all that a client learns of an internal error.
func internalError() error {
	return &smtp.SMTPError{Code: 451, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Local error, try again later"}
}

// Mail begins a transaction. The address is the front's: go-smtp takes the quotes off.
func (s *session) Mail(_ string, opts *smtp.MailOptions) (err error) {
	f := s.f
	defer s.contain(&err)
	if !s.grown {
		growStack(f.rcpts)
		s.grown = true
	}
	if !f.srv.messages.Allow(f.client()) {
		return &smtp.SMTPError{Code: 450, EnhancedCode: smtp.EnhancedCode{4, 7, 1}, Message: "Too many messages, try again later"}
	}
	if !f.cfg.InFlight.Fits(f.client(), max(opts.Size, minBudgetStep)) { // before the client sends it all in vain
		return &smtp.SMTPError{Code: 452, EnhancedCode: smtp.EnhancedCode{4, 3, 1}, Message: "Too much mail is coming in at once, try again later"}
	}
	env := &envelope.Envelope{
		From:   f.address,
		Ret:    string(opts.Return),
		EnvID:  opts.EnvelopeID,
		Body:   string(opts.Body),
		UTF8:   opts.UTF8,
		Client: f.describe(opts.UTF8),
	}
	f.offered = env
	if err := f.srv.handler.Sender(f.ctx, env); err != nil {
		return s.refusal("MAIL", err)
	}
	s.env = env
	return nil
}

// describe returns what the envelope keeps of the peer.
func (f *front) describe(utf8 bool) envelope.Client {
	return envelope.Client{
		Addr:     f.peer,
		Helo:     f.helo,
		Protocol: f.protocol(utf8),
		User:     f.user,
		Listener: f.cfg.Name,
		TLS:      f.tls,
	}
}

// protocol is the "with" word of RFC 3848 and RFC 6531 4.3.
func (f *front) protocol(utf8 bool) string {
	if !f.esmtp {
		return "SMTP"
	}
	word := "ESMTP"
	if utf8 {
		word = "UTF8SMTP"
	}
	if f.tls != "" {
		word += "S"
	}
	if f.authed && !f.cfg.AcceptAnyAuth {
		word += "A"
	}
	return word
}

// Rcpt adds a recipient, if the handler accepts it.
func (s *session) Rcpt(_ string, opts *smtp.RcptOptions) (err error) {
	defer s.contain(&err)
	rcpt := envelope.Recipient{Address: s.f.address, Given: s.f.bare}
	for _, n := range opts.Notify {
		rcpt.Notify = append(rcpt.Notify, string(n))
	}
	if opts.OriginalRecipient != "" {
		rcpt.ORcpt = strings.ToLower(string(opts.OriginalRecipientType)) + ";" + opts.OriginalRecipient
	}
	if err := s.f.srv.handler.Recipient(s.f.ctx, s.env, &rcpt); err != nil {
		return s.refusal("RCPT", err)
	}
	s.env.To = append(s.env.To, rcpt)
	return nil
}

// Data hands the message over. go-smtp's reader is not used: the front has the text.
func (s *session) Data(io.Reader) (err error) {
	f := s.f
	defer s.contain(&err)
	env := *s.env
	env.To = slices.Clone(s.env.To) // a Reset must not change what the handler holds
	b := f.openBody()
	defer b.close()
	id, text, err := f.srv.handler.Accept(f.ctx, &env, b)
	b.drain()
	f.cause = err // also where what came next was worse
	switch {
	case b.err != nil && b.refusal == nil:
		return lostReply(b.err)
	case b.refusal != nil:
		return asSMTP(b.refusal)
	case err != nil:
		return s.refusal("DATA", err)
	}
	switch {
	case text != "":
	case id == "":
		text = "OK"
	default:
		text = "OK: queued as " + id
	}
	return &smtp.SMTPError{Code: 250, EnhancedCode: smtp.EnhancedCode{2, 0, 0}, Message: oneLine(text)}
}

// growStack makes the goroutine's stack as large as taking a message needs, 16 KiB, while few frames
// are on it. Left to the handler's depths, growing would be 5 % of the CPU of a
// connection with one message.
//
//go:noinline
func growStack(i int) byte {
	var room [8 << 10]byte
	return room[i%len(room)]
}

// contain turns a panic of the handler into the end of this session.
func (s *session) contain(err *error) {
	if p := recover(); p != nil {
		s.f.panicked(p)
		*err = &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 3, 0}, Message: "Local error, closing the session"}
	}
}

// lostReply is for a client that may still listen although its message has no end.
func lostReply(err error) *smtp.SMTPError {
	e := &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 4, 2}, Message: "The connection was lost inside the message, which is not accepted"}
	switch {
	case errors.Is(err, limit.ErrGaveWay):
		e.EnhancedCode, e.Message = smtp.EnhancedCode{4, 3, 2}, "The message came too slowly while there is no room for others, try again later"
	case errors.Is(err, os.ErrDeadlineExceeded):
		e.Message = "Timeout inside the message, which is not accepted: it must end in CRLF.CRLF"
	}
	return e
}

// refusal returns what go-smtp replies for a handler's error.
func (s *session) refusal(verb string, err error) error {
	s.f.policy, s.f.cause = true, err
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code >= 400 && r.Code <= 599 {
		return asSMTP(r)
	}
	s.f.srv.log.Error("handler failed", "command", verb, "peer", s.f.peer, "error", err)
	return internalError()
}

func asSMTP(r *envelope.Reply) *smtp.SMTPError {
	lines := strings.Split(r.Text, "\n")
	for i := range lines {
		lines[i] = oneLine(strings.TrimRight(lines[i], "\r"))
		if i < len(lines)-1 { // go-smtp does so on the last line; RFC 2034 4 wants it on each
			lines[i] = r.Status() + " " + lines[i]
		}
	}
	return &smtp.SMTPError{Code: r.Code, EnhancedCode: r.Enhanced, Message: strings.Join(lines, "\n")}
}

// oneLine keeps a text from breaking out of its reply.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
	if len(s) > 400 {
		s = strings.ToValidUTF8(s[:400], "") + "..."
	}
	return s
}

// Reset forgets the transaction.
func (s *session) Reset() { s.env = nil }

// Logout has nothing to do: the front cleans up, and go-smtp would not survive a panic here.
func (s *session) Logout() error { return nil }
