package sink

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"mailhatch/cmd/mailbench/message"
)

const (
	IdleLimit = 5 * time.Minute // RFC 5321 section 4.5.3.2.7
	LineSize  = 64 << 10        // longest line read at once; longer ones come in pieces
	Greeting  = "220 sink.example ESMTP mailbench\r\n"
	Hello     = "250-sink.example\r\n250-PIPELINING\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250-DSN\r\n" +
		"250-ENHANCEDSTATUSCODES\r\n250 SIZE 104857600\r\n"
)

// serveSMTP accepts connections until the listener closes.
func (s *Sink) serveSMTP(ctx context.Context) error {
	for {
		conn, err := s.smtp.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		s.mu.Lock()
		if s.closing {
			conn.Close()
		} else {
			s.conns[conn] = true
			s.stats.Connections++
			s.wg.Go(func() {
				newSession(s, conn).serve(ctx)
				s.mu.Lock()
				defer s.mu.Unlock()
				delete(s.conns, conn)
			})
		}
		s.mu.Unlock()
	}
}

// session is one SMTP connection to the sink. It checks the order of commands, not addresses.
type session struct {
	sink       *Sink
	conn       net.Conn
	r          *bufio.Reader
	w          *bufio.Writer
	mail       bool // MAIL was accepted
	recipients int
}

func newSession(s *Sink, conn net.Conn) *session {
	return &session{sink: s, conn: conn, r: bufio.NewReaderSize(conn, LineSize), w: bufio.NewWriter(conn)}
}

// serve speaks until the client leaves or the sink closes the connection.
func (c *session) serve(ctx context.Context) {
	defer c.conn.Close()
	c.w.WriteString(Greeting)
	for {
		// Answers to pipelined commands leave in one write (RFC 2920 section 3.2).
		if c.r.Buffered() == 0 && c.w.Flush() != nil {
			return
		}
		if c.conn.SetReadDeadline(time.Now().Add(IdleLimit)) != nil {
			return
		}
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return
		}
		if !c.command(ctx, bytes.TrimRight(line, "\r\n")) {
			c.w.Flush()
			return
		}
	}
}

// command answers one command; false ends the connection.
func (c *session) command(ctx context.Context, line []byte) bool {
	verb, _, _ := strings.Cut(string(line), " ")
	reply := "250 2.0.0 OK\r\n"
	switch strings.ToUpper(verb) {
	case "EHLO":
		c.mail, c.recipients = false, 0
		reply = Hello
	case "HELO", "RSET":
		c.mail, c.recipients = false, 0
	case "NOOP":
	case "MAIL":
		if c.mail {
			reply = "503 5.5.1 Nested MAIL\r\n"
			break
		}
		c.mail = true
	case "RCPT":
		if !c.mail {
			reply = "503 5.5.1 MAIL first\r\n"
			break
		}
		c.recipients++
	case "DATA":
		if c.recipients == 0 {
			reply = "503 5.5.1 RCPT first\r\n"
			break
		}
		return c.data(ctx)
	case "QUIT":
		c.w.WriteString("221 2.0.0 Bye\r\n")
		return false
	default:
		reply = "500 5.5.2 Unknown command\r\n"
	}
	c.w.WriteString(reply)
	return true
}

// data reads a message and answers it as the sink decides; false ends the connection.
func (c *session) data(ctx context.Context) bool {
	c.mail, c.recipients = false, 0
	c.w.WriteString("354 Go ahead\r\n")
	if c.w.Flush() != nil {
		return false
	}
	id, err := ReadMessage(c.r)
	if err != nil {
		return false
	}
	v, _ := c.sink.take(ctx, id, "", "")
	switch v {
	case accept:
		fmt.Fprintf(c.w, "250 2.0.0 OK: counted %s\r\n", id)
	case throttle:
		c.w.WriteString("451 4.7.1 Too many messages\r\n")
	case temporary:
		c.w.WriteString("451 4.3.0 Try again\r\n")
	case permanent:
		c.w.WriteString("550 5.7.1 Refused\r\n")
	default:
		return false
	}
	return true
}

// ReadMessage reads up to the line of a single dot and gives the id in the header.
func ReadMessage(r *bufio.Reader) (id string, err error) {
	header, begins := true, true
	for {
		line, err := r.ReadSlice('\n')
		whole := err == nil
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		if begins && whole && string(line) == ".\r\n" {
			return id, nil
		}
		if header && begins {
			header = len(bytes.TrimRight(line, "\r\n")) > 0
			if n := len(message.IDHeader); len(line) > n && line[n] == ':' && strings.EqualFold(string(line[:n]), message.IDHeader) {
				id = message.IDPrefix(bytes.TrimLeft(line[n+1:], " \t"))
			}
		}
		begins = whole
	}
}
