package queue

import (
	"context"
	"io"
	"time"
)

// Importer takes in what another store has had.
type Importer interface {
	// Import stores a message under the id that it has, with its parts as they wait and the records and events of its
	// recipients, in one write, and reports whether that is new. Where the id is known already, waiting or in the history, it
	// changes nothing. One message may not be imported twice at the same time.
	Import(ctx context.Context, m *Imported) (isNew bool, err error)
}

// Imported is a message of another store.
type Imported struct {
	Accepted
	ID   string
	Size int64         // bytes of the message
	Body io.ReadSeeker // the message; of one without Parts its header, as far as it is kept
}

// Known is what a store knows of messages.
type Known interface {
	List(ctx context.Context, f Filter, p Page) ([]Message, error)
	Search(ctx context.Context, f HistoryFilter) ([]Record, error)
}

// IsKnown reports whether a store has a message, or what became of it.
func IsKnown(ctx context.Context, s Known, id string) (bool, error) {
	list, err := s.List(ctx, Filter{IDs: []string{id}}, Page{Limit: 1})
	if err != nil || len(list) > 0 {
		return err == nil, err
	}
	records, err := s.Search(ctx, HistoryFilter{ID: id, Limit: 1})
	return len(records) > 0, err
}

// ImportApart imports a message that the store does not have yet: under its id, or under the next free one where another
// message has that. It sets m.ID to the one that the message has in the store.
func ImportApart(ctx context.Context, s interface {
	Known
	Importer
}, m *Imported) (isNew bool, err error) {
	own := m.ID
	for {
		if isNew, err = s.Import(ctx, m); isNew || err != nil {
			return isNew, err
		}
		same, err := hasSame(ctx, s, m)
		if same || err != nil {
			return false, err
		}
		if _, err := m.Body.Seek(0, io.SeekStart); err != nil {
			return false, err
		}
		n, _ := ParseID(m.ID) // Import has read it
		m.ID = FormatID(n + 1)
		for i := range m.Parts {
			// What was offered is offered again under the same key.
			if p := &m.Parts[i]; p.Progress.Key == "" && (p.Interrupted || p.Progress.Attempts > 0) {
				p.Progress.Key = own
			}
		}
	}
}

// hasSame reports whether a store has this message under its id, and not another one.
func hasSame(ctx context.Context, s Known, m *Imported) (bool, error) {
	list, err := s.List(ctx, Filter{IDs: []string{m.ID}}, Page{Limit: 1})
	if err != nil {
		return false, err
	}
	if len(list) > 0 {
		return m.isThat(list[0].Envelope.Received, list[0].Size, list[0].Header), nil
	}
	records, err := s.Search(ctx, HistoryFilter{ID: m.ID, Limit: 1})
	if err != nil || len(records) == 0 {
		return false, err
	}
	return m.isThat(records[0].Received, records[0].Size, records[0].Header), nil
}

// isThat compares what the history keeps of a message, whatever it hides.
func (m *Imported) isThat(received time.Time, size int64, h Summary) bool {
	return m.Envelope.Received.UnixMilli() == received.UnixMilli() && m.Size == size && m.Header.MessageID == h.MessageID
}
