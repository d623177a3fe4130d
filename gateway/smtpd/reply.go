package smtpd

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/smtpd/limit"
)

// maxHeld is how many bytes of replies wait for the end of a pipelined group.
const maxHeld = 16 << 10

// respond queues a reply line of the front.
func (f *front) respond(pieces ...string) {
	if f.out == nil {
		f.out = make([]byte, 0, 512)
	}
	for _, p := range pieces {
		f.out = append(f.out, p...)
	}
	f.out = append(f.out, "\r\n"...)
}

// refuseCommand answers a command with a 4xx or 5xx line and counts it.
func (f *front) refuseCommand(reply string) {
	f.respond(reply)
	f.count(reply)
	f.event(Event{Kind: Rejected, Command: f.verb, Reply: reply})
}

// refuseLast does so and ends the session.
func (f *front) refuseLast(reply string) {
	f.refuseCommand(reply)
	f.ended, f.linger = true, true
}

// count counts an error reply against the client. Refusals of a policy and what follows from them in
// a pipelined group are not its faults.
func (f *front) count(reply string) {
	switch {
	case f.verb == "RCPT" && f.mail:
		// A list with dead addresses is not an attack, and 452 4.5.3 asks for another transaction.
		if !strings.HasPrefix(reply, "452 4.5.3") {
			f.refused++
		}
	case f.policy, strings.HasPrefix(reply, "503"), strings.HasPrefix(reply, "554 5.5.1"):
		f.junk++
	case strings.HasPrefix(reply, "5"):
		f.errors++
	}
	f.policy = false
}

// flush sends what was said, as one write.
func (f *front) flush() error {
	if len(f.out) == 0 {
		return nil
	}
	if now := time.Now(); !f.hurried && f.writeBy.Sub(now) < writeMax {
		f.writeBy = now.Add(writeMax + writeSlack)
		f.raw.SetWriteDeadline(f.writeBy)
	}
	_, err := f.conn.Write(f.out)
	f.out = f.out[:0]
	if cap(f.out) > 4096 {
		f.out = nil
	}
	return err
}

// receive gets replies of go-smtp line by line.
func (f *front) receive(p []byte) {
	for len(p) > 0 {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			f.line = append(f.line, p...)
			return
		}
		whole := p[:i+1]
		if len(f.line) > 0 {
			f.line = append(f.line, whole...)
			whole = f.line
		}
		f.reply(strings.TrimRight(string(whole), "\r\n"))
		f.line = f.line[:0]
		p = p[i+1:]
	}
}

// reply passes a line of go-smtp on and tracks the state by it.
func (f *front) reply(line string) {
	if f.unheard {
		f.unheard = false
		return
	}
	if len(line) < 4 {
		f.respond(line)
		return
	}
	code, _ := strconv.Atoi(line[:3])
	if f.verb == "EHLO" && code == 250 {
		f.capabilities()
		f.mail = false // RFC 5321 4.1.4: as RSET
		f.limitNoise()
		return
	}
	f.respond(withStatus(f.verb, code, line))
	if line[3] == '-' {
		return
	}
	f.track(code, line)
	if len(f.out) > maxHeld && f.flush() != nil {
		f.ended = true
	}
}

// withStatus has the enhanced codes that RFC 3463 and RFC 4954 6 give these replies.
func withStatus(verb string, code int, line string) string {
	switch {
	case verb == "AUTH" && code == 235:
		return "235 2.7.0 Authentication succeeded"
	case verb == "MAIL" && code == 250:
		return "250 2.1.0 Sender OK"
	case verb == "RCPT" && code == 250:
		return "250 2.1.5 Recipient OK"
	}
	return line
}

// track follows the state of the transaction by the last line of a reply.
func (f *front) track(code int, line string) {
	if code >= 400 {
		f.count(line)
		f.event(Event{Kind: Rejected, Command: f.verb, Reply: line, Err: f.cause})
	}
	f.cause = nil
	switch {
	case f.verb == "MAIL" && code == 250:
		f.mail, f.rcpts, f.refused = true, 0, 0
	case f.verb == "RCPT" && code == 250:
		f.rcpts++
	case f.verb == "AUTH" && code == 334:
		f.challenge = true
	case f.verb == "AUTH" && code == 235:
		f.authed = true
	case f.verb == "DATA" && code == 250:
		f.errors, f.junk = 0, 0
		f.mail = false
	case f.verb == "DATA" && code != 354, f.verb == "RSET", f.verb == "HELO":
		f.mail = false
	case f.verb == "QUIT":
		f.ended = true
	}
	if code == 421 {
		f.ended, f.linger = true, true
	}
	f.limitNoise()
}

// capabilities is the reply to EHLO (RFC 5321 4.1.1.1): our domain, then what this client is offered.
func (f *front) capabilities() {
	lines := append(make([]string, 0, 12), f.cfg.Hostname+" Hello "+f.helo, "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES")
	if f.authOffered() {
		lines = append(lines, "AUTH PLAIN LOGIN", "AUTH=PLAIN LOGIN") // "=" is what clients older than RFC 2554 look for
	}
	lines = append(append(lines, "SMTPUTF8", "DSN"), f.srv.limits...)
	if f.cfg.TLS == TLSStart && f.tls == "" {
		lines = append(lines, "STARTTLS")
	}
	last := len(lines) - 1
	for _, line := range lines[:last] {
		f.respond("250-", line)
	}
	f.respond("250 ", lines[last])
}

// hurry limits the wait for a client that lost its place to read why.
func (f *front) hurry() {
	f.hurried = true
	f.raw.SetWriteDeadline(time.Now().Add(lingerMax))
}

// abort ends the session inside a message: what follows can only be the rest of it.
func (f *front) abort(err error) {
	if errors.Is(err, limit.ErrGaveWay) {
		f.hurry()
	}
	f.ended, f.linger = true, true
	f.r, f.w = 0, 0
	f.event(Event{Kind: Lost, Command: "DATA", Err: err})
}

var _ io.ReadWriteCloser = (*front)(nil)
