package smtpd

import (
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

// next gets a command that go-smtp may see into f.pending, answering the others itself.
func (f *front) next() error {
	for {
		if f.ended {
			return io.EOF
		}
		raw, err := f.readLine()
		if errors.Is(err, errBareLF) {
			f.refuseCommand("500 5.5.2 Lines must end in CRLF")
			f.limitNoise()
			continue
		}
		if err != nil {
			return err
		}
		line := string(raw)
		if f.challenge {
			f.challenge = false
			f.forward(saslResponse(line))
			return nil
		}
		verb, arg, _ := strings.Cut(strings.TrimRight(line, " \t"), " ")
		if f.command(strings.ToUpper(verb), strings.TrimSpace(arg), line) {
			return nil
		}
		f.limitNoise()
	}
}

// saslResponse is what go-smtp gets for a line of the client in AUTH: something broken cancels, so
// that the answer is 501 (RFC 4954 4).
func saslResponse(line string) string {
	if line != "=" && line != "*" {
		if _, err := base64.StdEncoding.DecodeString(line); err != nil {
			return "*"
		}
	}
	return line
}

// forward hands go-smtp a line.
func (f *front) forward(pieces ...string) {
	f.pending = f.pending[:0]
	for _, p := range pieces {
		f.pending = append(f.pending, p...)
	}
	f.pending = append(f.pending, "\r\n"...)
}

// command answers a command, or has go-smtp answer it and returns true.
func (f *front) command(verb, arg, line string) bool {
	f.verb = verb
	if strings.IndexFunc(line, isControl) >= 0 {
		f.verb = "?"
		f.refuseCommand("500 5.5.2 Control character in a command")
		return false
	}
	switch verb {
	case "EHLO", "HELO":
		return f.greeting(arg)
	case "MAIL":
		return f.mailFrom(arg)
	case "RCPT":
		return f.rcptTo(arg)
	case "DATA":
		return f.data(arg)
	case "AUTH":
		return f.auth(arg)
	case "STARTTLS":
		f.startTLS(arg)
	case "BDAT":
		f.skipChunk(arg)
	case "RSET", "NOOP", "QUIT":
		f.junk++
		f.forward(verb)
		return true
	case "VRFY":
		f.junk++
		f.respond("252 2.5.0 Cannot verify, but will take a message and try")
	case "HELP":
		f.junk++
		f.respond("214 2.0.0 RFC 5321: HELO EHLO MAIL RCPT DATA RSET NOOP QUIT VRFY STARTTLS AUTH")
	case "EXPN", "TURN", "ETRN", "SEND", "SOML", "SAML":
		f.refuseCommand("502 5.5.1 " + verb + " is not implemented")
	case "XCLIENT", "XFORWARD":
		f.refuseCommand("550 5.7.0 " + verb + " is not allowed")
	default:
		if foreignVerb(verb) || httpLine(line) {
			f.notSMTP(oneLine(verb), "421 4.7.0 "+f.cfg.Hostname+" This is an SMTP server")
			return false
		}
		f.verb = "?"
		f.refuseCommand("500 5.5.2 Command not recognized")
	}
	return false
}

func isControl(r rune) bool { return r != '\t' && unicode.IsControl(r) }

// limitNoise ends sessions that only make noise.
func (f *front) limitNoise() {
	if !f.ended && (f.errors > f.cfg.MaxErrors || f.junk > maxJunk) {
		f.refuseLast("421 4.7.0 " + f.cfg.Hostname + " Too many errors or idle commands")
	}
}

// greeting takes EHLO or HELO. Its argument is the name that a machine has for itself, which
// may be anything; only what could do harm in a header is masked.
func (f *front) greeting(arg string) bool {
	name, _, _ := strings.Cut(arg, " ")
	if name == "" && f.cfg.HeloOptional {
		name = noName
	}
	if name == "" {
		f.refuseCommand("501 5.5.4 " + f.verb + " needs a name")
		return false
	}
	if len(name) > 255 {
		f.refuseCommand("501 5.5.4 The name is too long")
		return false
	}
	name = strings.Map(maskHelo, name)
	f.junk++
	f.helo, f.esmtp, f.introduced = name, f.verb == "EHLO", true
	f.forward("HELO ", name) // the words of EHLO's reply are the front's own
	return true
}

// noName is what a client is called that has no name for itself.
const noName = "unknown"

// maskHelo lets host names and address literals through.
func maskHelo(r rune) rune {
	if r < utf8.RuneSelf && (unicode.IsLetter(r) || unicode.IsDigit(r)) || strings.ContainsRune(".:[]!#$%&'*+-/=?^_`{|}~", r) {
		return r
	}
	return '?'
}

// readyForMail checks what must come before a transaction.
func (f *front) readyForMail() bool {
	switch {
	case f.helo == "" && !f.cfg.HeloOptional:
		f.refuseCommand("503 5.5.1 Send EHLO or HELO first")
	case f.cfg.Auth == AuthRequired && !f.loggedIn() && !f.authOffered() && f.cfg.TLS == TLSStart && f.tls == "":
		f.refuseCommand("530 5.7.0 Send STARTTLS first, then log in")
	case f.cfg.Auth == AuthRequired && !f.loggedIn():
		f.refuseCommand("530 5.7.0 Authentication required")
	default:
		return true
	}
	return false
}

// mailFrom checks MAIL and hands go-smtp a line whose path needs no interpretation.
func (f *front) mailFrom(arg string) bool {
	if !f.readyForMail() {
		return false
	}
	if f.mail {
		f.refuseCommand("503 5.5.1 A transaction is already open: send RSET first")
		return false
	}
	rest, ok := cutKeyword(arg, "FROM")
	if !ok {
		f.refuseCommand("501 5.5.4 Syntax: MAIL FROM:<address>")
		return false
	}
	text, rest, err := cutPath(rest)
	if err != nil {
		f.refuseCommand("501 5.1.7 " + sentence(err))
		return false
	}
	params, reply := f.mailParams(rest)
	if reply != "" {
		f.refuseCommand(reply)
		return false
	}
	f.address, f.bare = "", ""
	if text != "" && !f.setPath(text, "5.1.7") {
		return false
	}
	hello := ""
	if !f.introduced {
		hello = "HELO " + noName + "\r\n" // go-smtp wants one
		f.introduced, f.unheard = true, true
	}
	f.forward(hello, "MAIL FROM:<", f.address, ">", params)
	return true
}

// rcptTo does the same for RCPT.
func (f *front) rcptTo(arg string) bool {
	if !f.readyForMail() {
		return false
	}
	if !f.mail {
		f.refuseCommand("503 5.5.1 Send MAIL first")
		return false
	}
	if f.refused > max(f.cfg.MaxRecipients, maxRefused) {
		f.refuseLast("421 4.7.0 " + f.cfg.Hostname + " Too many refused recipients")
		return false
	}
	rest, ok := cutKeyword(arg, "TO")
	if !ok {
		f.refuseCommand("501 5.5.4 Syntax: RCPT TO:<address>")
		return false
	}
	text, rest, err := cutPath(rest)
	if err != nil {
		f.address = ""
		f.refuseCommand("501 5.1.3 " + sentence(err))
		return false
	}
	if !f.setPath(text, "5.1.3") {
		return false
	}
	params, reply := cutParams(rest, "NOTIFY ORCPT")
	if reply != "" {
		f.refuseCommand(reply)
		return false
	}
	f.forward("RCPT TO:<", f.address, ">", params)
	return true
}

// data lets DATA through when there is someone to send to.
func (f *front) data(arg string) bool {
	switch {
	case !f.readyForMail():
	case arg != "":
		f.refuseCommand("501 5.5.4 DATA takes no argument")
	case !f.mail:
		f.refuseCommand("503 5.5.1 Send MAIL first")
	case f.rcpts == 0:
		f.refuseCommand("554 5.5.1 No valid recipients")
	default:
		f.forward("DATA")
		return true
	}
	return false
}
