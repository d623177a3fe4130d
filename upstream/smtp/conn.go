package smtp

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"time"

	mail "github.com/wneessen/go-mail"
	mailsmtp "github.com/wneessen/go-mail/smtp"

	"mailhatch/upstream"
	"mailhatch/upstream/smtp/reply"
)

// conn is a connection that is past EHLO, TLS and AUTH. One goroutine uses it at a time.
type conn struct {
	client    *mailsmtp.Client
	raw       *rawConn
	caps      capabilities
	messages  int // transactions begun
	idleSince time.Time
	secrets   *upstream.Redactor
	broken    bool // not fit for another command
}

// capabilities is what the relay offered in EHLO.
type capabilities struct {
	pipelining, eightBit, utf8, dsn, sizeParam bool
	size                                       int64 // 0 when not limited (RFC 1870)
	maxRecipients, maxMessages                 int   // RFC 9422, or our own
}

// rawConn is the TCP connection below TLS. Until login is over it limits what the relay may
// send, since go-mail reads replies of any length.
type rawConn struct {
	net.Conn
	socket  syscall.RawConn // nil where the connection is not one of the system's
	limited bool
	left    int
	secret  bool // TLS has begun
	words   keywords
}

const dialBudget = 1 << 20

func (c *rawConn) Read(p []byte) (int, error) {
	if !c.limited {
		return c.Conn.Read(p)
	}
	if c.left <= 0 {
		return 0, errors.New("the relay talks without end")
	}
	n, err := c.Conn.Read(p[:min(len(p), c.left)])
	c.left -= n
	if !c.secret {
		c.words.read(p[:n])
	}
	return n, err
}

// Write implements net.Conn.
func (c *rawConn) Write(p []byte) (int, error) {
	const handshake = 0x16 // the first byte of a TLS client (RFC 8446 5.1)
	c.secret = c.secret || len(p) > 0 && p[0] == handshake
	return c.Conn.Write(p)
}

// closeWith closes the connection when ctx ends. The returned function ends the watch and gives
// the error of a context that came first.
func (c *rawConn) closeWith(ctx context.Context) (release func() error) {
	closed := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = c.Close()
		close(closed)
	})
	return func() error {
		if stop() {
			return nil
		}
		<-closed
		return ctx.Err()
	}
}

// dial connects and logs in. Its errors are *Error. A token that the relay refuses is replaced once: it may have been
// withdrawn before its end.
func (u *relay) dial(ctx context.Context) (*conn, error) {
	c, access, err := u.dialOnce(ctx)
	if e, ok := errors.AsType[*upstream.Error](err); ok && access != "" && e.Class == upstream.Account && u.tokens.Refused(access) {
		c, _, err = u.dialOnce(ctx)
	}
	return c, err
}

// dialOnce is dial with the token of the moment, which it returns where there is one.
func (u *relay) dialOnce(ctx context.Context) (_ *conn, access string, err error) {
	c := &conn{secrets: u.secrets}
	release := func() error { return nil }
	// go-mail knows ctx only while it dials, and leaves the connection open when a later step fails.
	connect := func(context.Context, string, string) (net.Conn, error) {
		conn, err := u.dialer.DialContext(ctx, "tcp", net.JoinHostPort(u.host, strconv.Itoa(u.port)))
		if err != nil {
			return nil, err
		}
		c.raw = &rawConn{Conn: conn, limited: true, left: dialBudget}
		if tcp, ok := conn.(syscall.Conn); ok {
			c.raw.socket, _ = tcp.SyscallConn()
		}
		release = c.raw.closeWith(ctx)
		if u.tlsMode != tlsImplicit {
			return c.raw, nil
		}
		_ = conn.SetDeadline(time.Now().Add(u.timeout))
		secure := tls.Client(c.raw, u.tlsConfig)
		return secure, secure.HandshakeContext(ctx)
	}
	client, err := mail.NewClient(u.host, append(u.mailOptions(), mail.WithDialContextFunc(connect))...)
	if err != nil {
		return nil, "", &upstream.Error{Class: upstream.Account, Err: err} // settings that Open should not have let pass
	}
	if c.client, err = client.DialToSMTPClientWithContext(ctx); err != nil {
		err = u.dialError(err)
	} else {
		access, err = u.login(ctx, c)
	}
	if err == nil && c.spoke() {
		err = u.dialError(fmt.Errorf("%w: one too many after the connection was made", errOutOfStep))
	}
	if ended := release(); ended != nil {
		err = u.dialError(ended)
	}
	if err != nil {
		if c.raw != nil {
			_ = c.raw.Close()
		}
		return nil, access, err
	}
	c.raw.limited = false
	c.caps = readCapabilities(c.client)
	return c, access, nil
}

// mailOptions returns the options of go-mail. With implicit TLS the connection it gets is secure already.
func (u *relay) mailOptions() []mail.Option {
	policy := mail.NoTLS
	switch u.tlsMode {
	case tlsStart:
		policy = mail.TLSMandatory
	case tlsOpportunistic:
		policy = mail.TLSOpportunistic
	}
	options := []mail.Option{
		mail.WithPort(u.port), mail.WithTLSPolicy(policy), mail.WithHELO(u.helo), mail.WithTimeout(u.timeout),
		mail.WithSMTPAuth(mail.SMTPAuthNoAuth), // login does it, to tell its errors from those of dialling
	}
	if u.tlsConfig != nil {
		options = append(options, mail.WithTLSConfig(u.tlsConfig))
	}
	return options
}

func readCapabilities(client *mailsmtp.Client) capabilities {
	caps := capabilities{maxRecipients: maxTransaction, maxMessages: maxPerConn}
	caps.pipelining, _ = client.Extension("PIPELINING")
	caps.eightBit, _ = client.Extension("8BITMIME")
	caps.utf8, _ = client.Extension("SMTPUTF8")
	caps.dsn, _ = client.Extension("DSN")
	var param string
	if caps.sizeParam, param = client.Extension("SIZE"); caps.sizeParam {
		if n, err := strconv.ParseInt(strings.TrimSpace(param), 10, 64); err == nil && n > 0 {
			caps.size = n
		}
	}
	if _, param = client.Extension("LIMITS"); param != "" {
		for limit := range strings.FieldsSeq(param) {
			name, value, _ := strings.Cut(limit, "=")
			n, err := strconv.Atoi(value)
			if err != nil || n < 1 {
				continue
			}
			switch strings.ToUpper(name) {
			case "RCPTMAX":
				caps.maxRecipients = min(caps.maxRecipients, n)
			case "MAILMAX":
				caps.maxMessages = min(caps.maxMessages, n)
			}
		}
	}
	return caps
}

// step sets the time limit of the next read or write.
func (c *conn) step(timeout time.Duration) { _ = c.client.UpdateDeadline(timeout) }

// write sends p in one go.
func (c *conn) write(p []byte, timeout time.Duration) error {
	c.step(timeout)
	if _, err := c.client.Text.W.Write(p); err != nil {
		return err
	}
	return c.client.Text.W.Flush()
}

// Limits of one reply: RFC 5321 4.5.3.1.5 has 512 octets a line; real ones are longer at times.
const (
	maxReplyLines = 128
)

// readReply reads one reply. After an error the connection is of no more use.
func (c *conn) readReply(timeout time.Duration) (reply.Reply, error) {
	var r reply.Reply
	var few [4]string // lines of a usual reply
	lines := few[:0]
	waits := false
	for range maxReplyLines {
		if !waits && !c.holdsLine() { // replies to pipelined commands come together
			c.step(timeout)
			waits = true
		}
		raw, err := c.client.Text.R.ReadSlice('\n')
		if err != nil {
			if errors.Is(err, io.EOF) && len(raw) > 0 {
				err = io.ErrUnexpectedEOF
			}
			return r, err
		}
		line := string(raw)
		code, more, text, ok := reply.SplitLine(line)
		if !ok || (r.Code != 0 && code != r.Code) {
			return r, c.garbage(line)
		}
		r.Code = code
		lines = append(lines, text)
		if !more {
			r.SetText(lines, c.secrets)
			return r, nil
		}
	}
	return r, garbageError("a reply without end")
}

// holdsLine reports whether the next line was read from the connection already.
func (c *conn) holdsLine() bool {
	held, _ := c.client.Text.R.Peek(c.client.Text.R.Buffered())
	return bytes.IndexByte(held, '\n') >= 0
}

// garbageError is an answer that is no SMTP.
type garbageError string

func (c *conn) garbage(words string) garbageError { return garbageError(c.secrets.Redact(words)) }

func (g garbageError) Error() string {
	return fmt.Sprintf("the relay answered something that is not an SMTP reply: %.60q", string(g))
}

// spoke reports whether the relay has sent something nobody asked for, or closed: one reply too many would pass
// for that to the next command.
func (c *conn) spoke() bool { return c.holds() || c.raw.pending() }

// holds reports whether something was read from the connection that nobody asked for.
func (c *conn) holds() bool { return c.client.Text.R.Buffered() > 0 }

// ask sends a command and reads its reply.
func (c *conn) ask(command string, timeout time.Duration) (reply.Reply, error) {
	if err := c.write([]byte(command+"\r\n"), timeout); err != nil {
		return reply.Reply{}, err
	}
	return c.readReply(timeout)
}

// quit leaves politely.
func (c *conn) quit(timeout time.Duration) {
	_, _ = c.ask("QUIT", timeout)
	c.close()
}

func (c *conn) close() { _ = c.raw.Close() }

// keywords writes the keywords of EHLO replies in capitals: case does not count in them (RFC 5321 2.4), and go-mail 0.8.1
// does not know "starttls". It reads what comes in clear; behind STARTTLS and implicit TLS go-mail is alone.
type keywords struct {
	at      int  // how much of "250-" or "250 " this line has
	keyword bool // now in the keyword
}

const replyStart = "250-"

func (k *keywords) read(p []byte) {
	for i, c := range p {
		switch {
		case c == '\n':
			*k = keywords{}
		case k.keyword && (c == ' ' || c == '=' || c == '\r'):
			k.keyword, k.at = false, -1
		case k.keyword && 'a' <= c && c <= 'z':
			p[i] = c - 'a' + 'A'
		case k.keyword || k.at < 0:
		case c == replyStart[k.at] || k.at == len(replyStart)-1 && c == ' ':
			k.at++
			k.keyword = k.at == len(replyStart)
		default:
			k.at = -1
		}
	}
}
