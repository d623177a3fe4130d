package smtpd

import (
	"encoding/base64"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/smtpd/limit"
)

// hasAuth reports whether clients of this listener can log in at all.
func (f *front) hasAuth() bool {
	return f.cfg.AcceptAnyAuth || f.cfg.Auth != AuthNone && f.cfg.Auth != "" && f.cfg.Authenticate != nil
}

// authOffered reports whether a password may be sent now: over TLS, or without leaving the machine, or where
// it proves nothing or the listener says so.
func (f *front) authOffered() bool {
	return f.hasAuth() && (f.tls != "" || f.cfg.AcceptAnyAuth || f.cfg.AuthInClear || f.cfg.AllowInsecureAuth && f.local())
}

// loggedIn reports whether the client has done what the listener requires of it.
func (f *front) loggedIn() bool { return f.user != "" || f.cfg.AcceptAnyAuth && f.authed }

// local reports whether the peer is on this machine, and so is the proxy that speaks for it.
func (f *front) local() bool {
	isLocal := func(a netip.Addr) bool { return !a.IsValid() || a.IsLoopback() }
	return isLocal(f.peer) && isLocal(addrOf(f.raw.RemoteAddr()))
}

// auth checks AUTH before go-smtp runs the exchange.
func (f *front) auth(arg string) bool {
	words := strings.Fields(arg)
	switch {
	case f.helo == "":
		f.refuseCommand("503 5.5.1 Send EHLO first")
	case !f.hasAuth():
		f.refuseCommand("502 5.5.1 AUTH is not offered")
	case !f.authOffered():
		f.refuseCommand("538 5.7.11 AUTH needs TLS: send STARTTLS first")
	case f.authed:
		f.refuseCommand("503 5.5.1 Already authenticated")
	case f.mail:
		f.refuseCommand("503 5.5.1 Not allowed in a transaction")
	case len(words) == 0 || len(words) > 2:
		f.refuseCommand("501 5.5.4 Syntax: AUTH mechanism")
	case len(words) == 2 && !isBase64(words[1]):
		f.refuseCommand("501 5.5.2 Malformed base64")
	default:
		f.forward("AUTH " + strings.Join(words, " "))
		return true
	}
	return false
}

func isBase64(s string) bool {
	_, err := base64.StdEncoding.DecodeString(s)
	return s == "=" || err == nil
}

// AuthMechanisms is what go-smtp would name in a reply to EHLO: the front answers that.
func (s *session) AuthMechanisms() []string { return nil }

// Auth begins an exchange.
func (s *session) Auth(mech string) (sasl.Server, error) {
	switch mech {
	case sasl.Plain:
		return plainServer{sasl.NewPlainServer(func(identity, user, password string) error {
			if identity != "" && identity != user && !s.f.cfg.AcceptAnyAuth {
				return s.failed(user, nil)
			}
			return s.login(user, password)
		})}, nil
	case sasl.Login:
		return &loginServer{login: s.login}, nil
	}
	return nil, &smtp.SMTPError{Code: 504, EnhancedCode: smtp.EnhancedCode{5, 5, 4}, Message: "Mechanism not offered"}
}

// login asks whether the password is right.
func (s *session) login(user, password string) (err error) {
	f := s.f
	defer s.contain(&err)
	if f.cfg.AcceptAnyAuth {
		return nil
	}
	if user == "" {
		return s.failed(user, nil)
	}
	source := f.source()
	if err := s.check(user, password, source); err != nil {
		return s.failed(user, err)
	}
	f.user, f.authFail = user, 0
	f.identified()
	f.event(Event{Kind: AuthOK, User: user})
	return nil
}

// source is where a guesser is: its address, or its account where a unix socket names it.
func (f *front) source() string {
	if f.peer.IsValid() {
		return limit.Network(f.peer).String()
	}
	return f.user
}

// errTooSoon is for a login that was not tried, as others have failed before it.
var errTooSoon = &envelope.Reply{Code: 454, Enhanced: [3]int{4, 7, 0}, Text: "Too many failed logins, try again later"}

// check asks once the guard lets it, for which the client has to wait, and there is a slot. What comes
// while too many wait is not tried.
func (s *session) check(user, password, source string) error {
	srv, ctx := s.f.srv, s.f.ctx
	for patience := maxLoginWait; ; {
		asked, wait, err := s.ask(user, password, source)
		if asked || err != nil {
			return err
		}
		if patience -= wait; patience < 0 {
			return errTooSoon
		}
		select {
		case srv.delayed <- struct{}{}:
		default:
			return errTooSoon
		}
		t := time.NewTimer(wait)
		select {
		case <-t.C:
		case <-ctx.Done():
			err = ctx.Err()
		}
		t.Stop()
		<-srv.delayed
		if err != nil {
			return err
		}
	}
}

// ask checks the password if the guard allows it now, else returns how long to wait.
func (s *session) ask(user, password, source string) (asked bool, wait time.Duration, err error) {
	f := s.f
	select {
	case f.srv.logins <- struct{}{}:
	case <-f.ctx.Done():
		return false, 0, f.ctx.Err()
	}
	defer func() { <-f.srv.logins }()
	// Only now: those who waited for the slot may have failed meanwhile.
	if wait := f.cfg.Guard.Wait(user, source); wait > 0 {
		return false, wait, nil
	}
	err = f.cfg.Authenticate(f.ctx, user, password, f.peer)
	var r *envelope.Reply
	switch {
	case err == nil:
		f.cfg.Guard.Succeeded(user, source)
	case !errors.As(err, &r): // else it was not the password
		f.cfg.Guard.Failed(user, source)
	}
	return true, 0, err
}

// failed counts a failure of the session.
func (s *session) failed(user string, err error) error {
	f := s.f
	f.authFail++
	if !errors.Is(err, errTooSoon) { // its reply is an event of its own
		f.event(Event{Kind: AuthFailed, User: oneLine(user), Err: err})
	}
	if f.authFail >= maxAuthFails {
		return &smtp.SMTPError{Code: 421, EnhancedCode: smtp.EnhancedCode{4, 7, 0}, Message: "Too many failed logins"}
	}
	var r *envelope.Reply
	if errors.As(err, &r) && r.Code >= 400 {
		return asSMTP(r)
	}
	return &smtp.SMTPError{Code: 535, EnhancedCode: smtp.EnhancedCode{5, 7, 8}, Message: "Authentication credentials invalid"}
}

// badResponse answers a response that is not what the mechanism wants (RFC 4954 4).
func badResponse() error {
	return &smtp.SMTPError{Code: 501, EnhancedCode: smtp.EnhancedCode{5, 5, 2}, Message: "Malformed response"}
}

// plainServer is RFC 4616 with errors that go-smtp can send.
type plainServer struct{ sasl.Server }

func (p plainServer) Next(response []byte) (challenge []byte, done bool, err error) {
	challenge, done, err = p.Server.Next(response)
	if _, ok := err.(*smtp.SMTPError); err != nil && !ok {
		err = badResponse()
	}
	return challenge, done, err
}

// loginServer is the LOGIN mechanism (draft-murchison-sasl-login-00), which old devices know alone.
type loginServer struct {
	login func(user, password string) error
	step  int
	user  string
}

func (l *loginServer) Next(response []byte) (challenge []byte, done bool, err error) {
	l.step++
	switch {
	case l.step == 1 && response == nil:
		return []byte("Username:"), false, nil
	case l.user == "" && l.step <= 2:
		if len(response) == 0 {
			return nil, false, badResponse()
		}
		l.user = string(response)
		return []byte("Password:"), false, nil
	}
	return nil, true, l.login(l.user, string(response))
}
