// Package api is what programs on this machine ask a running gateway, and how: the nouns of /api/v1, which
// admin/openapi describes, and a client that speaks to the admin socket.
package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
)

// ErrNotRunning means that no gateway answers on the admin socket.
var ErrNotRunning = errors.New("the gateway is not running")

// Client is the View of a running gateway, and steers it, over its admin socket. Make one with
// NewClient.
type Client struct {
	HTTP   *http.Client // speaks to the socket
	socket string
}

const (
	clientTimeout = 11 * time.Minute // of one request: longer than the gateway takes at most
	maxReason     = 1 << 20          // bytes of an answer that says why not
)

// NewClient returns a client for the admin socket at that path. It connects when it is asked for
// something.
func NewClient(socket string) *Client {
	connect := func(ctx context.Context, _, _ string) (net.Conn, error) { return sock.Dial(ctx, socket) }
	return &Client{socket: socket, HTTP: &http.Client{Timeout: clientTimeout, Transport: &http.Transport{DialContext: connect, MaxIdleConns: 1,
		IdleConnTimeout: time.Minute}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.HTTP.CloseIdleConnections() }

// Error is the answer to a request that the gateway did not follow. Is finds queue.ErrNotFound in
// it.
type Error struct {
	Status int // of HTTP
	Words  string
}

// Error returns the gateway's words.
func (e *Error) Error() string { return e.Words }

// Is reports what kind of failure it is.
func (e *Error) Is(target error) bool {
	return target == queue.ErrNotFound && e.Status == http.StatusNotFound
}

// do sends a request and returns the response to one that succeeded; path is escaped.
func (c *Client) do(ctx context.Context, method, path string, query url.Values, body any) (*http.Response, error) {
	var r io.Reader
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		r = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://localhost"+path+"?"+query.Encode(), r)
	if err != nil {
		return nil, err
	}
	resp, err := c.HTTP.Do(req)
	var dial *net.OpError
	if errors.As(err, &dial) && dial.Op == "dial" && !dial.Timeout() && !errors.Is(err, fs.ErrPermission) && ctx.Err() == nil {
		return nil, fmt.Errorf("%w: %s: %w", ErrNotRunning, c.socket, dial.Err)
	}
	if errors.Is(err, fs.ErrPermission) {
		return nil, fmt.Errorf("this account may not ask the gateway: %s: %w", c.socket, fs.ErrPermission)
	}
	if request, ok := errors.AsType[*url.Error](err); ok { // whose URL means nothing to people
		err = request.Err
	}
	if err != nil {
		return nil, fmt.Errorf("asking mailhatch on %s: %w", c.socket, err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	return nil, &Error{resp.StatusCode, reasonOf(resp)}
}

// reasonOf returns the words of an answer other than 200.
func reasonOf(resp *http.Response) string {
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxReason))
	var f Failure
	switch {
	case err == nil && json.Unmarshal(b, &f) == nil && f.Error != "":
		return f.Error
	case err == nil && resp.StatusCode == http.StatusServiceUnavailable && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/plain"):
		return "not ready: " + strings.ReplaceAll(strings.TrimSpace(string(b)), "\n", "; ") // readyz
	}
	return "mailhatch answered " + resp.Status
}

// call asks and decodes the answer.
func call[T any](ctx context.Context, c *Client, method, path string, query url.Values, body any) (*T, error) {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	var v T
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		return nil, fmt.Errorf("reading the answer of mailhatch: %w", err)
	}
	return &v, nil
}

func values(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}

func number(n int) string {
	if n <= 0 {
		return ""
	}
	return strconv.Itoa(n)
}

// Ping asks whether a gateway answers, well or not: nil, ErrNotRunning, or why that cannot be told.
func (c *Client) Ping(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodGet, "/", nil, nil)
	if _, ok := errors.AsType[*Error](err); ok {
		return nil
	}
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Healthy asks whether the gateway runs and its listeners answer: nil, an *Error that names those that do not, or
// why that cannot be told.
func (c *Client) Healthy(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodGet, "/healthz", nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// Ready asks whether the gateway accepts mail and can deliver it: nil, an *Error that names what is not
// ready, or why that cannot be told.
func (c *Client) Ready(ctx context.Context) error {
	resp, err := c.do(ctx, http.MethodGet, "/readyz", nil, nil)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// List implements View.
func (c *Client) List(ctx context.Context, f Filter) (*Page, error) {
	q := values("state", string(f.State), "upstream", f.Upstream, "from", f.From, "to", f.To, "subject", f.Subject, "older", f.Older,
		"after", f.After, "limit", number(f.Limit))
	if len(f.IDs) > 0 {
		q["id"] = f.IDs
	}
	return call[Page](ctx, c, http.MethodGet, "/api/v1/queue", q, nil)
}

// Suppressed returns a page of the addresses that get no mail.
func (c *Client) Suppressed(ctx context.Context, f suppressed.Filter) (*suppressed.Suppressions, error) {
	return call[suppressed.Suppressions](ctx, c, http.MethodGet, "/api/v1/suppressed", values("address", f.Address, "domain", f.Domain, "reason", f.Reason,
		"after", f.After, "limit", number(f.Limit)), nil)
}

// Suppress puts addresses on that list.
func (c *Client) Suppress(ctx context.Context, a suppressed.Addition) (*suppressed.Added, error) {
	return call[suppressed.Added](ctx, c, http.MethodPost, "/api/v1/suppressed/add", nil, a)
}

// Unsuppress takes addresses off it.
func (c *Client) Unsuppress(ctx context.Context, r suppressed.Removal) (*suppressed.Removed, error) {
	return call[suppressed.Removed](ctx, c, http.MethodPost, "/api/v1/suppressed/remove", nil, r)
}

// ImportSuppressed puts the list of a provider on it.
func (c *Client) ImportSuppressed(ctx context.Context, i suppressed.Import) (*suppressed.Added, error) {
	return call[suppressed.Added](ctx, c, http.MethodPost, "/api/v1/suppressed/import", nil, i)
}

// Show implements View.
func (c *Client) Show(ctx context.Context, id string) (*Message, error) {
	return call[Message](ctx, c, http.MethodGet, "/api/v1/queue/"+url.PathEscape(id), nil, nil)
}

// Open implements View.
func (c *Client) Open(ctx context.Context, id string) (io.ReadCloser, error) {
	resp, err := c.do(ctx, http.MethodGet, "/api/v1/queue/"+url.PathEscape(id)+"/message", nil, nil)
	if err != nil {
		return nil, err
	}
	return resp.Body, nil
}

// Log implements View.
func (c *Client) Log(ctx context.Context, f LogFilter) (*Log, error) {
	q := values("id", f.ID, "from", f.From, "to", f.To, "word", f.Word, "subject", f.Subject, "state", string(f.State), "upstream", f.Upstream,
		"message_id", f.MessageID, "provider_id", f.ProviderID, "after", f.After, "limit", number(f.Limit))
	if !f.Since.IsZero() {
		q.Set("since", f.Since.Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		q.Set("until", f.Until.Format(time.RFC3339Nano))
	}
	return call[Log](ctx, c, http.MethodGet, "/api/v1/log", q, nil)
}

// Recent returns what happened last. What goes well is among it from then on, for a minute.
func (c *Client) Recent(ctx context.Context) ([]Event, error) {
	r, err := call[Recent](ctx, c, http.MethodGet, "/api/v1/recent", nil, nil)
	if err != nil {
		return nil, err
	}
	return r.Events, nil
}

// Metrics returns the metrics of now.
func (c *Client) Metrics(ctx context.Context) ([]meter.Sample, error) {
	resp, err := c.do(ctx, http.MethodGet, "/metrics", nil, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	return meter.Read(resp.Body)
}

// Status implements View.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	return call[Status](ctx, c, http.MethodGet, "/api/v1/status", nil, nil)
}

// Act does something to the parts of a selection.
func (c *Client) Act(ctx context.Context, a Action, s Selection) (*Changed, error) {
	return call[Changed](ctx, c, http.MethodPost, "/api/v1/queue/"+url.PathEscape(string(a)), nil, s)
}

// Reload makes the gateway read its config again. After an *Error the old one stays in force.
func (c *Client) Reload(ctx context.Context) (*Reloaded, error) {
	return call[Reloaded](ctx, c, http.MethodPost, "/api/v1/reload", nil, nil)
}
