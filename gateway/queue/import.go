package queue

import (
	"context"
	"io"
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
	Size int64     // bytes of the message
	Body io.Reader // the message; of one without Parts its header, as far as it is kept
}

// IsKnown reports whether a store has a message, or what became of it.
func IsKnown(ctx context.Context, s interface {
	List(ctx context.Context, f Filter, p Page) ([]Message, error)
	Search(ctx context.Context, f HistoryFilter) ([]Record, error)
}, id string) (bool, error) {
	list, err := s.List(ctx, Filter{IDs: []string{id}}, Page{Limit: 1})
	if err != nil || len(list) > 0 {
		return err == nil, err
	}
	records, err := s.Search(ctx, HistoryFilter{ID: id, Limit: 1})
	return len(records) > 0, err
}
