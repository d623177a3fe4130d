// Package carry copies a queue with its history from one store into another.
package carry

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const pageSize = 200

// Done is how much was copied.
type Done struct {
	Waiting int `json:"waiting"` // messages in the queue
	Ended   int `json:"ended"`   // messages that have left it
	Known   int `json:"known"`   // messages that the other store had already
	// Renamed are messages whose id another message has in the other store.
	Renamed []Renamed `json:"renamed,omitempty"`
}

// Renamed is a message that has another id in the other store.
type Renamed struct {
	ID  string `json:"id"`
	Now string `json:"now"`
}

// ErrUnclean is why a store is not copied whose last process did not end well.
var ErrUnclean = errors.New("the gateway did not shut down cleanly, and what became of its last offers is not recorded yet")

// ErrOlder is why a store is not copied into one in which mail waits that has been offered, or changed, since it was copied from there.
var ErrOlder = errors.New("the message waits there too, as it was some time ago: from there it would be delivered again")

// Copy copies all messages and what became of others, in no state but the one that they have, then pauses and suppressed
// addresses. What the other store has already it leaves alone: a copy that was cut off goes on. No gateway may use the first store.
// tell, if there is one, is called now and then.
func Copy(ctx context.Context, from queue.Reader, to queue.Engine, tell func(Done)) (done Done, err error) {
	if h, err := from.Health(ctx); err != nil {
		return done, err
	} else if h.Unclean {
		return done, ErrUnclean
	}
	c := &copier{from: from, to: to, seen: map[string]struct{}{}, now: map[string]string{}}
	if tell == nil {
		tell = func(Done) {}
	}
	for _, step := range []func(context.Context, func(Done)) error{c.unreported, c.waiting, c.ended, c.bounced} {
		if err := step(ctx, tell); err != nil {
			return c.done, err
		}
	}
	paused, err := from.Paused(ctx)
	if err != nil {
		return c.done, err
	}
	for lane, p := range paused {
		if err := to.Pause(ctx, lane, p.By); err != nil {
			return c.done, err
		}
	}
	return c.done, c.suppressed(ctx)
}

// suppressed copies the addresses that get no mail.
func (c *copier) suppressed(ctx context.Context) error {
	after := ""
	for {
		list, err := c.from.Suppressions(ctx, queue.SuppressionFilter{After: after, Limit: pageSize})
		if err != nil || len(list) == 0 {
			return err
		}
		after = list[len(list)-1].Key
		for i := range list {
			list[i].ID = c.idOf(list[i].ID)
		}
		if _, err := c.to.Suppress(ctx, list...); err != nil {
			return err
		}
	}
}

type copier struct {
	from queue.Reader
	to   queue.Engine
	seen map[string]struct{} // ids
	now  map[string]string   // other ids of some
	late []queue.LateBounce  // that nobody was told of yet
	done Done
}

// unreported reads the late bounces that nobody was told of yet.
func (c *copier) unreported(ctx context.Context, _ func(Done)) error {
	after := ""
	for {
		list, err := c.from.LateBounces(ctx, after, pageSize)
		if err != nil || len(list) == 0 {
			return err
		}
		after = list[len(list)-1].Key
		for i := range list {
			if list[i].Record.State == envelope.Bounced {
				c.late = append(c.late, list[i])
			}
		}
	}
}

// untell takes back what was told of recipients whose late bounce was not reported: the other store is told of it anew.
func (c *copier) untell(m *queue.Imported) {
	for i := range c.late {
		l := &c.late[i]
		if l.Record.ID != m.ID {
			continue
		}
		for j := range m.Done {
			if r := &m.Done[j]; r.Recipient.Address == l.Record.Recipient.Address {
				r.State, r.Told, r.Error = envelope.Sent, time.Time{}, ""
			}
		}
		m.Events = slices.DeleteFunc(m.Events, func(e queue.Event) bool {
			return e.Told != "" && e.Kind == l.Told.Kind && slices.Contains(e.To, l.Record.Recipient.Address)
		})
	}
}

// bounced tells the other store of late bounces, which it does not report twice.
func (c *copier) bounced(ctx context.Context, _ func(Done)) error {
	for i := range c.late {
		l := &c.late[i]
		l.Told.ID, l.Told.Recipient = c.idOf(l.Record.ID), l.Record.Recipient.Address
		if _, err := c.to.Apply(ctx, queue.News{Upstream: l.Record.Upstream, Told: []queue.Told{l.Told}}); err != nil {
			return err
		}
	}
	return nil
}

// waiting copies what is in the queue.
func (c *copier) waiting(ctx context.Context, tell func(Done)) error {
	after := ""
	for {
		list, err := c.from.List(ctx, queue.Filter{}, queue.Page{After: after, Limit: pageSize})
		if err != nil || len(list) == 0 {
			return err
		}
		for i := range list {
			m := &list[i]
			after = m.ID
			c.seen[m.ID] = struct{}{}
			body, err := c.from.Body(ctx, m.ID)
			if err != nil {
				return fmt.Errorf("%s: %w", m.ID, err)
			}
			imported := &queue.Imported{ID: m.ID, Size: m.Size, Body: io.NewSectionReader(body, 0, body.Size()),
				Accepted: queue.Accepted{Envelope: m.Envelope, Header: m.Header, Parts: m.Parts}}
			err = c.put(ctx, imported, &c.done.Waiting)
			if err = errors.Join(err, body.Close()); err != nil {
				return fmt.Errorf("%s: %w", m.ID, err)
			}
		}
		tell(c.done)
	}
}

// put adds to a message what has become of its recipients, and stores it.
func (c *copier) put(ctx context.Context, m *queue.Imported, counter *int) (err error) {
	if m.Done, err = c.from.Search(ctx, queue.HistoryFilter{ID: m.ID, Limit: math.MaxInt32}); err != nil {
		return err
	}
	if m.Events, err = c.from.Events(ctx, m.ID); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	c.untell(m)
	own := m.ID
	isNew, err := queue.ImportApart(ctx, c.to, m)
	if err != nil {
		return err
	}
	if m.ID != own {
		c.now[own] = m.ID
		c.done.Renamed = append(c.done.Renamed, Renamed{own, m.ID})
	}
	if isNew {
		*counter++
		return nil
	}
	c.done.Known++
	return c.notOlder(ctx, m)
}

// idOf returns the id that a message has in the other store.
func (c *copier) idOf(id string) string { return cmp.Or(c.now[id], id) }

// notOlder makes sure that a message that the other store had already does not wait there for recipients with whom this store
// is done, nor without what has been written of it since. A gateway on the other store may be further.
func (c *copier) notOlder(ctx context.Context, m *queue.Imported) error {
	list, err := c.to.List(ctx, queue.Filter{IDs: []string{m.ID}}, queue.Page{Limit: 1})
	if err != nil || len(list) == 0 {
		return err
	}
	there := queue.Accepted{}
	if there.Done, err = c.to.Search(ctx, queue.HistoryFilter{ID: m.ID, Limit: math.MaxInt32}); err != nil {
		return err
	}
	if there.Events, err = c.to.Events(ctx, m.ID); err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	if len(m.Parts) == 0 || latest(&m.Accepted).After(latest(&there)) {
		return ErrOlder
	}
	for i := range m.Done {
		for j := range list[0].Parts {
			if slices.ContainsFunc(list[0].Parts[j].To, func(r envelope.Recipient) bool { return r.Address == m.Done[i].Recipient.Address }) {
				return ErrOlder
			}
		}
	}
	return nil
}

// latest returns when the last that is known of a message happened, in whole milliseconds.
func latest(m *queue.Accepted) (at time.Time) {
	for i := range m.Done {
		at = later(at, m.Done[i].At)
	}
	for i := range m.Events {
		at = later(at, m.Events[i].At)
	}
	return at
}

func later(a, b time.Time) time.Time {
	if b = b.Truncate(time.Millisecond); b.After(a) {
		return b
	}
	return a
}

// ended copies what became of mail that has left the queue.
func (c *copier) ended(ctx context.Context, tell func(Done)) error {
	after := ""
	for {
		records, err := c.from.Search(ctx, queue.HistoryFilter{After: after, Limit: pageSize})
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			r := &records[i]
			after = r.Key
			if _, ok := c.seen[r.ID]; ok || r.ID == "" {
				continue
			}
			c.seen[r.ID] = struct{}{}
			if err := c.end(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.ID, err)
			}
		}
		tell(c.done)
	}
}

// end copies what became of one message.
func (c *copier) end(ctx context.Context, r *queue.Record) error {
	m := &queue.Imported{ID: r.ID, Size: r.Size, Body: bytes.NewReader(nil), Accepted: queue.Accepted{Header: r.Header}}
	m.Envelope.From, m.Envelope.Received = r.From, r.Received
	f, err := c.from.Finished(ctx, r.ID)
	switch {
	case err == nil:
		m.Envelope, m.Header, m.Body = f.Envelope, f.Header, bytes.NewReader(f.Fields)
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	return c.put(ctx, m, &c.done.Ended)
}
