package postgres

import (
	"context"
	"fmt"
	"io"

	"mailhatch/gateway/queue"
)

// Import implements queue.Importer.
func (s *Store) Import(ctx context.Context, m *queue.Imported) (isNew bool, err error) {
	id, ok := queue.ParseID(m.ID)
	if !ok {
		return false, fmt.Errorf("queue: %q is not a queue id", m.ID)
	}
	if known, err := queue.IsKnown(ctx, s, m.ID); known || err != nil {
		return false, err
	}
	made, err := s.New(ctx)
	if err != nil {
		return false, err
	}
	d := made.(*draft)
	defer d.Discard() //nolint:errcheck // it is committed, or of no use
	d.id = id
	if _, err := io.Copy(d, m.Body); err != nil {
		return false, err
	}
	if len(m.Parts) == 0 {
		d.size = m.Size // only the header was written
	}
	err = d.Commit(ctx, m.Accepted)
	return err == nil, err
}
