package load

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// replyError is an answer of the server other than the one hoped for.
type replyError struct {
	Stage string // greeting, EHLO, MAIL, RCPT, DATA or message
	Code  int    // reply code, RFC 5321 section 4.2
	Text  string // of the last line
	Over  bool   // the connection cannot go on
}

// Error returns the stage and the answer.
func (e *replyError) Error() string { return fmt.Sprintf("%s: %d %s", e.Stage, e.Code, e.Text) }

// Client is one SMTP connection of the load (RFC 5321). Not for use by several goroutines.
type Client struct {
	conn    net.Conn
	r       *bufio.Reader
	out     []byte // commands under way
	timeout time.Duration
	detach  func() bool // from the context
}

// Dial connects, reads the greeting and says EHLO. The connection breaks when ctx ends.
func Dial(ctx context.Context, addr string, timeout time.Duration) (*Client, error) {
	conn, err := (&net.Dialer{Timeout: timeout}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c := &Client{conn: conn, r: bufio.NewReader(conn), timeout: timeout}
	c.detach = context.AfterFunc(ctx, func() { conn.Close() })
	if err := c.hello(); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

func (c *Client) hello() error {
	if err := c.arm(); err != nil {
		return err
	}
	if err := c.expect("greeting", 220); err != nil {
		return err
	}
	if _, err := io.WriteString(c.conn, "EHLO mailbench.example\r\n"); err != nil {
		return err
	}
	return c.expect("EHLO", 250)
}

// arm sets the deadline of what follows.
func (c *Client) arm() error { return c.conn.SetDeadline(time.Now().Add(c.timeout)) }

// Close ends the connection without a word.
func (c *Client) Close() {
	c.detach()
	c.conn.Close()
}

// Quit says QUIT, waits for the answer and closes.
func (c *Client) Quit() {
	if c.arm() == nil {
		if _, err := io.WriteString(c.conn, "QUIT\r\n"); err == nil {
			_ = c.expect("QUIT", 221) // the mail is safe; how the server says goodbye does not matter
		}
	}
	c.Close()
}

// Send hands one message over, whose bytes are dot-stuffed and end in CRLF. After a *replyError that is not
// Over the transaction has been reset and the connection can go on; after any other the caller must close.
func (c *Client) Send(from string, to []string, message []byte, pipelining bool) error {
	if err := c.arm(); err != nil {
		return err
	}
	step := c.stepwise
	if pipelining {
		step = c.pipelined
	}
	if err := step(from, to); err != nil {
		return err
	}
	parts := net.Buffers{message, []byte(".\r\n")}
	if _, err := parts.WriteTo(c.conn); err != nil {
		return err
	}
	return c.expect("message", 250)
}

// stepwise sends MAIL, RCPT and DATA, each after the answer to the one before.
func (c *Client) stepwise(from string, to []string) error {
	for i, cmd := range c.commands(from, to) {
		if _, err := io.WriteString(c.conn, cmd); err != nil {
			return err
		}
		stage, want := c.stage(i, len(to))
		if err := c.expect(stage, want); err != nil {
			return c.reset(err)
		}
	}
	return nil
}

// pipelined sends MAIL, RCPT and DATA in one write (RFC 2920).
func (c *Client) pipelined(from string, to []string) error {
	cmds := c.commands(from, to)
	c.out = c.out[:0]
	for _, cmd := range cmds {
		c.out = append(c.out, cmd...)
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	var first *replyError
	for i := range cmds {
		stage, want := c.stage(i, len(to))
		err := c.expect(stage, want)
		var refused *replyError
		switch {
		case err == nil && want == 354 && first != nil:
			// The server waits for a message that must not go to a part of its recipients only:
			// nothing but leaving keeps it from that.
			first.Over = true
			return first
		case err != nil && !errors.As(err, &refused):
			return err
		case first == nil:
			first = refused
		}
	}
	if first == nil {
		return nil
	}
	return c.reset(first)
}

func (c *Client) commands(from string, to []string) []string {
	cmds := make([]string, 0, len(to)+2)
	cmds = append(cmds, "MAIL FROM:<"+from+">\r\n")
	for _, rcpt := range to {
		cmds = append(cmds, "RCPT TO:<"+rcpt+">\r\n")
	}
	return append(cmds, "DATA\r\n")
}

// stage names command i of a transaction and the answer it needs.
func (c *Client) stage(i, recipients int) (string, int) {
	switch {
	case i == 0:
		return "MAIL", 250
	case i <= recipients:
		return "RCPT", 250
	}
	return "DATA", 354
}

// reset clears the transaction that refusal ended and returns refusal, or why the connection is over.
func (c *Client) reset(refusal error) error {
	var reply *replyError
	if !errors.As(refusal, &reply) || reply.Over {
		return refusal
	}
	if _, err := io.WriteString(c.conn, "RSET\r\n"); err != nil {
		return err
	}
	if err := c.expect("RSET", 250); err != nil {
		return err
	}
	return refusal
}

// expect reads one reply and gives a *replyError unless its code is want.
func (c *Client) expect(stage string, want int) error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return fmt.Errorf("%s: %w", stage, err)
		}
		if len(line) < 4 || !digits(line[:3]) {
			return fmt.Errorf("%s: not an SMTP reply (%.80q)", stage, line)
		}
		if line[3] == '-' {
			continue
		}
		code := int(line[0]-'0')*100 + int(line[1]-'0')*10 + int(line[2]-'0')
		if code == want {
			return nil
		}
		return &replyError{
			Stage: stage,
			Code:  code,
			Text:  strings.TrimSpace(string(line[3:])),
			Over:  code == 421 || stage == "RSET", // RFC 5321 section 3.8: 421 closes
		}
	}
}

func digits(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
