package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http/httpproxy"
)

const (
	httpAnswerLimit = 64 << 10         // bytes of an answer that are read; no provider says more
	httpIdle        = 30 * time.Second // below the idle limits of common load balancers, so that they rarely close first
	httpIdleConns   = 64               // kept for one host: more than any sensible max_concurrent
)

// httpConfig is what the settings of all HTTP kinds have in common.
type httpConfig struct {
	apiKey     Secret
	keyHint    string // where a key comes from
	baseURL    string
	defaultURL string
	timeout    Duration
	caFile     string
}

// httpClient speaks to one API. It follows no redirects and repeats nothing that may have arrived.
type httpClient struct {
	client  *http.Client
	base    string // without a slash at the end
	timeout time.Duration
	agent   string
	secret  string // kept out of all error words
	keyHint string // where a key comes from
}

// openHTTP checks the common settings; its errors are joined *KeyErrors.
func openHTTP(env Env, cfg httpConfig) (*httpClient, error) {
	var errs []error
	if cfg.apiKey.IsZero() {
		errs = append(errs, &KeyError{Key: "api_key", Problem: "is missing", Hint: cfg.keyHint})
	} else if strings.ContainsFunc(cfg.apiKey.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
		errs = append(errs, &KeyError{Key: "api_key", Problem: "holds blanks or characters that no key has",
			Hint: "copy the key again, without line ends"})
	}
	if cfg.baseURL == "" {
		cfg.baseURL = cfg.defaultURL
	}
	if err := httpCheckBase(cfg.baseURL); err != nil {
		errs = append(errs, err)
	}
	if cfg.timeout.Duration <= 0 {
		errs = append(errs, &KeyError{Key: "timeout", Problem: "must be more than zero", Hint: `the default is "30s"`})
	}
	roots, err := httpRoots(cfg.caFile)
	if err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	version := env.Version
	if version == "" {
		version = "dev"
	}
	return &httpClient{
		client: &http.Client{
			Transport:     httpTransport(roots, cfg.timeout.Duration),
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
		base:    strings.TrimRight(cfg.baseURL, "/"),
		timeout: cfg.timeout.Duration,
		agent:   "mailhatch/" + version,
		secret:  cfg.apiKey.Reveal(),
		keyHint: cfg.keyHint,
	}, nil
}

// httpCheckBase accepts https anywhere and http on loopback only: the key must not travel in clear.
func httpCheckBase(base string) error {
	u, err := url.Parse(base)
	if err != nil || u.Host == "" || (u.Scheme != "https" && u.Scheme != "http") {
		return &KeyError{Key: "base_url", Problem: "must be an https:// address", Hint: "leave it out to use the provider's own"}
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return &KeyError{Key: "base_url", Problem: "must hold no user, query or fragment", Hint: "the key belongs into api_key"}
	}
	if u.Scheme == "http" && !httpIsLoopback(u.Hostname()) {
		return &KeyError{Key: "base_url", Problem: "must be https:// unless the host is this machine",
			Hint: "the key and the mail would travel in clear"}
	}
	return nil
}

func httpIsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}

// httpRoots gives the machine's authorities together with those of ca_file; nil means the machine's.
func httpRoots(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, &KeyError{Key: "ca_file", Problem: "cannot be read: " + err.Error()}
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool()
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, &KeyError{Key: "ca_file", Problem: "holds no certificate in PEM form"}
	}
	return pool, nil
}

func httpTransport(roots *x509.CertPool, timeout time.Duration) *http.Transport {
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	dialer := &net.Dialer{Timeout: min(timeout, 10*time.Second), KeepAlive: 15 * time.Second}
	return &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: min(timeout, 10*time.Second),
		MaxIdleConnsPerHost: httpIdleConns,
		IdleConnTimeout:     httpIdle,
		ForceAttemptHTTP2:   true,
		// A peer that is gone must not hold the one HTTP/2 connection for ever.
		HTTP2: &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 10 * time.Second},
	}
}

// Close gives idle connections up.
func (c *httpClient) Close() error {
	c.client.CloseIdleConnections()
	return nil
}

// httpRequest is one call of an API, before it is bound to a connection.
type httpRequest struct {
	method string
	path   string   // escaped, starts with /
	header []string // name, value, name, value…, as they are shown to people
	auth   string   // value of Authorization; never shown
	body   payload
}

// httpAnswer is what came back.
type httpAnswer struct {
	status  int
	header  http.Header
	body    []byte // at most httpAnswerLimit
	readErr error  // the body ended early
}

// httpPhase is how far an attempt came. The transport reads bodies in a goroutine of its own, which may go
// on when the answer is there already.
type httpPhase struct {
	connected atomic.Bool // a connection, TLS included, was there
	whole     atomic.Bool // the last byte of the request was handed to the connection

	reading sync.Mutex
	over    bool // nothing may be read any more: the bytes belong to the message
}

// end waits for a read that is under way and lets no other begin.
func (p *httpPhase) end() {
	p.reading.Lock()
	defer p.reading.Unlock()
	p.over = true
}

// do makes one attempt. What fails before the request was written whole is Temporary: no provider acts
// on half a request. After that it is Uncertain.
func (c *httpClient) do(ctx context.Context, r *httpRequest) (*httpAnswer, *Error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	phase := &httpPhase{}
	defer phase.end()
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { phase.connected.Store(true) }}
	req, err := http.NewRequestWithContext(httptrace.WithClientTrace(ctx, trace), r.method, c.base+r.path, nil)
	if err != nil {
		return nil, &Error{Class: Account, Err: errors.New("base_url cannot be used")}
	}
	for i := 0; i+1 < len(r.header); i += 2 {
		// Set as written: under its canonical name the transport would take Idempotency-Key for leave
		// to send a request twice by itself.
		req.Header[r.header[i]] = []string{r.header[i+1]}
	}
	req.Header["User-Agent"] = []string{c.agent}
	req.Header["Authorization"] = []string{r.auth}
	if r.body != nil {
		req.ContentLength = r.body.size()
		req.GetBody = func() (io.ReadCloser, error) {
			// The transport asks again only when nothing of the request was processed.
			phase.connected.Store(false)
			phase.whole.Store(false)
			return &httpBody{src: r.body.open(), left: req.ContentLength, phase: phase}, nil
		}
		req.Body, _ = req.GetBody()
	}
	resp, err := c.client.Do(req)
	if err != nil {
		phase.end() // what it says is final now
		return nil, c.failed(ctx, err, phase)
	}
	defer resp.Body.Close()
	a := &httpAnswer{status: resp.StatusCode, header: resp.Header}
	a.body, a.readErr = io.ReadAll(io.LimitReader(resp.Body, httpAnswerLimit))
	return a, nil
}

// failed sorts an attempt that brought no answer.
func (c *httpClient) failed(ctx context.Context, err error, phase *httpPhase) *Error {
	// url.Error repeats the address; what is inside says the reason.
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		err = fmt.Errorf("no answer in time: %w", context.DeadlineExceeded)
	}
	err = c.redacted(err)
	switch {
	case phase.whole.Load():
		return &Error{Class: Uncertain, Err: fmt.Errorf("the request was sent, but no answer came: %w", err)}
	case phase.connected.Load():
		return &Error{Class: Temporary, Err: fmt.Errorf("the request was not sent whole: %w", err)}
	}
	return &Error{Class: Temporary, Connect: true, Err: fmt.Errorf("cannot connect: %w", err)}
}

// redacted takes the key out of an error's words, wherever it came from.
func (c *httpClient) redacted(err error) error {
	if c.secret == "" || !strings.Contains(err.Error(), c.secret) {
		return err
	}
	return errors.New(strings.ReplaceAll(err.Error(), c.secret, redacted))
}

// errHTTPOver ends the sending of a request that was answered before its end.
var errHTTPOver = errors.New("the attempt is over")

// httpBody counts what the connection took.
type httpBody struct {
	src   io.Reader
	left  int64
	phase *httpPhase
}

// Read marks the phase with the last byte: from then on the provider may have everything.
func (b *httpBody) Read(p []byte) (int, error) {
	b.phase.reading.Lock()
	defer b.phase.reading.Unlock()
	switch {
	case b.phase.over && b.left <= 0:
		return 0, io.EOF // the connection can be used again
	case b.phase.over:
		return 0, errHTTPOver
	}
	n, err := b.src.Read(p)
	if b.left -= int64(n); b.left <= 0 {
		b.phase.whole.Store(true)
	}
	return n, err
}

// Close has nothing to give back: the bytes belong to the message.
func (b *httpBody) Close() error { return nil }
