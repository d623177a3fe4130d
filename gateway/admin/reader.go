package admin

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

// Source is what a Reader reads: a queue.Engine or a queue.Reader.
type Source interface {
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Body(ctx context.Context, id string) (queue.Body, error)
	Search(ctx context.Context, f queue.HistoryFilter) ([]queue.Record, error)
	Events(ctx context.Context, id string) ([]queue.Event, error)
	Stats(ctx context.Context) (map[envelope.State]queue.Depth, error)
	Health(ctx context.Context) (queue.Health, error)
}

// Reader is the View of a queue.
type Reader struct {
	Queue Source
	// Why tells why each of these messages waits; nil: no gateway runs.
	Why func(ctx context.Context, list []queue.Message) (*waiting.View, error)
	// Maildrop looks at the maildrop, and at so many of its messages; nil: there is none.
	Maildrop func(most int) (*maildrop.Waiting, error)
}

// messages returns messages as they are shown.
func (r Reader) messages(ctx context.Context, list []queue.Message) ([]api.Message, error) {
	view := &waiting.View{}
	if r.Why != nil {
		var err error
		if view, err = r.Why(ctx, list); err != nil {
			return nil, err
		}
	}
	out := make([]api.Message, len(list))
	for i := range list {
		out[i] = NewMessage(&list[i], view)
	}
	return out, nil
}

const (
	maxPage = 1000   // messages or records
	maxScan = 10_000 // messages of the queue that Log looks at
)

// page returns the number of rows for a requested limit.
func page(limit int) int {
	if limit <= 0 {
		return maxPage
	}
	return min(limit, maxPage)
}

// List implements View.
func (r Reader) List(ctx context.Context, f api.Filter) (*api.Page, error) {
	limit := page(f.Limit)
	chosen, err := chosen(&f, time.Now())
	if err != nil {
		return nil, err
	}
	list, err := r.queued(ctx, chosen, queue.Page{After: f.After, Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	p := &api.Page{}
	if len(list) > limit {
		list = list[:limit]
		p.Next = list[limit-1].ID
	}
	for i := range list {
		m := &list[i]
		var parts []queue.Part
		for j := range m.Parts {
			if part := named(&chosen, m, &m.Parts[j]); part != nil {
				parts = append(parts, *part)
			}
		}
		m.Parts = parts
	}
	if p.Messages, err = r.messages(ctx, list); err != nil {
		return nil, err
	}
	p.Maildrop, err = r.dropped(&f, &chosen)
	return p, err
}

// Show implements View.
func (r Reader) Show(ctx context.Context, id string) (*api.Message, error) {
	list, err := r.Queue.List(ctx, queue.Filter{IDs: []string{id}}, queue.Page{})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		dropped, err := r.dropped(&api.Filter{IDs: []string{id}}, &queue.Filter{})
		switch {
		case err != nil:
			return nil, err
		case len(dropped) > 0:
			return &dropped[0], nil
		}
		return nil, fmt.Errorf("%w: %s", queue.ErrNotFound, id)
	}
	shown, err := r.messages(ctx, list)
	if err != nil {
		return nil, err
	}
	return &shown[0], nil
}

// Open implements View.
func (r Reader) Open(ctx context.Context, id string) (io.ReadCloser, error) {
	body, err := r.Queue.Body(ctx, id)
	if err != nil {
		return nil, err
	}
	return bodyReader{io.NewSectionReader(body, 0, body.Size()), body}, nil
}

type bodyReader struct {
	*io.SectionReader
	io.Closer
}

// Log implements View.
func (r Reader) Log(ctx context.Context, f api.LogFilter) (*api.Log, error) {
	limit := page(f.Limit)
	from, err := readPlace(f.After)
	if err != nil {
		return nil, err
	}
	h := history(&f)
	entries, truncated, err := r.waiting(ctx, h)
	if err != nil {
		return nil, err
	}
	entries = slices.DeleteFunc(entries, from.passed)
	slices.SortFunc(entries, func(a, b *api.Entry) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID), cmp.Compare(a.To, b.To))
	})
	var records []queue.Record
	if f.State != envelope.Queued && f.State != envelope.Held { // these are of the queue alone
		h.After, h.Limit = from.Key, limit+1
		if records, err = r.Queue.Search(ctx, h); err != nil {
			return nil, err
		}
	}
	l := &api.Log{Entries: []api.Entry{}, Truncated: truncated}
	for len(l.Entries) < limit && len(entries)+len(records) > 0 {
		// Records stand in the order of their writing, which clocks may contradict.
		if len(records) == 0 || len(entries) > 0 && !entries[0].At.Before(records[0].At) {
			l.Entries, entries = append(l.Entries, *entries[0]), entries[1:]
			last := &l.Entries[len(l.Entries)-1]
			from.At, from.ID, from.To = last.At, last.ID, last.To
		} else {
			l.Entries, from.Key = append(l.Entries, recordEntry(&records[0])), records[0].Key
			records = records[1:]
		}
	}
	if len(entries)+len(records) > 0 {
		l.Truncated, l.Next = true, from.String()
	}
	if f.ID != "" {
		events, err := r.Queue.Events(ctx, f.ID)
		if err != nil {
			return nil, err
		}
		for i := range events {
			l.Events = append(l.Events, api.Step(events[i]))
		}
	}
	return l, r.explain(ctx, l.Entries)
}

// explain adds to entries of mail in the queue why they wait.
func (r Reader) explain(ctx context.Context, entries []api.Entry) error {
	waits := map[waiting.Key]*api.Entry{}
	var ids []string
	for i := range entries {
		if e := &entries[i]; e.State == envelope.Queued || e.State == envelope.Held {
			ids = append(ids, e.ID)
			waits[waiting.Key{ID: e.ID, Address: e.To}] = e
		}
	}
	if len(ids) == 0 {
		return nil
	}
	list, err := r.Queue.List(ctx, queue.Filter{IDs: slices.Compact(slices.Sorted(slices.Values(ids)))}, queue.Page{})
	if err != nil {
		return err
	}
	messages, err := r.messages(ctx, list)
	for i := range messages {
		for _, p := range messages[i].Parts {
			for _, to := range p.To {
				if e := waits[waiting.Key{ID: messages[i].ID, Address: to.Address}]; e != nil && e.State == p.State {
					e.Why, e.WhyCode, e.Expect = p.Why, p.WhyCode, p.Expect
				}
			}
		}
	}
	return err
}

// history returns the filter of records that chooses the same.
func history(f *api.LogFilter) queue.HistoryFilter {
	return queue.HistoryFilter{ID: f.ID, From: search.Address(f.From), To: search.Address(f.To), Word: f.Word, Subject: f.Subject, State: f.State,
		Upstream: f.Upstream, MessageID: f.MessageID, ProviderID: f.ProviderID, Since: f.Since, Until: f.Until}
}

// waiting returns the recipients in the queue that a filter of records would choose if they were such.
func (r Reader) waiting(ctx context.Context, f queue.HistoryFilter) (entries []*api.Entry, truncated bool, err error) {
	q, p := queue.Filter{State: f.State, Lane: f.Upstream}, queue.Page{Limit: maxPage} // a filter by text would look at all
	if f.ID != "" {
		q.IDs = []string{f.ID}
	}
	switch f.State {
	case "", envelope.Queued, envelope.Held, envelope.Failed:
	default:
		return entries, false, nil
	}
	for seen := 0; ; {
		list, err := r.Queue.List(ctx, q, p)
		if err != nil {
			return nil, false, err
		}
		for i := range list {
			entries = appendWaiting(entries, &list[i], &f)
		}
		if seen += len(list); len(list) < maxPage {
			return entries, false, nil
		}
		if seen >= maxScan {
			return entries, true, nil
		}
		p.After = list[len(list)-1].ID
	}
}

func appendWaiting(entries []*api.Entry, m *queue.Message, f *queue.HistoryFilter) []*api.Entry {
	for _, p := range m.Parts {
		at := p.Progress.LastAttempt
		if at.IsZero() {
			at = m.Envelope.Received
		}
		for _, to := range p.To {
			rec := queue.Record{ID: m.ID, Recipient: to, State: p.State, At: at, Upstream: p.Lane, Error: p.Progress.Error, Attempts: p.Progress.Attempts, Gateway: p.Progress.Gateway,
				From: m.Envelope.From, Header: m.Header, Size: m.Size, Received: m.Envelope.Received}
			if !f.Matches(&rec) {
				continue
			}
			e := recordEntry(&rec)
			e.NextAt = p.NextAt
			entries = append(entries, &e)
		}
	}
	return entries
}

// place is where a page of the log ended: the last that waits, and the last record of the history.
type place struct {
	At     time.Time `json:"at"`
	ID, To string
	Key    string
}

// passed reports whether an entry that waits was on the pages before.
func (p place) passed(e *api.Entry) bool {
	return p.ID != "" && cmp.Or(p.At.Compare(e.At), cmp.Compare(e.ID, p.ID), cmp.Compare(e.To, p.To)) <= 0
}

// String returns the place in text.
func (p place) String() string {
	b, _ := json.Marshal(p) // it always can
	return base64.RawURLEncoding.EncodeToString(b)
}

func readPlace(s string) (p place, err error) {
	if s == "" {
		return p, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(b, &p)
	}
	if err != nil {
		return p, badRequest("after: %q is not a position in the log", s)
	}
	return p, nil
}

func recordEntry(r *queue.Record) api.Entry {
	return api.Entry{ID: r.ID, At: r.At, State: r.State, From: r.From, To: r.Recipient.Address, Given: r.Recipient.Given, Upstream: r.Upstream,
		ProviderID: r.ProviderID, Attempts: r.Attempts, Error: r.Error, Header: r.Header, Size: r.Size, Received: r.Received, Gateway: r.Gateway}
}

// Status implements View: what the queue knows.
func (r Reader) Status(ctx context.Context) (*api.Status, error) {
	s := &api.Status{Upstreams: []api.Upstream{}, Queue: map[envelope.State]api.QueueStatus{}}
	if err := r.fill(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// fill adds what waits in the queue to a status.
func (r Reader) fill(ctx context.Context, s *api.Status) error {
	depths, err := r.Queue.Stats(ctx)
	if err != nil {
		return err
	}
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		d := depths[state]
		s.Queue[state] = api.QueueStatus{Parts: d.Parts, Bytes: d.Bytes, Oldest: d.Oldest}
	}
	if s.Maildrop, err = r.maildropStatus(); err != nil {
		return err
	}
	h, err := r.Queue.Health(ctx)
	if err != nil {
		return err
	}
	s.Store = api.StoreStatus{Unclean: h.Unclean, LogBytes: h.LogBytes, Aside: h.Aside, Notes: h.Notes}
	if h.Aside > 0 {
		s.Store.AsideDir = h.AsideDir
	}
	return nil
}
