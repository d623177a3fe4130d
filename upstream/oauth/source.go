package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
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
	store        store
	client       *http.Client
	now          func() time.Time
	busy         chan struct{} // holds one value while a token is being renewed
	renewed      chan struct{} // one token: there is a new one

	mu         sync.Mutex
	current    token
	loaded     bool            // from the store
	unreadable error           // why not
	kept       bool            // Run renews it in time
	refused    string          // an access token that the far side refused
	failure    *upstream.Error // of the last renewal
	notAgain   time.Time       // until then it is the answer
}

// Token returns an access token that is good for the next seconds. Where it is time to renew it and Run does not do so,
// the first who asks does, and the others get the old one as long as it is valid.
func (s *Source) Token(ctx context.Context) (string, *upstream.Error) {
	t := s.get()
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

func (s *Source) get() token {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loaded {
		s.load()
	}
	return s.current
}

// load takes up what is stored, unless there is something newer; the caller holds mu.
func (s *Source) load() {
	stored, err := s.store.load()
	s.loaded, s.unreadable = true, err
	if err == nil && stored.For == s.settings.fingerprint(s.purpose) && stored.Obtained.After(s.current.Obtained) {
		s.current, s.failure = stored, nil
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
		return "", &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("no token in time: %w", err)}
	}
	defer unlock()
	s.mu.Lock()
	s.load() // `mailhatch login`, or another gateway, has written it
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
		err = s.keep(granted, t)
	}
	if err == nil {
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

// keep stores a token before anyone uses it: the refresh token that it replaces may be worthless now.
func (s *Source) keep(granted *oauth2.Token, t *token) error {
	life := defaultLife
	if !granted.Expiry.IsZero() {
		life = time.Until(granted.Expiry)
	}
	now := s.now()
	next := token{Access: granted.AccessToken, Refresh: granted.RefreshToken, Obtained: now, Expiry: now.Add(life), For: s.settings.fingerprint(s.purpose)}
	if next.Refresh == "" {
		next.Refresh = t.Refresh
	}
	err := s.store.save(next)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.current, s.loaded, s.failure, s.refused = next, true, nil, ""
	select {
	case s.renewed <- struct{}{}:
	default:
	}
	*t = next
	if err != nil && next.Refresh != "" {
		return fmt.Errorf("the new token cannot be stored: %w", err) // it is used, and the next one may be stored
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

// Expiries returns when the token and what it is got with end.
func (s *Source) Expiries() []upstream.Expiry {
	t := s.get()
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

// explain sorts the failure of a renewal.
func (s *Source) explain(err error) *upstream.Error {
	redact := upstream.NewRedactor(s.Secrets()...)
	var refusal *oauth2.RetrieveError
	switch {
	case errors.Is(err, errNoLogin) && s.cannotRead() != nil:
		return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("no token: %w", s.cannotRead())}
	case errors.Is(err, errNoLogin):
		return &upstream.Error{Class: upstream.Account, Code: "login", Err: s.logIn(err)}
	case errors.As(err, &refusal):
		return s.refusal(refusal, redact)
	}
	var network *url.Error
	if errors.As(err, &network) {
		err = network.Err // the address says nothing
		return &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("no token: cannot reach the token endpoint: %w", redact.Error(err))}
	}
	if words := err.Error(); strings.Contains(words, "cannot parse") || strings.Contains(words, "unmarshal") { // what was in its place nobody tells
		err = errors.New("the token endpoint's answer is not its own; look at token_url, HTTPS_PROXY, and for a page of the network to log in at")
	}
	return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("no token: %w", redact.Error(err))}
}

// refusal reads an error answer of the endpoint (RFC 6749 5.2).
func (s *Source) refusal(r *oauth2.RetrieveError, redact *upstream.Redactor) *upstream.Error {
	if r.ErrorCode == "" { // package jwt does not read it
		var w struct {
			Code  string `json:"error"`
			Words string `json:"error_description"`
		}
		if json.Unmarshal(r.Body, &w) == nil {
			r.ErrorCode, r.ErrorDescription = w.Code, w.Words
		}
	}
	e := &upstream.Error{Class: upstream.Account, Status: r.Response.StatusCode, Code: redact.Redact(oneLine(r.ErrorCode))}
	words := redact.Redact(oneLine(r.ErrorDescription))
	if words == "" {
		words = redact.Redact(oneLine(string(r.Body)))
	}
	if e.Status >= 300 && e.Status < 400 {
		words = "the token endpoint redirects, which is not followed; look at token_url"
	}
	if words == "" {
		words = "the token endpoint gives no reason"
	}
	if len(words) > 300 {
		words = words[:300] + "…"
	}
	switch {
	case e.Status == http.StatusTooManyRequests:
		e.Class = upstream.Throttled
	case e.Status >= 500, r.ErrorCode == "temporarily_unavailable", r.ErrorCode == "server_error", r.ErrorCode == "" && e.Status != 401:
		e.Class = upstream.Temporary // who speaks so may be a proxy
	}
	if seconds, err := strconv.Atoi(r.Response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		e.RetryAfter = min(time.Duration(seconds)*time.Second, 24*time.Hour)
	}
	e.Err = Advise(fmt.Errorf("no token: %s", words), r.ErrorCode+" "+r.ErrorDescription)
	known, _ := errors.AsType[*advised](e.Err)
	if s.settings.Flow == Device && (known == nil && r.ErrorCode == "invalid_grant" || known != nil && known.step == "login") {
		e.Err = s.logIn(fmt.Errorf("no token: %s", words))
	}
	return e
}

// logIn says who can help.
func (s *Source) logIn(err error) error {
	return &advised{err, "login", "run mailhatch login " + s.name}
}
