package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// moveAll moves what is in the spool whenever the database can be asked, until ctx ends.
func (s *Store) moveAll(ctx context.Context) {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	failing := false
	defer func() { s.outage.Load().begin() }()
	for moved := int64(-1); ; { // of those taken, when the spool was last seen to be empty; what it holds at the start is not known
		s.look()
		if taken := s.taken.Load(); taken != moved && !s.away() {
			n, err := s.move(ctx, taken)
			if n > 0 {
				s.log.Info("queue: moved mail from the spool to the database", "messages", n)
			}
			if err != nil && !failing && ctx.Err() == nil {
				s.log.Warn("queue: mail stays in the spool for now", "error", err)
			}
			if failing = err != nil; !failing {
				moved = taken
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// look lets an outage begin, or end.
func (s *Store) look() {
	now := s.outage.Load()
	switch away, began := s.away(), now.ctx.Err() != nil; {
	case away && !began:
		now.begin()
	case !away && began:
		s.outage.Store(newOutage())
	}
}

// move moves what is in the spool and returns how many messages that were. One that cannot be moved does not keep those behind
// it there. taken is how many the spool had taken before.
func (s *Store) move(ctx context.Context, taken int64) (moved int, err error) {
	for after := ""; ; {
		list, listErr := s.local.List(ctx, queue.Filter{}, queue.Page{After: after, Limit: pageSize})
		if listErr != nil {
			return moved, errors.Join(err, listErr)
		}
		if len(list) == 0 {
			break
		}
		for i := range list {
			after = list[i].ID
			if oneErr := s.moveOne(ctx, &list[i]); oneErr == nil {
				moved++
			} else if err == nil {
				err = fmt.Errorf("%s: %w", after, oneErr)
			}
			if err != nil && (ctx.Err() != nil || s.away() || errors.Is(err, queue.ErrAway)) {
				return moved, err
			}
		}
	}
	if err != nil {
		return moved, err
	}
	if err := s.moveEnded(ctx); err != nil {
		return moved, err
	}
	// What the spool knows of mail that it has given away is of no use.
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.taken.Load() == taken { // else it may have what was not seen above
		_, err = s.local.Prune(ctx, queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()})
	}
	return moved, err
}

// spoolName is who takes mail out of the spool.
const spoolName = "spool"

// moveEnded moves what became of mail that nobody waits for, such as what was refused or discarded.
func (s *Store) moveEnded(ctx context.Context) error {
	seen := map[string]bool{}
	for after := ""; ; {
		records, err := s.local.Search(ctx, queue.HistoryFilter{After: after, Limit: pageSize})
		if err != nil || len(records) == 0 {
			return err
		}
		for i := range records {
			r := &records[i]
			after = r.Key
			if r.ID == "" || seen[r.ID] {
				continue
			}
			seen[r.ID] = true
			if err := s.moveEnd(ctx, r); err != nil {
				return fmt.Errorf("%s: %w", r.ID, err)
			}
		}
	}
}

// moveEnd moves what became of one message, of which r is one record. One that waits for other recipients, because it has
// come since move looked, is left to moveOne: the database takes a message once, and it would have it without these.
func (s *Store) moveEnd(ctx context.Context, r *queue.Record) error {
	if waiting, err := s.local.List(ctx, queue.Filter{IDs: []string{r.ID}}, queue.Page{Limit: 1}); err != nil || len(waiting) > 0 {
		return err
	}
	m := &queue.Message{ID: r.ID, Header: r.Header, Size: r.Size, Envelope: envelope.Envelope{From: r.From, Received: r.Received}}
	var fields []byte
	f, err := s.local.Finished(ctx, r.ID)
	switch {
	case err == nil:
		m.Envelope, m.Header, fields = f.Envelope, f.Header, f.Fields
	case !errors.Is(err, queue.ErrNotFound):
		return err
	}
	return s.put(ctx, m, bytes.NewReader(fields))
}

// moveOne stores a message in the database, unless an earlier try has done so, and only then takes it out of the spool.
func (s *Store) moveOne(ctx context.Context, m *queue.Message) error {
	body, err := s.local.Body(ctx, m.ID)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // read only
	if err := s.put(ctx, m, io.NewSectionReader(body, 0, body.Size())); err != nil {
		return err
	}
	changed, err := s.local.Delete(ctx, queue.Filter{IDs: []string{m.ID}}, spoolName)
	if err == nil && changed.Messages != 1 {
		err = errors.New("it is in the database but could not be removed from the spool")
	}
	return err
}

// put stores a message with what became of its recipients in the database.
func (s *Store) put(ctx context.Context, m *queue.Message, body io.ReadSeeker) error {
	records, err := s.local.Search(ctx, queue.HistoryFilter{ID: m.ID, Limit: 1 << 20})
	if err != nil {
		return err
	}
	events, err := s.local.Events(ctx, m.ID)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	if slices.ContainsFunc(events, func(e queue.Event) bool { return e.Kind == queue.EventDeleted && e.By == spoolName }) {
		return nil // it was moved
	}
	in := queue.Imported{ID: m.ID, Size: m.Size, Body: body,
		Accepted: queue.Accepted{Envelope: m.Envelope, Header: m.Header, Parts: m.Parts, Done: records, Events: events}}
	// The spool could not see whether another gateway has given the id to other mail.
	_, err = queue.ImportApart(ctx, s.Engine, &in)
	if err == nil && in.ID != m.ID {
		s.log.Warn("queue: the id of a spooled message was taken; it has a new one in the database", "id", m.ID, "now", in.ID)
	}
	return err
}
