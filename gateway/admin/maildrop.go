package admin

import (
	"context"
	"fmt"
	"slices"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

// maildropStatus looks at the maildrop; nil: there is none to look at.
func (r Reader) maildropStatus() (*api.MaildropStatus, error) {
	if r.Maildrop == nil {
		return nil, nil
	}
	w, err := r.Maildrop(0)
	if err != nil {
		return nil, fmt.Errorf("the maildrop cannot be read: %w", err)
	}
	s := &api.MaildropStatus{Messages: w.Count, Bytes: w.Bytes, Oldest: w.Oldest, Refused: w.Refused}
	if w.Refused > 0 {
		s.RefusedDir = w.RefusedDir
	}
	return s, nil
}

// queued returns messages of the queue; it has none in the state of the maildrop.
func (r Reader) queued(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error) {
	if f.State == api.InMaildrop {
		return nil, nil
	}
	return r.Queue.List(ctx, f, p)
}

// dropped returns what waits in the maildrop, as far as a filter names it: on the first page, if nothing is asked for that
// mail of the maildrop does not have.
func (r Reader) dropped(f *api.Filter, chosen *queue.Filter) ([]api.Message, error) {
	if r.Maildrop == nil || f.After != "" || f.Upstream != "" || f.Subject != "" || f.State != "" && f.State != api.InMaildrop {
		return nil, nil
	}
	w, err := r.Maildrop(page(f.Limit))
	if err != nil {
		return nil, fmt.Errorf("the maildrop cannot be read: %w", err)
	}
	names := *chosen
	names.IDs, names.State = nil, ""
	var list []api.Message
	for i := range w.Messages {
		if f.IDs != nil && !slices.Contains(f.IDs, w.Messages[i].ID) {
			continue
		}
		m := NewDropped(&w.Messages[i], r.Why != nil)
		asked := queue.Message{ID: m.ID, Envelope: m.Envelope, Size: m.Size}
		if to := names.Names(&asked, &queue.Part{To: m.Envelope.To}); len(to) > 0 || len(m.Envelope.To) == 0 && f.From+f.To+f.Older == "" {
			m.Parts[0].To = append(m.Parts[0].To[:0], to...)
			list = append(list, m)
		}
	}
	return list, nil
}

// NewDropped shows a message of the maildrop like one of the queue.
func NewDropped(d *maildrop.Message, running bool) api.Message {
	m := api.Message{ID: d.ID, Size: d.Size, Envelope: *d.Envelope}
	m.Envelope.Received = d.At
	m.Envelope.Client = envelope.Client{User: envelope.AccountUser(d.UID), Listener: "submit", Protocol: "local"}
	why := "left by " + envelope.Account(d.UID) + " while the gateway was down; "
	if running {
		why += "it is taken in now"
	} else {
		why += "it is taken in when the gateway starts"
	}
	if len(d.Envelope.To) == 0 {
		why += "; its envelope cannot be read"
	}
	m.Parts = []api.Part{{State: api.InMaildrop, To: append([]envelope.Recipient{}, d.Envelope.To...), Why: why}}
	return m
}

// NoQueue is the Source of a gateway that has never run.
type NoQueue struct{}

// List implements Source.
func (NoQueue) List(context.Context, queue.Filter, queue.Page) ([]queue.Message, error) {
	return nil, nil
}

// Body implements Source.
func (NoQueue) Body(_ context.Context, id string) (queue.Body, error) {
	return nil, fmt.Errorf("%w: %s", queue.ErrNotFound, id)
}

// Search implements Source.
func (NoQueue) Search(context.Context, queue.HistoryFilter) ([]queue.Record, error) { return nil, nil }

// Stats implements Source.
func (NoQueue) Stats(context.Context) (map[envelope.State]queue.Depth, error) {
	return map[envelope.State]queue.Depth{}, nil
}

// Health implements Source.
func (NoQueue) Health(context.Context) (queue.Health, error) { return queue.Health{}, nil }

// Events implements Source.
func (NoQueue) Events(context.Context, string) ([]queue.Event, error) { return nil, nil }
