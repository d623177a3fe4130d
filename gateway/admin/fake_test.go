package admin

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strconv"
	"sync"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// fakeQueue holds messages in memory. Methods that admin does not call panic.
type fakeQueue struct {
	database     *queue.DatabaseHealth
	queue.Engine // nil
	mu           sync.Mutex
	messages     map[string]*queue.Message
	bodies       map[string][]byte
	history      []queue.Record
	events       map[string][]queue.Event
	lanes        map[string]queue.Lane
	err          error // of all calls
	lists        []queue.Page
	actErr       error
	busy         string // recipient that is being offered
}

func newFake(messages ...queue.Message) *fakeQueue {
	q := &fakeQueue{messages: map[string]*queue.Message{}, bodies: map[string][]byte{}, lanes: map[string]queue.Lane{}}
	for _, m := range messages {
		q.messages[m.ID] = &m
		q.bodies[m.ID] = []byte("Subject: " + m.Header.Subject + "\r\n\r\nbody of " + m.ID + "\r\n")
	}
	return q
}

func (q *fakeQueue) List(_ context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lists = append(q.lists, p)
	var list []queue.Message
	for id, m := range q.messages {
		in := func(p queue.Part) bool { return len(f.Names(m, &p)) > 0 }
		if (len(f.IDs) == 0 || slices.Contains(f.IDs, id)) && id > p.After && slices.ContainsFunc(m.Parts, in) {
			list = append(list, *m)
		}
	}
	sort.Slice(list, func(i, j int) bool { return list[i].ID < list[j].ID })
	if p.Limit > 0 && len(list) > p.Limit {
		list = list[:p.Limit]
	}
	return list, q.err
}

type fakeBody struct {
	*bytes.Reader
	closed *bool
}

func (b fakeBody) Close() error { *b.closed = true; return nil }

func (q *fakeQueue) Body(_ context.Context, id string) (queue.Body, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	b, ok := q.bodies[id]
	if !ok {
		return nil, queue.ErrNotFound
	}
	return fakeBody{bytes.NewReader(b), new(bool)}, q.err
}

// change puts the parts that the filter names into a state; "" removes them.
func (q *fakeQueue) change(f queue.Filter, a api.Action, state envelope.State, lane string) (n queue.Changed, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if err := cmp.Or(q.err, q.actErr); err != nil {
		return n, err
	}
	for id, m := range q.messages {
		var parts []queue.Part
		changed := false
		for _, p := range m.Parts {
			var to []envelope.Recipient
			if f.IDs == nil || slices.Contains(f.IDs, id) {
				named := f.Names(m, &p)
				to = slices.DeleteFunc(slices.Clone(named), func(r envelope.Recipient) bool { return r.Address == q.busy })
				n.Busy += len(named) - len(to)
			}
			rest := p
			rest.To = slices.DeleteFunc(slices.Clone(p.To), func(r envelope.Recipient) bool {
				return slices.ContainsFunc(to, func(o envelope.Recipient) bool { return o.Address == r.Address })
			})
			if len(rest.To) > 0 {
				parts = append(parts, rest)
			}
			if len(to) == 0 {
				continue
			}
			p.To = to
			if d := (&deed{action: a, target: lane}); d.changes(&p) && (a != api.Move || queue.MayMove(&p, lane)) {
				if changed = true; a == api.Move {
					p.Lane, state = lane, p.State
				}
				p.State = state
				n.Recipients += len(to)
			}
			if p.State != "" {
				parts = append(parts, p)
			}
		}
		if m.Parts = parts; len(parts) == 0 {
			delete(q.messages, id)
		}
		if changed {
			n.Messages++
		}
	}
	return n, nil
}

func (q *fakeQueue) Retry(_ context.Context, f queue.Filter, _ string) (queue.Changed, error) {
	return q.change(f, api.Retry, envelope.Queued, "")
}

func (q *fakeQueue) Hold(_ context.Context, f queue.Filter, _ string) (queue.Changed, error) {
	return q.change(f, api.Hold, envelope.Held, "")
}

func (q *fakeQueue) Release(_ context.Context, f queue.Filter, _ string) (queue.Changed, error) {
	return q.change(f, api.Release, envelope.Queued, "")
}

func (q *fakeQueue) Delete(_ context.Context, f queue.Filter, _ string) (queue.Changed, error) {
	return q.change(f, api.Delete, "", "")
}

func (q *fakeQueue) Move(_ context.Context, f queue.Filter, lane, _ string) (queue.Changed, error) {
	return q.change(f, api.Move, "", lane)
}

func (q *fakeQueue) Search(_ context.Context, f queue.HistoryFilter) ([]queue.Record, error) {
	var list []queue.Record
	for i := len(q.history) - 1; i >= 0; i-- { // the latest record is the last
		r := q.history[i]
		r.Key = fmt.Sprint(i)
		if n, err := strconv.Atoi(f.After); (f.After == "" || err == nil && i < n) && f.Matches(&r) && (f.Limit == 0 || len(list) < f.Limit) {
			list = append(list, r)
		}
	}
	return list, q.err
}

func (q *fakeQueue) Events(_ context.Context, id string) ([]queue.Event, error) {
	return q.events[id], nil
}

func (q *fakeQueue) Health(context.Context) (queue.Health, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	return queue.Health{Database: q.database}, q.err
}

func (q *fakeQueue) Stats(context.Context) (map[envelope.State]queue.Depth, error) {
	if q.err != nil {
		return nil, q.err
	}
	stats := map[envelope.State]queue.Depth{}
	for _, m := range q.messages {
		for _, p := range m.Parts {
			d := stats[p.State]
			d.Parts++
			d.Bytes += m.Size
			if d.Oldest.IsZero() || m.Envelope.Received.Before(d.Oldest) {
				d.Oldest = m.Envelope.Received
			}
			stats[p.State] = d
		}
	}
	return stats, nil
}

var errLanes = errors.New("lanes are lost")

func (q *fakeQueue) Lanes(context.Context) (map[string]queue.Lane, error) {
	if q.lanes == nil {
		return nil, errLanes
	}
	out := map[string]queue.Lane{}
	for k, v := range q.lanes {
		out[k] = v
	}
	return out, nil
}

// day0 is when the first message of the tests was accepted.
var day0 = time.Date(2026, 3, 1, 8, 0, 0, 0, time.UTC)

// message makes a message with one part for each state, to TO@example.org.
func message(id, recipient, lane string, states ...envelope.State) queue.Message {
	m := queue.Message{ID: id, Size: 1000, Header: queue.Summary{Subject: "secret of " + id, MessageID: "<" + id + "@x>"},
		Envelope: envelope.Envelope{From: "app@example.com", Received: day0}}
	for _, s := range states {
		r := envelope.Recipient{Address: recipient + "@example.org", Given: recipient}
		m.Envelope.To = append(m.Envelope.To, r)
		m.Parts = append(m.Parts, queue.Part{To: []envelope.Recipient{r}, Lane: lane, State: s})
	}
	return m
}
