package alert

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpproxy"

	"mailhatch/upstream"
)

// webhook posts messages to an address. It follows no redirects.
type webhook struct {
	client  *http.Client
	url     upstream.Secret
	key     []byte // signs; empty: nothing does
	timeout time.Duration
	agent   string
	secrets *upstream.Redactor
}

func newWebhook(s *Settings, version string) (*webhook, error) {
	u, err := parseURL(s.URL)
	key, keyErr := signingKey(s.Secret)
	roots, rootErr := upstream.RootCAs(s.CAFile)
	if err = errors.Join(err, keyErr, rootErr); err != nil {
		return nil, err
	}
	proxy := httpproxy.FromEnvironment().ProxyFunc()
	transport := &http.Transport{
		Proxy:               func(r *http.Request) (*url.URL, error) { return proxy(r.URL) },
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: s.Timeout.Duration,
		MaxIdleConns:        1,
		IdleConnTimeout:     30 * time.Second,
		ForceAttemptHTTP2:   true,
	}
	password, _ := u.User.Password()
	secrets := append([]string{s.URL.Reveal(), strings.Trim(u.Path, "/"), u.RawQuery, s.Secret.Reveal(), string(key), password}, upstream.ProxySecrets()...)
	return &webhook{url: s.URL, key: key, timeout: s.Timeout.Duration, agent: "mailhatch/" + cmp.Or(version, "dev"), secrets: upstream.NewRedactor(secrets...),
		client: &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}, nil
}

// maxAnswer is how much of an answer is looked at, in bytes.
const maxAnswer = 4 << 10

// send posts a message. A heartbeat without a signature is a GET: every dead man's switch takes one.
func (h *webhook) send(ctx context.Context, id string, body []byte, m *Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	method, text := http.MethodPost, io.Reader(bytes.NewReader(body))
	if m.Type == TypeHeartbeat && len(h.key) == 0 {
		method, text = http.MethodGet, nil
	}
	req, err := http.NewRequestWithContext(ctx, method, h.url.Reveal(), text)
	if err != nil {
		return "", errors.New("url cannot be used")
	}
	req.Header.Set("User-Agent", h.agent)
	if method == http.MethodPost {
		now := time.Now()
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("webhook-id", id)
		req.Header.Set("webhook-timestamp", strconv.FormatInt(now.Unix(), 10))
		if len(h.key) > 0 {
			req.Header.Set("webhook-signature", sign(h.key, id, now, body))
		}
	}
	resp, err := h.client.Do(req)
	if err != nil {
		return "", h.failed(ctx, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	words, _ := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode >= 200 && resp.StatusCode < 300 {
		return resp.Status, nil
	}
	return "", &refusal{words: "answered " + h.said(resp, words), after: retryAfter(resp.Header.Get("Retry-After"))}
}

// failed says why no answer came.
func (h *webhook) failed(ctx context.Context, err error) error {
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no answer within %s", h.timeout)
	}
	if ue, ok := errors.AsType[*url.Error](err); ok { // it repeats the address
		err = ue.Err
	}
	return h.secrets.Error(err)
}

// said returns an answer that is no success, in words.
func (h *webhook) said(resp *http.Response, body []byte) string {
	text := resp.Status
	switch words := strings.Join(strings.Fields(h.secrets.Redact(string(body))), " "); {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		text += ", a redirect, which is not followed"
	case words != "":
		text += ": " + masked(words)
	}
	return text
}

// retryAfter reads the seconds of a Retry-After field (RFC 9110 10.2.3).
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
