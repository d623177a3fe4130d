// Package refused keeps mail that was refused at the door in the history, so that whoever looks for it finds out why it
// never came. Clients that are refused may be many and quick: what is kept of them is bounded.
package refused

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// What is kept: a burst, then one message each time; a client that tries the same again is kept once in a while, and of a
// message with many recipients the first ones. So a week of floods is 40,000 messages.
const (
	burst         = 200
	each          = 15 * time.Second
	again         = 10 * time.Minute
	maxRecipients = 20
	maxKnown      = 1000 // refusals that are remembered, to know them again
	maxWaiting    = 100  // that are not in the history yet
)

// Mail is mail that was refused.
type Mail struct {
	From     string
	To       []string // none: it was refused before they were known
	Client   netip.Addr
	User     string
	Listener string
	Reply    string        // what the client was told
	Header   queue.Summary // as far as it is known
}

// Keeper keeps refused mail. Make one with New.
type Keeper struct {
	queue   queue.Queue
	now     func() time.Time
	report  func(error)
	waiting chan Mail

	mu    sync.Mutex
	limit *rate.Limiter
	known map[string]time.Time
}

// New returns a keeper that writes to the history of q; now is the time of day, and report is told what goes wrong.
func New(q queue.Queue, now func() time.Time, report func(error)) *Keeper {
	return &Keeper{queue: q, now: now, report: report, waiting: make(chan Mail, maxWaiting), limit: rate.NewLimiter(rate.Every(each), burst),
		known: map[string]time.Time{}}
}

// Note puts mail into the history soon, if there is room for it; it does not wait.
func (k *Keeper) Note(m Mail) {
	if !k.isNew(&m) {
		return
	}
	select {
	case k.waiting <- m:
	default:
	}
}

// isNew reports whether mail is to be kept.
func (k *Keeper) isNew(m *Mail) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	key := strings.Join([]string{m.From, strings.Join(m.To[:min(len(m.To), maxRecipients)], " "), m.Client.String(), m.Reply, m.Header.Subject}, "\x00")
	if last, known := k.known[key]; known && now.Sub(last) < again && !last.After(now) {
		return false
	}
	if !k.limit.AllowN(now, 1) {
		return false
	}
	if len(k.known) >= maxKnown {
		clear(k.known)
	}
	k.known[key] = now
	return true
}

// Run writes until ctx ends, and then what waits.
func (k *Keeper) Run(ctx context.Context) error {
	for {
		select {
		case m := <-k.waiting:
			k.write(ctx, &m)
			continue
		case <-ctx.Done():
		}
		for {
			select {
			case m := <-k.waiting:
				k.write(ctx, &m)
			default:
				return nil
			}
		}
	}
}

// write puts mail into the history.
func (k *Keeper) write(ctx context.Context, m *Mail) {
	ctx = context.WithoutCancel(ctx)
	draft, err := k.queue.New(ctx)
	if err == nil {
		defer draft.Discard() //nolint:errcheck // nothing was written
		err = draft.Commit(ctx, m.accepted(k.now()))
	}
	if err != nil {
		k.report(fmt.Errorf("refused mail is not in the history: %w", err))
	}
}

// accepted is what the history keeps of the mail.
func (m *Mail) accepted(now time.Time) queue.Accepted {
	why := clean(m.Reply)
	if n := len(m.To) - maxRecipients; n > 0 {
		why += fmt.Sprintf(" (and %d more recipients)", n)
	}
	h := queue.Summary{MessageID: clean(m.Header.MessageID), From: clean(m.Header.From), Subject: clean(m.Header.Subject)}
	a := queue.Accepted{Header: h, Envelope: envelope.Envelope{From: clean(m.From), Received: now,
		Client: envelope.Client{Addr: m.Client, User: m.User, Listener: m.Listener}}}
	for _, to := range m.To[:min(len(m.To), maxRecipients)] {
		a.Envelope.To = append(a.Envelope.To, envelope.Recipient{Address: clean(to)})
	}
	if len(m.To) == 0 {
		a.Envelope.To = []envelope.Recipient{{}}
	}
	for _, to := range a.Envelope.To {
		a.Done = append(a.Done, queue.Record{Recipient: to, State: envelope.Refused, At: now, Error: why})
	}
	return a
}

// clean returns text that can be stored.
func clean(s string) string { return strings.ToValidUTF8(s, "?") }
