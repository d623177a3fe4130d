// Package spool keeps mail on the disk of its gateway while the database that gateways share is away, and moves it there
// when it is back, under the ids that it has.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync/atomic"
	"time"

	"mailhatch/gateway/queue"
)

// DirName is that of the spool in the state directory.
const DirName = "spool"

const (
	moveEvery = time.Second
	pageSize  = 100
)

// Store is a shared queue beside which a spool takes new mail while its database is away. Make one with New.
type Store struct {
	queue.Engine              // the shared one
	local        queue.Engine // nobody claims of it
	away         func() bool
	log          *slog.Logger
	taken        atomic.Int64 // messages that this process has put into the spool
}

// New returns a store that takes new mail into local while away says so. Close closes both.
func New(shared, local queue.Engine, away func() bool, log *slog.Logger) *Store {
	return &Store{Engine: shared, local: local, away: away, log: log}
}

// New implements queue.Queue.
func (s *Store) New(ctx context.Context) (queue.Draft, error) {
	if !s.away() {
		return s.Engine.New(ctx)
	}
	d, err := s.local.New(ctx)
	return draft{d, &s.taken}, err
}

// draft counts what the spool takes.
type draft struct {
	queue.Draft
	taken *atomic.Int64
}

func (d draft) Commit(ctx context.Context, m queue.Accepted) error {
	err := d.Draft.Commit(ctx, m)
	if err == nil {
		d.taken.Add(1)
	}
	return err
}

// Suppressed implements queue.Suppressions. Whom nobody can ask about is looked up again before mail is offered.
func (s *Store) Suppressed(ctx context.Context, domain string, addresses ...string) ([]queue.Suppression, error) {
	if s.away() {
		return nil, nil
	}
	return s.Engine.Suppressed(ctx, domain, addresses...)
}

// SetReserve implements queue.Engine: the spool is on a disk of this machine.
func (s *Store) SetReserve(bytes int64) { s.local.SetReserve(bytes) }

// Health implements queue.Engine.
func (s *Store) Health(ctx context.Context) (queue.Health, error) {
	h, err := s.Engine.Health(ctx)
	depths, localErr := s.local.Stats(ctx)
	n := 0
	for _, d := range depths {
		n += d.Parts
	}
	if n > 0 {
		h.Notes = append(h.Notes, fmt.Sprintf("the spool of this gateway holds new mail until the database is back: %d", n))
	}
	return h, errors.Join(err, localErr)
}

// Run implements queue.Engine.
func (s *Store) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 2)
	go func() { ended <- s.local.Run(ctx) }()
	go func() { ended <- s.Engine.Run(ctx) }()
	moving := make(chan struct{})
	go func() { defer close(moving); s.moveAll(ctx) }()
	err := <-ended // the first that fails ends all
	cancel()
	err = errors.Join(err, <-ended)
	<-moving
	return err
}

// Close implements queue.Engine.
func (s *Store) Close() error { return errors.Join(s.local.Close(), s.Engine.Close()) }

// moveAll moves what is in the spool whenever the database can be asked, until ctx ends.
func (s *Store) moveAll(ctx context.Context) {
	tick := time.NewTicker(moveEvery)
	defer tick.Stop()
	failing := false
	for moved := int64(-1); ; { // of those taken, when the spool was last seen to be empty; what it holds at the start is not known
		if taken := s.taken.Load(); taken != moved && !s.away() {
			n, err := s.move(ctx)
			if n > 0 {
				s.log.Info("queue: mail was moved from the spool to the database", "messages", n)
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

// move moves what is in the spool and returns how many messages that were. One that cannot be moved does not keep those behind
// it there.
func (s *Store) move(ctx context.Context) (moved int, err error) {
	for after := ""; ; {
		list, listErr := s.local.List(ctx, queue.Filter{}, queue.Page{After: after, Limit: pageSize})
		if listErr != nil || len(list) == 0 {
			return moved, errors.Join(err, listErr)
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
		// What the spool knows of mail that it has given away is of no use.
		if _, err := s.local.Prune(ctx, queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()}); err != nil {
			return moved, err
		}
	}
}

// moveOne stores a message in the database, unless an earlier try has done so, and only then takes it out of the spool.
func (s *Store) moveOne(ctx context.Context, m *queue.Message) error {
	body, err := s.local.Body(ctx, m.ID)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // read only
	records, err := s.local.Search(ctx, queue.HistoryFilter{ID: m.ID, Limit: 1 << 20})
	if err != nil {
		return err
	}
	events, err := s.local.Events(ctx, m.ID)
	if err != nil && !errors.Is(err, queue.ErrNotFound) {
		return err
	}
	id, err := s.newID(ctx, m)
	if err != nil {
		return err
	}
	_, err = s.Engine.Import(ctx, &queue.Imported{ID: id, Size: m.Size, Body: io.NewSectionReader(body, 0, body.Size()),
		Accepted: queue.Accepted{Envelope: m.Envelope, Header: m.Header, Parts: m.Parts, Done: records, Events: events}})
	if err != nil {
		return err
	}
	changed, err := s.local.Delete(ctx, queue.Filter{IDs: []string{m.ID}}, "spool")
	if err == nil && changed.Messages != 1 {
		err = errors.New("it is in the database but could not be removed from the spool")
	}
	return err
}

// newID returns the id under which a message goes into the database: its own, or the next one that is free where another
// gateway has given that to other mail meanwhile, which could not be seen from here. An earlier try has come to the same one.
func (s *Store) newID(ctx context.Context, m *queue.Message) (string, error) {
	n, ok := queue.ParseID(m.ID)
	if !ok {
		return m.ID, nil // which Import refuses
	}
	for id := m.ID; ; n, id = n+1, queue.FormatID(n+1) {
		list, err := s.Engine.List(ctx, queue.Filter{IDs: []string{id}}, queue.Page{Limit: 1})
		if err != nil {
			return "", err
		}
		records, err := s.Engine.Search(ctx, queue.HistoryFilter{ID: id, Limit: 1})
		if err != nil {
			return "", err
		}
		taken := len(list) > 0 && !isSame(m, list[0].Envelope.Received, list[0].Size) || len(records) > 0 && !isSame(m, records[0].Received, records[0].Size)
		if !taken {
			return id, nil
		}
		s.log.Warn("queue: the id of a message in the spool is taken; it gets the next one", "id", id)
	}
}

// isSame reports whether a message is that one, of which the history may keep no more than this.
func isSame(m *queue.Message, received time.Time, size int64) bool {
	return m.Envelope.Received.Equal(received) && m.Size == size
}
