package oauth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"mailhatch/upstream"
)

// Source has the token of one upstream. Its methods may be called from many goroutines at once; one of them renews
// the token for all.
type Source struct {
	name         string
	settings     *Settings
	purpose      Purpose
	grant        grant
	secretExpiry time.Time // of what the application proves itself with; zero: unknown
	tokenDir     string
	store        store
	client       *http.Client
	now          func() time.Time
	busy         chan struct{} // holds one value while a token is being renewed
	renewed      chan struct{} // one token: there is a new one

	mu         sync.Mutex
	current    token
	loaded     bool            // from the store
	unreadable error           // why not
	unsaved    error           // why the store does not have it; nil: it does
	kept       bool            // Run renews it in time
	refused    string          // an access token that the far side refused
	failure    *upstream.Error // of the last renewal
	notAgain   time.Time       // until then it is the answer
}

// Token returns an access token that is good for the next seconds. Where it is time to renew it and Run does not do so,
// the first who asks does, and the others get the old one as long as it is valid.
func (s *Source) Token(ctx context.Context) (string, *upstream.Error) {
	t := s.get(ctx)
	if s.isFresh(t) {
		return t.Access, nil
	}
	if s.isUsable(t) {
		if s.isKept() {
			return t.Access, nil
		}
		select {
		case s.busy <- struct{}{}:
		default:
			return t.Access, nil
		}
	} else {
		select {
		case s.busy <- struct{}{}:
		case <-ctx.Done():
			return "", &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("no token in time: %w", ctx.Err())}
		}
	}
	defer func() { <-s.busy }()
	return s.renew(ctx)
}

// Refused tells that the far side did not take a token. The next call of Token gets another one; one that is
// refused at once again is not replaced: then it is not the token that is wrong.
func (s *Source) Refused(access string) (again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if access == "" || access != s.current.Access {
		return access != "" // it was renewed since
	}
	if s.now().Sub(s.current.Obtained) < s.current.Expiry.Sub(s.current.Obtained)/100 {
		return false
	}
	s.refused = access
	return true
}

func (s *Source) get(ctx context.Context) token {
	s.mu.Lock()
	t, loaded := s.current, s.loaded
	s.mu.Unlock()
	if loaded {
		return t
	}
	return s.load(ctx)
}

// load takes up what is stored, unless there is something newer, and returns what is in use then.
func (s *Source) load(ctx context.Context) token {
	stored, err := s.store.load(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loaded, s.unreadable = true, err
	isNewer := stored.version > s.current.version || s.current.Access == ""
	switch {
	case err != nil || !isNewer:
	case stored.For == s.settings.fingerprint(s.purpose):
		s.current, s.failure, s.unsaved = stored, nil, nil
	default:
		s.current.version = max(s.current.version, stored.version) // it is to be replaced
	}
	return s.current
}

// look takes up what others have stored, and stores what could not be before.
func (s *Source) look(ctx context.Context) {
	t := s.load(ctx)
	s.mu.Lock()
	unsaved := s.unsaved
	s.mu.Unlock()
	if unsaved != nil {
		err := s.store.save(ctx, &t)
		s.saved(t, err)
	}
}

// saved notes what became of storing a token that is in use.
func (s *Source) saved(t token, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.current.Access != t.Access {
		return
	}
	s.current.version, s.unsaved = t.version, err // where it was replaced, the next look finds by what
	if err == nil {
		s.failure = nil
	}
}

func (s *Source) cannotRead() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.unreadable
}

func (s *Source) isUsable(t token) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return t.valid(s.now()) && t.Access != s.refused
}

func (s *Source) isKept() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.kept
}

func (s *Source) isFresh(t token) bool { return s.isUsable(t) && !t.old(s.now()) }

// renew gets a new token, unless another did so meanwhile. While the provider cannot be reached the old one stays.
func (s *Source) renew(ctx context.Context) (string, *upstream.Error) {
	unlock, err := s.store.lock(ctx)
	if err != nil {
		if t := s.get(ctx); s.isUsable(t) {
			return t.Access, nil
		}
		return "", &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("no token in time: %w", err)}
	}
	defer unlock()
	s.look(ctx) // `mailhatch login`, or another gateway, has written it
	s.mu.Lock()
	t, failure, now := s.current, s.failure, s.now()
	if now.After(s.notAgain) {
		failure = nil
	}
	s.mu.Unlock()
	if s.isFresh(t) {
		return t.Access, nil
	}
	if failure == nil {
		failure = s.request(ctx, &t)
	}
	if failure != nil && !s.isUsable(t) {
		return "", failure
	}
	return t.Access, nil
}

// request asks the provider and keeps what it grants.
func (s *Source) request(ctx context.Context, t *token) *upstream.Error {
	ctx, end := patient(ctx)
	defer end()
	granted, err := s.grant(context.WithValue(ctx, oauth2.HTTPClient, s.client), t.Refresh)
	if err == nil {
		err = check(granted)
	}
	if err == nil {
		err = s.keep(ctx, granted, t)
	}
	if err == nil || errors.Is(err, errReplaced) && s.isUsable(*t) {
		return nil
	}
	failure := s.explain(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure, s.notAgain = failure, s.now().Add(max(pause, failure.RetryAfter))
	return failure
}

// check returns why an answer that came as one with a token is none that helps.
func check(granted *oauth2.Token) error {
	isOdd := func(r rune) bool { return r <= ' ' || r > '~' } // RFC 6750 2.1
	switch {
	case granted.AccessToken == "":
		return errors.New("the answer has no token")
	case strings.ContainsFunc(granted.AccessToken, isOdd):
		return errors.New("the token in the answer has characters that no token has")
	case granted.TokenType != "" && !strings.EqualFold(granted.TokenType, "bearer"): // RFC 6749 7.1
		return fmt.Errorf("the answer has a token of type %q, which does not log in by itself", oneLine(granted.TokenType))
	case !granted.Expiry.IsZero() && time.Until(granted.Expiry) <= 0:
		return errors.New("the token in the answer has expired already")
	}
	return nil
}

// patience is how long a request to the endpoint may go on once nobody waits for it: the refresh token that it spends
// may be worthless afterwards, and its successor is in the answer.
const patience = 5 * time.Second

// patient returns a context that ends so much later than ctx.
func patient(ctx context.Context) (context.Context, func()) {
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(patience, cancel) })
	return late, func() { stop(); cancel() }
}

// pause is how long the answer to a renewal that failed stands for further ones.
const pause = 2 * time.Second

// keep stores a token before anyone uses it: the refresh token that it replaces, t's, may be worthless now. Where others have
// replaced that meanwhile, what they have stored is used.
func (s *Source) keep(ctx context.Context, granted *oauth2.Token, t *token) error {
	life := defaultLife
	if !granted.Expiry.IsZero() {
		life = time.Until(granted.Expiry)
	}
	now := s.now()
	next := token{Access: granted.AccessToken, Refresh: granted.RefreshToken, Obtained: now, Expiry: now.Add(life), For: s.settings.fingerprint(s.purpose), version: t.version}
	if next.Refresh == "" {
		next.Refresh = t.Refresh
	}
	err := s.store.save(ctx, &next)
	if errors.Is(err, errReplaced) {
		*t = s.load(context.WithoutCancel(ctx))
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.loaded, s.failure, s.refused, s.unsaved = next, true, nil, "", err
	select {
	case s.renewed <- struct{}{}:
	default:
	}
	*t = next
	if err != nil && next.Refresh != "" {
		return fmt.Errorf("the new token cannot be stored: %w", err) // it is used, and stored once that works
	}
	return nil
}

// defaultLife is the life of a token whose provider does not say, the least in use.
const defaultLife = 10 * time.Minute

// Secrets returns what no words of a far side may show.
func (s *Source) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return []string{s.settings.ClientSecret.Reveal(), s.current.Access, s.current.Refresh}
}

// glance is how long the store may take to answer those who only want to know how things are.
const glance = 2 * time.Second

// Expiries returns when the token and what it is got with end.
func (s *Source) Expiries() []upstream.Expiry {
	ctx, cancel := context.WithTimeout(context.Background(), glance)
	defer cancel()
	t := s.get(ctx)
	s.mu.Lock()
	failure := s.failure
	s.mu.Unlock()
	var list []upstream.Expiry
	switch {
	case failure != nil:
		list = append(list, upstream.Expiry{Name: "token", Since: t.Obtained, At: t.Expiry, Renewed: true, Failure: failure})
	case t.Access != "":
		list = append(list, upstream.Expiry{Name: "token", Since: t.Obtained, At: t.Expiry, Renewed: true})
	}
	if !s.secretExpiry.IsZero() {
		list = append(list, upstream.Expiry{Name: "certificate", At: s.secretExpiry})
	}
	return list
}
