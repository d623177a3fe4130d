// Package teller is an upstream for tests of those who listen to later events.
package teller

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"mailhatch/upstream"
)

// Teller is an upstream without a network that takes mail and reports later what it is given: for tests of those who
// listen. Its log is read from the beginning; Cursor is the number of events that were read.
type Teller struct {
	How    upstream.Listening
	Secret string // of webhooks
	Page   int    // events of one poll; 0: 100
	Lag    time.Duration

	mu    sync.Mutex
	taken []*upstream.Mail
	log   []entry
	fail  error
	polls int
}

type entry struct {
	upstream.Event
	entered time.Time
}

// Send takes every mail; its id is the number of mails.
func (t *Teller) Send(_ context.Context, m *upstream.Mail) []upstream.Outcome {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.taken = append(t.taken, m)
	outcomes := make([]upstream.Outcome, len(m.To))
	for i := range outcomes {
		outcomes[i].ID = fmt.Sprint("told-", len(t.taken))
	}
	return outcomes
}

// Taken returns the mail so far.
func (t *Teller) Taken() []*upstream.Mail {
	t.mu.Lock()
	defer t.mu.Unlock()
	return append([]*upstream.Mail(nil), t.taken...)
}

// Happen adds events to the log; they can be polled when Lag is over.
func (t *Teller) Happen(events ...upstream.Event) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range events {
		t.log = append(t.log, entry{e, time.Now()})
	}
}

// Fail is what the next polls return; nil: they succeed again.
func (t *Teller) Fail(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fail = err
}

// Polls counts them.
func (t *Teller) Polls() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.polls
}

// Listening returns How.
func (t *Teller) Listening() upstream.Listening { return t.How }

// Poll returns the next page.
func (t *Teller) Poll(_ context.Context, ask upstream.Ask) (upstream.Batch, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.polls++
	if t.fail != nil {
		return upstream.Batch{}, t.fail
	}
	page := t.Page
	if page == 0 {
		page = 100
	}
	from, err := strconv.Atoi(strings.TrimPrefix(string(ask.Since), "1 "))
	if err != nil {
		from = 0
	}
	b := upstream.Batch{}
	at := min(from, len(t.log))
	for ; at < len(t.log) && len(b.Events) < page && time.Since(t.log[at].entered) >= t.Lag; at++ {
		b.Events = append(b.Events, t.log[at].Event)
	}
	b.Next = upstream.Cursor(fmt.Sprint("1 ", at))
	b.More = at < len(t.log) && time.Since(t.log[at].entered) >= t.Lag
	return b, nil
}

// Signature is the header of its webhooks: hex HMAC-SHA256 of the body.
const Signature = "X-Teller-Signature"

// Webhook returns a request with events, signed.
func (t *Teller) Webhook(events ...upstream.Event) (http.Header, []byte) {
	body, _ := json.Marshal(events) // of plain values
	return http.Header{Signature: {t.sign(body)}}, body
}

func (t *Teller) sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(t.Secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Receive reads what Webhook returned.
func (t *Teller) Receive(_ context.Context, h http.Header, body []byte) (b upstream.Batch, err error) {
	if !hmac.Equal([]byte(h.Get(Signature)), []byte(t.sign(body))) {
		return b, upstream.ErrSignature
	}
	if json.Unmarshal(body, &b.Events) != nil {
		return b, upstream.ErrEvents
	}
	return b, nil
}

// Kind is the kind "teller", whose upstreams are t, for a table of kinds of a test.
func (t *Teller) Kind() upstream.Kind {
	return upstream.Kind{Name: "teller", Doc: "reports later what a test wants", New: func() upstream.Settings { return &settings{teller: t} }}
}

type settings struct {
	Timeout upstream.Duration `toml:"timeout"`
	teller  *Teller
}

// Open returns the Teller.
func (s *settings) Open(upstream.Env) (upstream.Upstream, error) { return s.teller, nil }
