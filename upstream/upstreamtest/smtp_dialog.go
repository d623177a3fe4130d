package upstreamtest

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
)

// command carries out one command and says whether the dialog goes on.
func (c *smtpSession) command(line string) bool {
	verb, args, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		return c.hello(line, args)
	case "HELO":
		c.helo = args
		return c.reply("250 relay.test")
	case "STARTTLS":
		return c.startTLS(line)
	case "AUTH":
		return c.auth(line, args)
	case "MAIL":
		return c.mailFrom(line)
	case "RCPT":
		return c.rcptTo(line)
	case "DATA":
		return c.data(line)
	case "RSET":
		c.mail = nil
		return c.answer(SMTPStep{Stage: SMTPRset, Line: line}, "250 2.0.0 flushed")
	case "NOOP":
		return c.reply("250 2.0.0 OK")
	case "QUIT":
		c.relay.mu.Lock()
		c.relay.quits++
		c.relay.mu.Unlock()
		c.answer(SMTPStep{Stage: SMTPQuit, Line: line}, "221 2.0.0 bye")
		return false
	case "*":
		return c.reply("501 5.7.0 cancelled")
	}
	c.relay.fault("unknown command %q", line)
	return c.reply("500 5.5.2 unknown command")
}

func (c *smtpSession) hello(line, name string) bool {
	if c.relay.options.HeloOnly {
		return c.reply("502 5.5.1 no EHLO here")
	}
	c.helo, c.mail = name, nil
	lines := append([]string{"relay.test"}, c.relay.extensions()...)
	if c.relay.options.TLS == "starttls" && !c.tls {
		lines = append(lines, "STARTTLS")
	}
	if len(c.relay.options.Users) > 0 || c.relay.options.Token != nil {
		mechanisms := c.relay.options.Mechanisms
		if mechanisms == nil {
			mechanisms = []string{"PLAIN", "LOGIN"}
		}
		lines = append(lines, "AUTH "+strings.Join(mechanisms, " "))
	}
	for i := range lines {
		sep := "-"
		if i == len(lines)-1 {
			sep = " "
		}
		lines[i] = "250" + sep + lines[i]
	}
	return c.answer(SMTPStep{Stage: SMTPEhlo, Line: line}, strings.Join(lines, "\n"))
}

func (c *smtpSession) startTLS(line string) bool {
	if c.relay.options.TLS != "starttls" || c.tls {
		return c.reply("502 5.5.1 no TLS")
	}
	refused, goOn := c.consult(SMTPStep{Stage: SMTPStartTLS, Line: line}, "220 2.0.0 go ahead")
	if !goOn || refused {
		return goOn
	}
	c.secure()
	c.r.Reset(c.conn)
	c.helo = ""
	return true
}

func (c *smtpSession) secure() {
	t := tls.Server(c.conn, c.relay.tls)
	c.conn, c.tls = t, true
}

func (c *smtpSession) auth(line, args string) bool {
	mechanism, initial, hasInitial := strings.Cut(args, " ")
	var user, password string
	var token bool
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		if !hasInitial {
			initial = c.challenge("")
		}
		if fields := strings.Split(smtpDecode(initial), "\x00"); len(fields) == 3 {
			user, password = fields[1], fields[2]
		}
	case "LOGIN":
		user = smtpDecode(c.challenge("Username:"))
		password = smtpDecode(c.challenge("Password:"))
	case "XOAUTH2":
		for field := range strings.SplitSeq(smtpDecode(initial), "\x01") {
			if v, ok := strings.CutPrefix(field, "user="); ok {
				user = v
			}
			if v, ok := strings.CutPrefix(field, "auth=Bearer "); ok {
				password = v
			}
		}
		token = true
	case "OAUTHBEARER":
		for field := range strings.SplitSeq(smtpDecode(initial), "\x01") {
			if v, ok := strings.CutPrefix(field, "n,a="); ok {
				user = strings.TrimSuffix(v, ",")
			}
			if v, ok := strings.CutPrefix(field, "auth=Bearer "); ok {
				password = v
			}
		}
		token = true
	default:
		return c.answer(SMTPStep{Stage: SMTPAuth, Line: line}, "504 5.5.4 unknown mechanism")
	}
	want, known := c.relay.options.Users[user]
	if token && c.relay.options.Token != nil {
		known, want = c.relay.options.Token(user, password), password
	}
	if token && (!known || want != password) {
		c.challenge(`{"status":"401","schemes":"bearer","scope":"mail"}`) // an empty line follows, or a byte
	}
	if !known || want != password {
		return c.answer(SMTPStep{Stage: SMTPAuth, Line: line}, "535 5.7.8 authentication failed")
	}
	refused, goOn := c.consult(SMTPStep{Stage: SMTPAuth, Line: line}, "235 2.7.0 welcome")
	if !refused {
		c.user = user
	}
	return goOn
}

func (c *smtpSession) challenge(text string) string {
	c.reply("334 " + base64.StdEncoding.EncodeToString([]byte(text)))
	line, _ := c.r.ReadString('\n')
	return strings.TrimSpace(line)
}

func smtpDecode(s string) string {
	b, _ := base64.StdEncoding.DecodeString(s)
	return string(b)
}

// smtpPath takes "MAIL FROM:<a@b> X=Y" apart; it finds the bracket that no quote hides.
func smtpPath(line, prefix string) (address string, params []string, ok bool) {
	if len(line) < len(prefix) || !strings.EqualFold(line[:len(prefix)], prefix) {
		return "", nil, false
	}
	rest := line[len(prefix):]
	quoted := false
	for i := 0; i < len(rest); i++ {
		switch {
		case quoted && rest[i] == '\\':
			i++
		case rest[i] == '"':
			quoted = !quoted
		case rest[i] == '>' && !quoted:
			return rest[:i], strings.Fields(rest[i+1:]), true
		case !quoted && (rest[i] == ' ' || rest[i] == '<'):
			return "", nil, false
		}
	}
	return "", nil, false
}

func (c *smtpSession) mailFrom(line string) bool {
	address, params, ok := smtpPath(line, "MAIL FROM:<")
	switch {
	case !ok:
		c.relay.fault("malformed %q", line)
		return c.reply("501 5.5.4 malformed")
	case c.mail != nil:
		c.relay.fault("MAIL inside a transaction")
		return c.reply("503 5.5.1 nested MAIL")
	case (len(c.relay.options.Users) > 0 || c.relay.options.Token != nil) && c.user == "":
		return c.reply("530 5.7.0 Authentication required")
	}
	c.checkParams(line, params, map[string]string{
		"SIZE": "SIZE", "BODY": "8BITMIME", "SMTPUTF8": "SMTPUTF8", "RET": "DSN", "ENVID": "DSN"})
	c.transaction++
	refused, goOn := c.consult(SMTPStep{Stage: SMTPMail, Address: address, Line: line}, "250 2.1.0 OK")
	if goOn && !refused {
		c.mail = &SMTPTransaction{Conn: c.number, TLS: c.tls, User: c.user, Helo: c.helo, From: address, MailParams: params}
	}
	return goOn
}

func (c *smtpSession) rcptTo(line string) bool {
	address, params, ok := smtpPath(line, "RCPT TO:<")
	if !ok || address == "" {
		c.relay.fault("malformed %q", line)
		return c.reply("501 5.5.4 malformed")
	}
	if c.mail == nil {
		return c.reply("503 5.5.1 MAIL first")
	}
	c.checkParams(line, params, map[string]string{"NOTIFY": "DSN", "ORCPT": "DSN"})
	refused, goOn := c.consult(SMTPStep{Stage: SMTPRcpt, Address: address, Line: line}, "250 2.1.5 OK")
	if goOn && !refused {
		c.mail.To = append(c.mail.To, SMTPRecipient{address, params})
	}
	return goOn
}

// checkParams notes parameters that need an extension which was not offered (RFC 5321 4.1.1.11).
func (c *smtpSession) checkParams(line string, params []string, need map[string]string) {
	for _, p := range params {
		name, _, _ := strings.Cut(p, "=")
		if extension, known := need[name]; !known || !c.relay.offers(extension) {
			c.relay.fault("parameter %s was not offered: %q", name, line)
		}
	}
	if !slices.Contains(params, "SMTPUTF8") && bytes.ContainsFunc([]byte(line), func(r rune) bool { return r > 0x7e }) && c.mail == nil {
		c.relay.fault("8-bit command without SMTPUTF8: %q", line)
	}
}

func (c *smtpSession) data(line string) bool {
	if c.mail == nil {
		return c.reply("503 5.5.1 MAIL first")
	}
	if len(c.mail.To) == 0 {
		return c.answer(SMTPStep{Stage: SMTPData, Line: line}, "554 5.5.1 no valid recipients") && c.emptied()
	}
	refused, goOn := c.consult(SMTPStep{Stage: SMTPData, Line: line}, "354 go ahead")
	if !goOn || refused {
		return goOn
	}
	if re := c.decide(SMTPStep{Stage: SMTPBody}); re != (SMTPReaction{}) {
		if re.Reply != "" {
			c.reply(re.Reply)
		}
		if re.Stall {
			<-c.relay.done
			return false
		}
		if re.Drop {
			return false
		}
	}
	if !c.message() {
		return false
	}
	mail := *c.mail
	c.mail = nil
	re := c.decide(SMTPStep{Stage: SMTPDot})
	if most := c.relay.options.MaxLine; most > 0 && c.longest > most && re == (SMTPReaction{}) {
		re.Reply = fmt.Sprintf("554 5.6.0 a line of %d octets; RFC 5321 4.5.3.1.6 allows %d", c.longest, most)
	}
	mail.Answered = !re.silent()
	return c.apply(re, c.relay.accept(mail, !re.refuses()))
}

// emptied reads the lone dot after a 354 for no one (RFC 2920 3.1); the script must have given it.
func (c *smtpSession) emptied() bool {
	if !strings.HasPrefix(c.decide(SMTPStep{Stage: SMTPData}).Reply, "354") {
		return true
	}
	if !c.message() {
		return false
	}
	if len(c.mail.Data) > 0 {
		c.relay.fault("a message for no recipient: %q", c.mail.Data)
	}
	c.mail = nil
	return c.reply("554 5.5.1 no valid recipients")
}

// message reads up to CRLF.CRLF and nothing else (RFC 5321 4.1.1.4).
func (c *smtpSession) message() bool {
	c.longest = 0
	length := 0
	for begin, cr := true, false; ; { // cr: the piece of a long line before this one ended in CR
		line, err := c.r.ReadSlice('\n')
		whole := err == nil
		if err != nil && len(line) < c.r.Size() {
			return false
		}
		clean := bytes.HasSuffix(line, []byte("\r\n")) || (cr && len(line) == 1)
		cr = !whole && line[len(line)-1] == '\r'
		if i := bytes.IndexByte(line, '\r'); i >= 0 && i < len(line)-2 && !cr || (whole && !clean) {
			c.relay.fault("lone CR or LF in the message: %.80q", line)
		}
		if begin && clean && len(line) == 3 && line[0] == '.' {
			return true
		}
		if begin && line[0] == '.' {
			line = line[1:]
		}
		length += len(line)
		if whole {
			c.longest, length = max(c.longest, length-len("\r\n")), 0
		}
		if !c.relay.options.Discard {
			c.mail.Data = append(c.mail.Data, line...)
		}
		begin = whole
	}
}
