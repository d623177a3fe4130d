// Package telling has strict fakes of what providers report later: their logs, which lag, and their webhooks, which are
// signed and sent again.
package telling

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// Entry is one thing that happened to one recipient of a mail.
type Entry struct {
	ID        string // of the event; "": a number
	Mail      string // Message.ID of the fake
	QueueID   string // that came with the mail
	Recipient string
	Kind      upstream.EventKind // 0: the mail was taken
	At        time.Time          // zero: now
	Words     string
	Status    string // RFC 3463
	Name      string // the provider's word where there are several for a kind, or one that nobody knows
	MessageID string // of the message, without <>

	entered time.Time
}

// Dialect is how one provider reports.
type Dialect interface {
	// Ask answers a question to the log, or about webhooks; nil: the request is another one. Only entries that can be
	// seen are given.
	Ask(l *Log, r *http.Request, body []byte, seen []Entry) *upstreamtest.Answer
	// Body is the body of a webhook request of some entries, without what signs it.
	Body(entries []Entry) []byte
	// Sign returns the header and the body of that request.
	Sign(secret string, at time.Time, body []byte) (http.Header, []byte)
	// Taken reports whether an answer ends the tries.
	Taken(status int) bool
	// Retries are the waits before each further try.
	Retries() []time.Duration
	// Read takes what the provider hands back out of a mail that was taken.
	Read(m *upstreamtest.Message, e *Entry)
}

// Log is a provider that takes mail by a fake and reports on it. Its methods may be called from many goroutines.
type Log struct {
	URL    string
	Secret string // of webhooks

	fake    *upstreamtest.Server
	dialect Dialect
	http    *httptest.Server

	mu      sync.Mutex
	lag     time.Duration
	entries []Entry
	taken   int
	asked   []string
	answer  *upstreamtest.Answer
	hooks   map[string][]string
}

// New starts one in front of a fake, which it closes with itself.
func New(fake *upstreamtest.Server, d Dialect, secret string) *Log {
	l := &Log{fake: fake, dialect: d, Secret: secret, hooks: map[string][]string{}}
	l.http = httptest.NewServer(l)
	l.URL = l.http.URL
	return l
}

// Close ends both.
func (l *Log) Close() {
	l.fake.Close()
	l.http.CloseClientConnections()
	l.http.Close()
}

// SetLag changes how long it takes until the log shows what happened.
func (l *Log) SetLag(d time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lag = d
}

// Answer is what all questions get from now on; nil: by the rules.
func (l *Log) Answer(a *upstreamtest.Answer) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answer = a
}

// Asked returns the questions so far: method and path.
func (l *Log) Asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.asked...)
}

// Happen adds entries.
func (l *Log) Happen(entries ...Entry) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, e := range entries {
		l.add(e)
	}
}

func (l *Log) add(e Entry) {
	e.entered = time.Now()
	if e.At.IsZero() {
		e.At = e.entered
	}
	if e.ID == "" {
		e.ID = fmt.Sprintf("event-%d", len(l.entries)+1)
	}
	l.entries = append(l.entries, e)
}

// Entries returns all of them, those that the log does not show yet among them.
func (l *Log) Entries() []Entry {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]Entry(nil), l.entries...)
}

// Hooks and SetHooks are the addresses of webhooks by name.
func (l *Log) Hooks(name string) []string { return l.hooks[name] }

// AddHook is for Dialects: it adds an address.
func (l *Log) AddHook(name, address string) { l.hooks[name] = append(l.hooks[name], address) }

// ServeHTTP answers questions, and hands everything else to the fake.
func (l *Log) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if l.sends(r) {
		l.fake.ServeHTTP(w, r)
		l.note()
		return
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err != nil {
		return
	}
	a := l.ask(r, body)
	if a == nil {
		r.Body = io.NopCloser(bytes.NewReader(body))
		l.fake.ServeHTTP(w, r)
		return
	}
	for name, values := range a.Header {
		w.Header()[name] = values
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(a.Status)
	_, _ = io.WriteString(w, a.Body)
}

func (l *Log) sends(r *http.Request) bool { return l.fake.Sends(r) }

func (l *Log) ask(r *http.Request, body []byte) *upstreamtest.Answer {
	l.note() // what a broken connection left behind
	l.mu.Lock()
	defer l.mu.Unlock()
	var seen []Entry
	for _, e := range l.entries {
		if time.Since(e.entered) >= l.lag {
			seen = append(seen, e)
		}
	}
	a := l.dialect.Ask(l, r, body, seen)
	if a == nil {
		return nil
	}
	l.asked = append(l.asked, r.Method+" "+r.URL.Path)
	r.Body = io.NopCloser(bytes.NewReader(body))
	if p, ok := l.dialect.(interface{ Public(*http.Request) bool }); (!ok || !p.Public(r)) && !l.fake.Authorized(r) {
		return &upstreamtest.Answer{Status: 401, Body: `{"message":"Unauthorized"}`}
	}
	if l.answer != nil {
		return l.answer
	}
	return a
}

// note makes entries of mail that the fake has taken since.
func (l *Log) note() {
	accepted := l.fake.Accepted()
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.taken < len(accepted); l.taken++ {
		m := &accepted[l.taken]
		for _, rcpt := range m.Recipients {
			e := Entry{Mail: m.ID, Recipient: rcpt}
			l.dialect.Read(m, &e)
			l.add(e)
		}
	}
}

// Webhook makes a request of entries as the provider sends it.
func (l *Log) Webhook(at time.Time, entries ...Entry) (http.Header, []byte) {
	for i := range entries {
		if entries[i].At.IsZero() {
			entries[i].At = at
		}
	}
	return l.dialect.Sign(l.Secret, at, l.dialect.Body(entries))
}

// Push sends a webhook until it is taken, as the provider does, and returns the last status; wait gets how long the
// provider would wait before each further try.
func (l *Log) Push(ctx context.Context, address string, wait func(time.Duration), entries ...Entry) (int, error) {
	for _, d := range append([]time.Duration{0}, l.dialect.Retries()...) {
		if d > 0 {
			wait(d)
		}
		h, body := l.Webhook(time.Now(), entries...)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, address, bytes.NewReader(body))
		if err != nil {
			return 0, err
		}
		for name, values := range h {
			r.Header[name] = values
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			if ctx.Err() != nil {
				return 0, err
			}
			continue
		}
		_ = resp.Body.Close()
		if l.dialect.Taken(resp.StatusCode) {
			return resp.StatusCode, nil
		}
	}
	return 0, fmt.Errorf("given up")
}

// messageID finds Message-ID in a message.
func messageID(raw []byte) string {
	for line := range strings.Lines(string(raw[:min(len(raw), 64<<10)])) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.EqualFold(name, "Message-ID") {
			return strings.Trim(strings.TrimSpace(value), "<>")
		}
		if strings.TrimSpace(line) == "" {
			break
		}
	}
	return ""
}

func answer(status int, v any) *upstreamtest.Answer {
	return &upstreamtest.Answer{Status: status, Body: upstreamtest.JSON(v)}
}

func hmacSHA256(key []byte, parts ...[]byte) []byte {
	mac := hmac.New(sha256.New, key)
	for _, part := range parts {
		mac.Write(part)
	}
	return mac.Sum(nil)
}
