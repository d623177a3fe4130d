// Package find lists mail, in the queue and gone from it, newest first, a page at a time.
package find

import (
	"context"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Source is where mail is.
type Source interface {
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Search(ctx context.Context, f queue.HistoryFilter) ([]queue.Record, error)
}

// Message is a message that was found.
type Message struct {
	ID      string
	At      time.Time      // when it came, or, once it has left the queue, the last thing that happened
	Waiting *queue.Message // with all of its parts; nil: it has left the queue
	Records []queue.Record // of recipients whose fate is known; of a message that has left the queue those that were found

	key string // of the last record
}

// Page is a part of what there is.
type Page struct {
	Messages []Message
	Next     string // where the next page begins; "" after the last
	Cut      bool   // the queue is long: this is what was found in its newest part, Next goes on behind it
}

const (
	step    = 500    // messages of the queue that are read at once
	maxScan = 20_000 // messages of the queue that a page looks at
	records = 200    // records that are read at once
	maxRead = 2_000  // records of a page: messages may have any number of recipients
)

// Messages returns those that a search line names, at most limit, from a place that a page before it has named.
func Messages(ctx context.Context, src Source, line *search.Line, after string, limit int) (*Page, error) {
	f := &finder{src: src, line: line, limit: limit, place: parsePlace(after)}
	f.filter = queue.Filter{State: envelope.State(line.State), Lane: line.Upstream, From: search.Address(line.From), To: search.Address(line.To)}
	if line.ID != "" {
		f.filter.IDs = []string{line.ID}
		if _, ok := queue.ParseID(line.ID); !ok {
			return &Page{}, nil
		}
	}
	if err := f.readQueue(ctx); err != nil {
		return nil, err
	}
	if err := f.readHistory(ctx); err != nil {
		return nil, err
	}
	if err := f.dropListed(ctx); err != nil {
		return nil, err
	}
	page := f.merge()
	return page, f.complete(ctx, page)
}

// finder is one search.
type finder struct {
	src    Source
	line   *search.Line
	filter queue.Filter // of the queue
	limit  int
	place  place

	waiting     []Message
	scanned     string // the last message of the queue that was looked at; "" where all were
	gone        []Message
	moreRecords bool
}

// place is where a page begins: behind a message of the queue, and behind a record.
type place struct{ id, key string }

func (p place) String() string { return p.id + "." + p.key }

func parsePlace(s string) place {
	id, key, _ := strings.Cut(s, ".")
	return place{id, key}
}

// inQueue reports whether mail of the queue can be what is looked for.
func (f *finder) inQueue() bool {
	switch envelope.State(f.line.State) {
	case "", envelope.Queued, envelope.Held, envelope.Failed:
		return f.line.ProviderID == ""
	}
	return false
}

// inHistory reports the same of the history.
func (f *finder) inHistory() bool {
	return f.line.State == "" || slices.Contains(envelope.Finals(), envelope.State(f.line.State))
}

// readQueue finds messages in the queue, one more than a page has.
func (f *finder) readQueue(ctx context.Context) error {
	if !f.inQueue() {
		return nil
	}
	at := queue.Page{After: f.place.id, Newest: true, Limit: step}
	if f.line.Until.IsZero() && f.line.MessageID == "" && f.line.Subject == "" && f.line.From == "" && f.line.To == "" {
		at.Limit = min(step, f.limit+1) // most will do
	}
	for seen := 0; seen < maxScan; seen += at.Limit {
		list, err := f.src.List(ctx, queue.Filter{IDs: f.filter.IDs, State: f.filter.State, Lane: f.filter.Lane}, at)
		if err != nil {
			return err
		}
		for i := range list {
			m := &list[i]
			if m.Envelope.Received.Before(f.line.Since) && !m.Envelope.Received.IsZero() {
				f.scanned = ""
				return nil // those that follow are older
			}
			if f.names(m) {
				f.waiting = append(f.waiting, Message{ID: m.ID, At: m.Envelope.Received, Waiting: m})
			}
			if f.scanned = m.ID; len(f.waiting) > f.limit {
				return nil
			}
		}
		if len(list) < at.Limit {
			f.scanned = ""
			return nil
		}
		at.After = f.scanned
	}
	return nil
}

// names reports whether a message of the queue has a part that is looked for.
func (f *finder) names(m *queue.Message) bool {
	record := queue.Record{At: m.Envelope.Received, Header: m.Header}
	rest := queue.HistoryFilter{Subject: f.line.Subject, MessageID: f.line.MessageID, Until: f.line.Until}
	return rest.Matches(&record) && slices.ContainsFunc(m.Parts, func(p queue.Part) bool { return len(f.filter.Names(m, &p)) > 0 })
}

// readHistory finds messages in the history, one more than a page has, those of the queue among them.
func (f *finder) readHistory(ctx context.Context) error {
	if !f.inHistory() {
		return nil
	}
	h := queue.HistoryFilter{ID: f.line.ID, From: f.filter.From, To: f.filter.To, Subject: f.line.Subject, State: f.filter.State, Upstream: f.line.Upstream,
		MessageID: f.line.MessageID, ProviderID: f.line.ProviderID, Since: f.line.Since, Until: f.line.Until, After: f.place.key, Limit: records}
	for read := 0; read < maxRead; read += records {
		list, err := f.src.Search(ctx, h)
		if err != nil {
			return err
		}
		for i := range list {
			r := &list[i]
			h.After = r.Key
			if n := len(f.gone); n > 0 && f.gone[n-1].ID == r.ID {
				f.gone[n-1].Records = append(f.gone[n-1].Records, *r)
				f.gone[n-1].key = r.Key
				continue
			}
			if len(f.gone) > f.limit {
				f.moreRecords = true
				return nil
			}
			f.gone = append(f.gone, Message{ID: r.ID, At: r.At, Records: []queue.Record{*r}, key: r.Key})
		}
		if len(list) < records {
			return nil
		}
	}
	f.moreRecords = true
	return nil
}

// dropListed empties messages of the history that are listed where they wait.
func (f *finder) dropListed(ctx context.Context) error {
	if len(f.gone) == 0 || !f.inQueue() {
		return nil
	}
	ids := make([]string, len(f.gone))
	for i := range f.gone {
		ids[i] = f.gone[i].ID
	}
	list, err := f.src.List(ctx, queue.Filter{IDs: ids}, queue.Page{})
	if err != nil {
		return err
	}
	for i := range list {
		if !f.names(&list[i]) {
			continue
		}
		for j := range f.gone {
			if f.gone[j].ID == list[i].ID {
				f.gone[j].Records = nil
			}
		}
	}
	return nil
}

// merge puts both together, the newest first.
func (f *finder) merge() *Page {
	p := &Page{}
	at, waiting, gone := f.place, f.waiting, f.gone
	for len(p.Messages) < f.limit && len(waiting)+len(gone) > 0 {
		switch {
		case len(gone) > 0 && gone[0].Records == nil:
			at.key, gone = gone[0].key, gone[1:]
		case len(gone) == 0, len(waiting) > 0 && waiting[0].At.After(gone[0].At):
			p.Messages = append(p.Messages, waiting[0])
			at.id, waiting = waiting[0].ID, waiting[1:]
		default:
			p.Messages = append(p.Messages, gone[0])
			at.key, gone = gone[0].key, gone[1:]
		}
	}
	if len(waiting) == 0 && f.scanned != "" {
		p.Cut, at.id = true, f.scanned
	}
	if p.Cut || len(waiting)+len(gone) > 0 || f.moreRecords {
		p.Next = at.String()
	}
	return p
}

// complete adds to messages of the queue what became of their other recipients.
func (f *finder) complete(ctx context.Context, p *Page) (err error) {
	for i := range p.Messages {
		m := &p.Messages[i]
		if m.Waiting == nil {
			continue
		}
		here := 0
		for _, part := range m.Waiting.Parts {
			here += len(part.To)
		}
		if here >= len(m.Waiting.Envelope.To) {
			continue
		}
		if m.Records, err = f.src.Search(ctx, queue.HistoryFilter{ID: m.ID, Limit: records}); err != nil {
			return err
		}
	}
	return nil
}
