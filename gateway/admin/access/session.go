package access

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"
)

// How long links and sessions live, and how many there are of each.
const (
	LinkLifetime = 2 * time.Minute
	maxSession   = 12 * time.Hour // from the link that opened it
	maxIdle      = 2 * time.Hour  // since its last request
	maxLinks     = 16
	maxSessions  = 64
)

// key is the digest of a secret that a browser brings: the time it takes to find it tells nothing about it.
type key [sha256.Size]byte

func digest(secret string) key { return sha256.Sum256([]byte(secret)) }

// book has the links that nobody has opened yet, and the sessions.
type book struct {
	mu       sync.Mutex
	links    map[key]link
	sessions map[key]*session
}

type link struct {
	by   string
	ends time.Time
}

type session struct {
	by, csrf string
	account  string // whose browser opened it, as account says
	ends     time.Time
	used     time.Time
}

// Link makes a link that opens the page once, for the account named by, and returns its path. It is good for LinkLifetime.
func (c *Control) Link(by string) (path string) {
	token := rand.Text()
	b := &c.book
	b.mu.Lock()
	defer b.mu.Unlock()
	now := time.Now()
	maps.DeleteFunc(b.links, func(_ key, l link) bool { return !now.Before(l.ends) })
	dropOldest(b.links, maxLinks, func(l link) time.Time { return l.ends })
	b.links[digest(token)] = link{by, now.Add(LinkLifetime)}
	return loginPath + "?token=" + token
}

// open uses up a link and begins a session; false: there is no such link, or there was.
func (b *book) open(token, account string) (cookie string, s *session, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, k := time.Now(), digest(token)
	l, ok := b.links[k]
	delete(b.links, k)
	if !ok || !now.Before(l.ends) {
		return "", nil, false
	}
	maps.DeleteFunc(b.sessions, func(_ key, s *session) bool { return s.over(now) })
	dropOldest(b.sessions, maxSessions, func(s *session) time.Time { return s.used })
	cookie = rand.Text()
	s = &session{by: l.by, csrf: rand.Text(), account: account, ends: now.Add(maxSession), used: now}
	b.sessions[digest(cookie)] = s
	return cookie, s, true
}

// dropOldest makes room for one more.
func dropOldest[V any](m map[key]V, limit int, at func(V) time.Time) {
	if len(m) < limit {
		return
	}
	oldest := slices.MinFunc(slices.Collect(maps.Keys(m)), func(a, b key) int { return cmp.Or(at(m[a]).Compare(at(m[b])), slices.Compare(a[:], b[:])) })
	delete(m, oldest)
}

func (s *session) over(now time.Time) bool { return !now.Before(s.ends) || now.Sub(s.used) >= maxIdle }

// find returns the session of a cookie, which counts as used then; nil: there is none, or none any longer.
func (b *book) find(cookie string) *session {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, k := time.Now(), digest(cookie)
	s := b.sessions[k]
	if s == nil || s.over(now) {
		delete(b.sessions, k)
		return nil
	}
	s.used = now
	return s
}

func (b *book) end(cookie string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.sessions, digest(cookie))
}

// session returns the session of a request; nil: it has none. Browsers send a cookie to all ports of a host: what
// somebody else's server got that way is no good in the hands of another account.
func (c *Control) session(r *http.Request) *session {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil
	}
	s := c.book.find(cookie.Value)
	if s != nil && s.account != accountOf(r) {
		if c.cfg.Stolen != nil {
			c.cfg.Stolen(r.RemoteAddr)
		}
		return nil
	}
	return s
}

// accountField has the account that a request comes from, once it was looked up: that takes milliseconds, and several ask.
// Protect removes what a client has written there.
const accountField = "X-Mailhatch-Account"

// accountOf is account, asked once for a request.
func accountOf(r *http.Request) string {
	if known, ok := r.Header[accountField]; ok {
		return known[0]
	}
	a := account(r)
	r.Header[accountField] = []string{a}
	return a
}

// cookieName is what the cookie is called. With the prefix, browsers take it from this host by TLS only (RFC 6265bis
// section 4.1.3.2).
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-mailhatch"
	}
	return "mailhatch"
}
