// Package access decides who may ask the admin server what: anybody for what names nobody, programs that know the
// token, people who opened the page by a one-time link, and whoever may open the admin socket.
//
// A link is asked for over the admin socket (Control.Link) and opened in a browser: GET /login?token=… answers with a
// cookie and leads to the page. It is good once, for LinkLifetime. The cookie is HttpOnly and SameSite=Strict, and names
// a session that is kept in memory alone. POST /logout ends it.
//
// Every request on an address passes Protect, which makes sure that it was sent by a program or by a page of this
// server: another page in the same browser has another Origin (RFC 6454), one whose name was made to point here (DNS
// rebinding) another Host. A form of the page repeats the token of its session (Caller.CSRF), so that a browser that
// tells nothing about where a request comes from does not help a stranger either.
package access

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/backoff"
	"mailhatch/upstream"
)

// Level is how much a caller may see and do. Each level may do what those below it may.
type Level int

// The levels.
const (
	Anybody Level = iota // health and metrics, which name nobody
	Program              // knows the token: sees who mails whom, and steers; reads no mail
	Person               // came by a one-time link: reads mail as well
	Owner                // may open the admin socket: everything
)

// Caller is who makes a request.
type Caller struct {
	Level Level
	By    string // for the record of what operators do: "token", "page: root"; of an Owner what the connection says of its peer
	CSRF  string // of a Person: their forms repeat it in the field FormToken, their scripts in the header HeaderToken
}

// Where a request of a page repeats the token of its session.
const (
	FormToken   = "csrf"         // field of a form of type application/x-www-form-urlencoded
	HeaderToken = "X-CSRF-Token" // else
)

// Config is what a Control depends on; all may be missing.
type Config struct {
	Token   func() upstream.Secret  // of programs; nil or zero: there is none
	Guard   *backoff.Guard          // against guessed tokens; nil means one of its own
	Guessed func(client string)     // is told of wrong tokens
	Opened  func(by, client string) // is told of links that were opened
	Stolen  func(client string)     // is told of cookies that come from another account than the one they were given to
}

// Control tells callers apart. Make one with New.
type Control struct {
	cfg  Config
	book book
}

// New returns a Control without links and sessions.
func New(cfg Config) *Control {
	if cfg.Guard == nil {
		cfg.Guard = backoff.New(time.Second, nil)
	}
	return &Control{cfg: cfg, book: book{links: map[key]link{}, sessions: map[key]*session{}}}
}

// Caller returns who makes a request; a wrong token or cookie makes nobody of them. It may be asked again while a
// long answer lasts: after the end of the session it returns Anybody.
func (c *Control) Caller(r *http.Request) Caller {
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok && local.Network() == "unix" {
		return Caller{Level: Owner, By: r.RemoteAddr}
	}
	if given, ok := authorization(r); ok {
		if c.isToken(given) {
			return Caller{Level: Program, By: "token"}
		}
		return Caller{}
	}
	if s := c.session(r); s != nil {
		return Caller{Level: Person, By: "page: " + s.by, CSRF: s.csrf}
	}
	return Caller{}
}

// authorization returns the bearer token of a request (RFC 6750 section 2.1): "" for another scheme; false when it brings
// no credentials of this kind.
func authorization(r *http.Request) (token string, ok bool) {
	field := r.Header.Get("Authorization")
	scheme, token, _ := strings.Cut(field, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return "", field != ""
	}
	return strings.TrimSpace(token), true
}

func (c *Control) token() string {
	if c.cfg.Token == nil {
		return ""
	}
	return c.cfg.Token().Reveal()
}

func (c *Control) isToken(given string) bool {
	token := c.token()
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(given))
	return token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
}

// Admit reports whether a request may have what takes that level; one that may not is answered.
func (c *Control) Admit(w http.ResponseWriter, r *http.Request, level Level) bool {
	caller := c.Caller(r)
	if caller.Level >= level {
		return true
	}
	switch {
	case caller.Level > Anybody:
		refuse(w, r, http.StatusForbidden, "the token is not enough for this: it is there for people who open the page (mailhatch page), and over the admin socket")
	case wantsPage(r):
		refusePage(w, r)
	case c.token() == "":
		refuse(w, r, http.StatusForbidden, "who mails whom is shown over the admin socket, and to people who open the page (mailhatch page); "+
			"programs can ask here once [admin] has a token")
	case c.guessed(w, r):
		refuse(w, r, http.StatusTooManyRequests, "too many wrong tokens, try again later")
	default:
		w.Header().Set("WWW-Authenticate", `Bearer realm="mailhatch"`)
		refuse(w, r, http.StatusUnauthorized, "this needs the token of [admin], as Authorization: Bearer TOKEN")
	}
	return false
}

// guessed counts a wrong token, and reports whether others were too fresh for it to be looked at. The right one always
// passes: it is too long to be guessed, and a guesser must not keep its owner out.
func (c *Control) guessed(w http.ResponseWriter, r *http.Request) (tooFast bool) {
	if _, given := authorization(r); !given {
		return false
	}
	const user = "token of [admin]"
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	if wait := c.cfg.Guard.Wait(user, client); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(1+int(wait/time.Second)))
		return true
	}
	c.cfg.Guard.Failed(user, client)
	if c.cfg.Guessed != nil {
		c.cfg.Guessed(client)
	}
	return false
}
