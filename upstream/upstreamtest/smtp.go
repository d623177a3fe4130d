package upstreamtest

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// SMTPStage is a point of the dialog at which a script may interfere.
type SMTPStage string

// The stages. At SMTPBody DATA has been allowed and nothing of the message been read; at SMTPDot all
// of it has.
const (
	SMTPGreeting SMTPStage = "greeting"
	SMTPEhlo     SMTPStage = "ehlo"
	SMTPStartTLS SMTPStage = "starttls"
	SMTPAuth     SMTPStage = "auth"
	SMTPMail     SMTPStage = "mail"
	SMTPRcpt     SMTPStage = "rcpt"
	SMTPData     SMTPStage = "data"
	SMTPBody     SMTPStage = "body"
	SMTPDot      SMTPStage = "dot"
	SMTPRset     SMTPStage = "rset"
	SMTPQuit     SMTPStage = "quit"
)

// SMTPStep is what the relay is about to answer.
type SMTPStep struct {
	Conn        int // connections count from 1
	Transaction int // MAIL commands on this connection, from 1
	Stage       SMTPStage
	Address     string // of MAIL and RCPT
	Line        string // the command
}

// SMTPReaction is the script's answer; the zero value lets the relay answer as it would.
type SMTPReaction struct {
	Reply string        // sent instead of the relay's own, "\n" between lines; 4yz and 5yz refuse
	Drop  bool          // close the connection, after Reply where there is one
	Stall bool          // say nothing until Close
	Delay time.Duration // before anything else
	Mute  bool          // no reply, and the dialog goes on
	Extra string        // one reply too many, in one piece with the one before it
	Late  bool          // Extra comes in one piece with the reply after it
}

// SMTPOptions say how the relay behaves.
type SMTPOptions struct {
	TLS        string                         // "", "starttls", "implicit"
	Users      map[string]string              // with passwords; when there are any, mail needs AUTH
	Mechanisms []string                       // offered; default PLAIN and LOGIN; XOAUTH2 and OAUTHBEARER are known too
	Token      func(user, access string) bool // judges the tokens of these two, where Users does not
	Extensions []string                       // EHLO lines; nil: PIPELINING SIZE 8BITMIME SMTPUTF8 DSN ENHANCEDSTATUSCODES
	HeloOnly   bool                           // EHLO is refused
	MaxLine    int                            // octets of a line of a message that is taken, without CRLF; 0: any
	React      func(SMTPStep) SMTPReaction    // called from many goroutines at once
	Discard    bool                           // keep no data of messages, for load
	Keyed      bool                           // a message is known again by Resend-Idempotency-Key, which each must have
}

// SMTPTransaction is a message that the relay has taken.
type SMTPTransaction struct {
	Conn       int
	TLS        bool
	User       string
	Helo       string
	From       string
	MailParams []string // "SIZE=12", as sent
	To         []SMTPRecipient
	Data       []byte // dots removed
	Answered   bool   // false when the reply to the final dot was withheld
}

// SMTPRecipient is an accepted RCPT.
type SMTPRecipient struct {
	Address string
	Params  []string // "NOTIFY=NEVER", as sent
}

// SMTP is a strict relay on loopback that follows a script and records what it is given.
type SMTP struct {
	Host   string // 127.0.0.1
	Port   int
	CAFile string // PEM of the authority behind the certificate for Host and localhost; "" without TLS

	options  SMTPOptions
	tls      *tls.Config
	listener net.Listener
	done     chan struct{}
	work     sync.WaitGroup

	mu     sync.Mutex
	conns  map[net.Conn]bool
	dialed int
	quits  int
	taken  []SMTPTransaction
	count  int
	faults []string

	replays map[string]smtpReplay // by key
}

// NewSMTP starts a relay that ends with the test.
func NewSMTP(tb testing.TB, options SMTPOptions) *SMTP {
	tb.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	s := &SMTP{
		Host: "127.0.0.1", Port: listener.Addr().(*net.TCPAddr).Port,
		options: options, listener: listener, done: make(chan struct{}), conns: map[net.Conn]bool{}, replays: map[string]smtpReplay{},
	}
	if options.TLS != "" {
		s.CAFile, s.tls = Certificate(tb)
	}
	s.work.Go(s.serve)
	tb.Cleanup(s.Close)
	return s
}

// Close ends all connections and waits for them.
func (s *SMTP) Close() {
	s.mu.Lock()
	select {
	case <-s.done:
	default:
		close(s.done)
	}
	_ = s.listener.Close()
	for c := range s.conns {
		_ = c.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
}

// DropAll closes the connections that are open, as an idle timeout of the relay does.
func (s *SMTP) DropAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_ = c.Close()
	}
}

// Say sends a reply nobody asked for on the connections that are open.
func (s *SMTP) Say(reply string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		_, _ = c.Write([]byte(reply + "\r\n"))
	}
}

// Taken returns the messages taken so far.
func (s *SMTP) Taken() []SMTPTransaction {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.taken)
}

// Count returns their number, also with Discard.
func (s *SMTP) Count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count
}

// Dialed returns the number of connections so far, Quits that of those which ended with QUIT.
func (s *SMTP) Dialed() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.dialed
}

// Quits returns the number of QUIT commands.
func (s *SMTP) Quits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.quits
}

// Faults returns the breaches of protocol that were seen: lone CR or LF, commands out of order,
// commands sent ahead without PIPELINING, parameters that were not offered.
func (s *SMTP) Faults() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.faults)
}

func (s *SMTP) fault(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, fmt.Sprintf(format, args...))
}

func (s *SMTP) serve() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		s.dialed++
		session := &smtpSession{relay: s, conn: conn, number: s.dialed}
		s.conns[conn] = true
		s.mu.Unlock()
		s.work.Go(func() {
			session.run()
			_ = conn.Close()
			s.mu.Lock()
			delete(s.conns, conn)
			s.mu.Unlock()
		})
	}
}

func (s *SMTP) extensions() []string {
	if s.options.Extensions != nil {
		return s.options.Extensions
	}
	return []string{"PIPELINING", "SIZE 41943040", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES"}
}

func (s *SMTP) offers(name string) bool {
	return slices.ContainsFunc(s.extensions(), func(line string) bool {
		keyword, _, _ := strings.Cut(line, " ")
		return strings.EqualFold(keyword, name)
	})
}

// smtpSession is one connection.
type smtpSession struct {
	relay  *SMTP
	conn   net.Conn
	number int
	r      *bufio.Reader

	tls         bool
	helo, user  string
	transaction int
	mail        *SMTPTransaction // between MAIL and the final dot
	late        string           // stands before the next reply
	longest     int              // octets of a line of the last message
}

func (c *smtpSession) run() {
	if c.relay.options.TLS == "implicit" {
		c.secure()
	}
	c.r = bufio.NewReaderSize(c.conn, 64<<10)
	if !c.answer(SMTPStep{Stage: SMTPGreeting}, "220 relay.test ESMTP") {
		return
	}
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return
		}
		text, clean := strings.CutSuffix(line, "\r\n")
		if !clean || strings.ContainsAny(text, "\r\n\x00") {
			c.relay.fault("command with a lone CR, LF or NUL: %q", line)
		}
		if c.r.Buffered() > 0 && !c.relay.offers("PIPELINING") {
			c.relay.fault("sent ahead without PIPELINING after %q", text)
		}
		if !c.command(text) {
			return
		}
	}
}

// answer asks the script and replies; it says whether the dialog goes on. ok is the relay's own reply.
func (c *smtpSession) answer(step SMTPStep, ok string) bool {
	_, goOn := c.consult(step, ok)
	return goOn
}

// consult says in refused whether the script replaced a success.
func (c *smtpSession) consult(step SMTPStep, ok string) (refused, goOn bool) {
	re := c.decide(step)
	return re.refuses(), c.apply(re, ok)
}

func (c *smtpSession) decide(step SMTPStep) SMTPReaction {
	step.Conn, step.Transaction = c.number, c.transaction
	if c.relay.options.React == nil {
		return SMTPReaction{}
	}
	return c.relay.options.React(step)
}

func (re SMTPReaction) refuses() bool {
	return re.Reply != "" && re.Reply[0] != '2' && re.Reply[0] != '3'
}

// silent reports whether the client gets no reply.
func (re SMTPReaction) silent() bool { return re.Stall || (re.Drop && re.Reply == "") }

func (c *smtpSession) apply(re SMTPReaction, ok string) (goOn bool) {
	if re.Delay > 0 {
		select {
		case <-time.After(re.Delay):
		case <-c.relay.done:
		}
	}
	if re.Stall {
		<-c.relay.done
	}
	if re.silent() {
		return false
	}
	if re.Reply != "" {
		ok = re.Reply
	}
	if re.Extra != "" && !re.Late {
		ok += "\n" + re.Extra
	}
	if re.Mute {
		ok = ""
	}
	goOn = c.reply(ok) && !re.Drop
	if re.Late {
		c.late = re.Extra + "\n"
	}
	return goOn
}

func (c *smtpSession) reply(text string) bool {
	if text == "" {
		return true
	}
	text, c.late = c.late+text, ""
	_, err := c.conn.Write([]byte(strings.ReplaceAll(text, "\n", "\r\n") + "\r\n"))
	return err == nil
}
