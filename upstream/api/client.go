package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpproxy"

	"mailhatch/upstream"
)

const (
	answerLimit = 1 << 20          // bytes of an answer that are looked at, unless a request says otherwise: lists of domains, identities and recipients can be long
	answerRest  = 16 << 10         // of it that are read to find a secret across the limit
	idleTime    = 30 * time.Second // below the idle limits of common load balancers, so that they rarely close first
	idleConns   = 64               // kept for one host: more than any sensible max_concurrent
)

// Client speaks to one API. It follows no redirects and repeats nothing that may have arrived.
type Client struct {
	client  *http.Client
	base    string // without a slash at the end
	timeout time.Duration
	agent   string
	auth    Credentials
	secrets redactor // of what came back, or might have
	service *Service
}

// Open checks the common settings; its errors are joined *KeyErrors.
func Open(env upstream.Env, s Settings, service Service, auth Credentials) (*Client, error) {
	var errs []error
	if err := auth.Check(service.KeyHint); err != nil {
		errs = append(errs, err)
	}
	base := cmp.Or(s.BaseURL, service.URL)
	if err := checkBase(base); err != nil {
		errs = append(errs, err)
	}
	if s.Timeout.Duration <= 0 {
		errs = append(errs, &upstream.KeyError{Key: "timeout", Problem: "must be greater than zero", Hint: `the default is "30s"`})
	}
	roots, err := upstream.RootCAs(s.CAFile)
	dialer, bindErr := upstream.Dialer(s.Bind, min(s.Timeout.Duration, 10*time.Second))
	if err = errors.Join(append(errs, err, bindErr)...); err != nil {
		return nil, err
	}
	return &Client{
		client: &http.Client{
			Transport:     newTransport(dialer, roots, s.Timeout.Duration),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:    strings.TrimRight(base, "/"),
		timeout: s.Timeout.Duration,
		agent:   "mailhatch/" + cmp.Or(env.Version, "dev"),
		auth:    auth,
		secrets: redactor{fixed: upstream.ProxySecrets(), credentials: auth},
		service: &service,
	}, nil
}

// checkBase accepts https anywhere and http on loopback only: the key must not travel in clear.
func checkBase(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return &upstream.KeyError{Key: "base_url", Problem: "must be an https:// address", Hint: "leave it out to use the provider's own"}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return &upstream.KeyError{Key: "base_url", Problem: "must not have a user, query or fragment", Hint: "the key belongs in api_key"}
	}
	if u.Scheme == "http" && !upstream.IsLoopback(u.Hostname()) {
		return &upstream.KeyError{Key: "base_url", Problem: "must be https:// unless the host is this machine",
			Hint: "the key and the mail would travel in clear"}
	}
	return nil
}

func newTransport(dialer *net.Dialer, roots *x509.CertPool, timeout time.Duration) *http.Transport {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: min(timeout, 10*time.Second),
		MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout:     idleTime,
		ForceAttemptHTTP2:   true,
		// A peer that is gone must not hold the one HTTP/2 connection for ever.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// Request is one call of an API, before it is bound to a connection.
type Request struct {
	Method string
	Path   string   // escaped, starts with /
	Header []string // name, value, name, value…, as they are shown to people
	Body   Payload
	Base   string // where Path is, for an API at several places; "": at base_url
	Limit  int    // bytes of the answer that are looked at; 0: 1 MB

	// For an API that takes a mail by several requests, of which this is the one that commits, as far as it is
	// known without asking. Before is sent first, and shown to people. Exchange makes all of them and returns the
	// last answer; what fails before the last request was sent is not Uncertain.
	Before   *Request
	Exchange func(ctx context.Context) (*Answer, *upstream.Error)
}

// PostJSON is a request of JSON that is answered in JSON.
func PostJSON(path string, body Payload, header ...string) *Request {
	return &Request{Method: "POST", Path: path, Body: body, Header: append([]string{"Content-Type", "application/json", "Accept", "application/json"}, header...)}
}

// Answer is what came back.
type Answer struct {
	Status  int
	Header  http.Header
	Body    []byte // at most Limit of the request
	ReadErr error  // the body ended early
	Sent    bool   // the request had a body, and all of it had left when the answer came

	mail *upstream.Mail // that it is about, nil for none
}

// phase is how far an attempt came. The transport reads bodies in a goroutine of its own, which may go
// on when the answer is there already.
type phase struct {
	connected atomic.Bool // a connection, TLS included, was there
	whole     atomic.Bool // the last byte of the request was handed to the connection

	reading sync.Mutex
	over    bool // nothing may be read any more: the bytes belong to the message
}

// end waits for a read that is under way and lets no other begin.
func (p *phase) end() {
	p.reading.Lock()
	defer p.reading.Unlock()
	p.over = true
}

// Do makes one attempt. What fails before the request was written whole is Temporary: no provider acts
// on half a request. After that it is Uncertain. Credentials that the provider refuses are renewed once, if they
// can be: nothing was taken then.
func (c *Client) Do(ctx context.Context, r *Request) (*Answer, *upstream.Error) {
	a, sent, err := c.attempt(ctx, r)
	if auth, ok := c.auth.(Renewable); ok && err == nil && a.Status == http.StatusUnauthorized && auth.Refused(sent) {
		a, _, err = c.attempt(ctx, r)
	}
	return a, err
}

// attempt is one exchange; it returns the request as it was sent, too.
func (c *Client) attempt(ctx context.Context, r *Request) (*Answer, *http.Request, *upstream.Error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	phase := &phase{}
	defer phase.end()
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { phase.connected.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.Method, cmp.Or(r.Base, c.base)+r.Path, nil)
	if err != nil {
		return nil, nil, &upstream.Error{Class: upstream.Account, Err: errors.New("base_url cannot be used")}
	}
	for i := 0; i+1 < len(r.Header); i += 2 {
		// Set as written: under its canonical name the transport would take Idempotency-Key for leave
		// to send a request twice by itself.
		req.Header[r.Header[i]] = []string{r.Header[i+1]}
	}
	req.Header["User-Agent"] = []string{c.agent}
	if e := c.auth.Authorize(ctx, req, r.Body); e != nil {
		return nil, nil, e
	}
	if r.Body != nil {
		req.ContentLength = r.Body.Size()
		req.GetBody = func() (io.ReadCloser, error) {
			// The transport asks again only when nothing of the request was processed.
			phase.connected.Store(false)
			phase.whole.Store(false)
			return &requestBody{src: r.Body.Open(), left: req.ContentLength, phase: phase}, nil
		}
		req.Body, _ = req.GetBody()
	}
	resp, err := c.client.Do(req)
	if err != nil {
		phase.end() // what it says is final now
		return nil, nil, c.failed(ctx, err, phase)
	}
	defer resp.Body.Close()
	a := &Answer{Status: resp.StatusCode, Header: resp.Header}
	limit := cmp.Or(r.Limit, answerLimit)
	body, err := io.ReadAll(io.LimitReader(resp.Body, int64(limit)+answerRest))
	words := c.secrets.get().Redact(string(body)) // before anyone sees it or cuts it
	a.Body, a.ReadErr = []byte(words[:min(len(words), limit)]), err
	phase.end() // what it says is final now
	a.Sent = phase.whole.Load()
	return a, req, nil
}

// failed sorts an attempt that brought no answer.
func (c *Client) failed(ctx context.Context, err error, phase *phase) *upstream.Error {
	// url.Error repeats the address; what is inside says the reason.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}
	err = c.secrets.get().Error(err)
	switch {
	case phase.whole.Load():
		return &upstream.Error{Class: upstream.Uncertain, Err: fmt.Errorf("the request was sent, but no answer came: %w", err)}
	case phase.connected.Load():
		return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("the request was not sent whole: %w", err)}
	}
	return &upstream.Error{Class: upstream.Temporary, Connect: true, Err: fmt.Errorf("cannot connect: %w", err)}
}

// errOver ends the sending of a request that was answered before its end.
var errOver = errors.New("the attempt is over")

// requestBody counts what the connection took.
type requestBody struct {
	src   io.Reader
	left  int64
	phase *phase
}

// Read marks the phase with the last byte: from then on the provider may have everything.
func (b *requestBody) Read(p []byte) (int, error) {
	b.phase.reading.Lock()
	defer b.phase.reading.Unlock()
	switch {
	case b.phase.over && b.left <= 0:
		return 0, io.EOF // the connection can be used again
	case b.phase.over:
		return 0, errOver
	}
	n, err := b.src.Read(p)
	if b.left -= int64(n); b.left <= 0 {
		b.phase.whole.Store(true)
	}
	return n, err
}

// Close has nothing to give back: the bytes belong to the message.
func (b *requestBody) Close() error { return nil }
