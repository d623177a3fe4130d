package admin

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/glob"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
)

// View is what can be seen of a gateway: a [Client] asks a running one, a [Reader] looks into the queue.
type View interface {
	// List returns a page of the queue; of its messages the parts that the filter names.
	List(ctx context.Context, f Filter) (*Page, error)
	// Show returns one message of the queue, or an error that is queue.ErrNotFound.
	Show(ctx context.Context, id string) (*Message, error)
	// Open reads a message of the queue as it is stored.
	Open(ctx context.Context, id string) (io.ReadCloser, error)
	// Log reports what became of mail, waiting mail included.
	Log(ctx context.Context, f LogFilter) (*Log, error)
	// Status reports the state of the whole gateway.
	Status(ctx context.Context) (*Status, error)
}

// Source is what a Reader reads: a queue.Engine or a queue.Reader.
type Source interface {
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Body(ctx context.Context, id string) (queue.Body, error)
	Search(ctx context.Context, f queue.HistoryFilter) ([]queue.Record, error)
	Stats(ctx context.Context) (map[envelope.State]queue.Depth, error)
	Health(ctx context.Context) (queue.Health, error)
}

// Reader is the View of a queue.
type Reader struct {
	Queue Source
	// Why tells why each of these messages waits; nil: no gateway runs.
	Why func(ctx context.Context, list []queue.Message) (*waiting.View, error)
}

// messages returns messages as they are shown.
func (r Reader) messages(ctx context.Context, list []queue.Message) ([]Message, error) {
	view := &waiting.View{}
	if r.Why != nil {
		var err error
		if view, err = r.Why(ctx, list); err != nil {
			return nil, err
		}
	}
	out := make([]Message, len(list))
	for i := range list {
		out[i] = newMessage(&list[i], view)
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
func (r Reader) List(ctx context.Context, f Filter) (*Page, error) {
	limit := page(f.Limit)
	chosen, err := f.chosen(time.Now())
	if err != nil {
		return nil, err
	}
	list, err := r.Queue.List(ctx, chosen, queue.Page{After: f.After, Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	p := &Page{}
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
	p.Messages, err = r.messages(ctx, list)
	return p, err
}

// Show implements View.
func (r Reader) Show(ctx context.Context, id string) (*Message, error) {
	list, err := r.Queue.List(ctx, queue.Filter{IDs: []string{id}}, queue.Page{})
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
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
func (r Reader) Log(ctx context.Context, f LogFilter) (*Log, error) {
	limit := page(f.Limit)
	records, err := r.Queue.Search(ctx, queue.HistoryFilter{ID: f.ID, From: f.From, To: f.To, Since: f.Since, Limit: limit + 1})
	if err != nil {
		return nil, err
	}
	entries, truncated, err := r.waiting(ctx, f)
	if err != nil {
		return nil, err
	}
	for i := range records {
		entries = append(entries, recordEntry(&records[i]))
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(a.ID, b.ID), cmp.Compare(a.To, b.To))
	})
	if len(entries) > limit {
		entries, truncated = entries[:limit], true
	}
	return &Log{Entries: entries, Truncated: truncated}, nil
}

// waiting returns the recipients in the queue that match.
func (r Reader) waiting(ctx context.Context, f LogFilter) (entries []Entry, truncated bool, err error) {
	q, p := queue.Filter{}, queue.Page{Limit: maxPage}
	if f.ID != "" {
		q.IDs = []string{f.ID}
	}
	entries = []Entry{}
	for seen := 0; ; {
		list, err := r.Queue.List(ctx, q, p)
		if err != nil {
			return nil, false, err
		}
		for i := range list {
			entries = appendWaiting(entries, &list[i], f)
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

func appendWaiting(entries []Entry, m *queue.Message, f LogFilter) []Entry {
	if f.From != "" && !matches(f.From, m.Envelope.From) {
		return entries
	}
	for _, p := range m.Parts {
		at := p.Progress.LastAttempt
		if at.IsZero() {
			at = m.Envelope.Received
		}
		if at.Before(f.Since) {
			continue
		}
		for _, to := range p.To {
			if f.To != "" && !matches(f.To, to.Address) && !matches(f.To, to.Given) {
				continue
			}
			entries = append(entries, Entry{ID: m.ID, At: at, State: p.State, From: m.Envelope.From, To: to.Address, Given: to.Given,
				Upstream: p.Lane, Attempts: p.Progress.Attempts, Error: p.Progress.Error, NextAt: p.NextAt, Header: m.Header,
				Size: m.Size, Received: m.Envelope.Received})
		}
	}
	return entries
}

func recordEntry(r *queue.Record) Entry {
	return Entry{ID: r.ID, At: r.At, State: r.State, From: r.From, To: r.Recipient.Address, Given: r.Recipient.Given, Upstream: r.Upstream,
		ProviderID: r.ProviderID, Attempts: r.Attempts, Error: r.Error, Header: r.Header, Size: r.Size, Received: r.Received}
}

// matches reports whether a glob pattern matches the whole of an address, ignoring case.
func matches(pattern, s string) bool {
	return glob.Match(strings.ToLower(mime.AddressText(pattern)), strings.ToLower(mime.AddressText(s)))
}

// Status implements View: what the queue knows.
func (r Reader) Status(ctx context.Context) (*Status, error) {
	s := &Status{Upstreams: []Upstream{}, Queue: map[envelope.State]QueueStatus{}}
	if err := r.fill(ctx, s); err != nil {
		return nil, err
	}
	return s, nil
}

// fill adds what waits in the queue to a status.
func (r Reader) fill(ctx context.Context, s *Status) error {
	depths, err := r.Queue.Stats(ctx)
	if err != nil {
		return err
	}
	for _, state := range []envelope.State{envelope.Queued, envelope.Held, envelope.Failed} {
		d := depths[state]
		s.Queue[state] = QueueStatus{Parts: d.Parts, Bytes: d.Bytes, Oldest: d.Oldest}
	}
	h, err := r.Queue.Health(ctx)
	if err != nil {
		return err
	}
	s.Store = StoreStatus{Unclean: h.Unclean, LogBytes: h.LogBytes, Aside: h.Aside, Notes: h.Notes}
	if h.Aside > 0 {
		s.Store.AsideDir = h.AsideDir
	}
	return nil
}
