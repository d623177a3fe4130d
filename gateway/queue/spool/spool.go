// Package spool keeps mail on the disk of its gateway while the database that gateways share is away, and moves it there
// when it is back, under the ids that it has.
//
// Mail whose commit the database did not answer goes into the spool too, the first of an outage among it, under the id that the
// database may know. If it turns out to know it, the move leaves it at that: each message is there once.
package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
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
	taken        atomic.Int64           // messages that this process has put into the spool
	writing      sync.RWMutex           // held by those who put one there
	outage       atomic.Pointer[outage] // the next one, or that of now
}

// New returns a store that takes new mail into local while away says so, or the shared queue cannot. Close closes both.
func New(shared, local queue.Engine, away func() bool, log *slog.Logger) *Store {
	s := &Store{Engine: shared, local: local, away: away, log: log}
	s.outage.Store(newOutage())
	return s
}

// New implements queue.Queue.
func (s *Store) New(ctx context.Context) (queue.Draft, error) {
	if !s.away() {
		d, err := s.Engine.New(ctx)
		if err == nil {
			return sharedDraft{d, s}, nil
		}
		if !errors.Is(err, queue.ErrAway) {
			return nil, err
		}
	}
	d, err := s.local.New(ctx)
	if err != nil {
		return nil, err
	}
	return localDraft{d, s}, nil
}

// localDraft is for the spool.
type localDraft struct {
	queue.Draft
	store *Store
}

func (d localDraft) Commit(ctx context.Context, m queue.Accepted) error {
	return d.store.take(func() error { return d.Draft.Commit(ctx, m) })
}

// take counts what is put into the spool.
func (s *Store) take(put func() error) error {
	s.writing.RLock()
	defer s.writing.RUnlock()
	err := put()
	if err == nil {
		s.taken.Add(1)
	}
	return err
}

// sharedDraft is for the database, and goes into the spool where that is away by then.
type sharedDraft struct {
	queue.Draft
	store *Store
}

// Commit does not wait for a database that is known to be away, unless it has begun to write.
func (d sharedDraft) Commit(ctx context.Context, m queue.Accepted) error {
	s := d.store
	asking, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.outage.Load().ctx, func() { cancel(queue.ErrAway) })()
	err := d.Draft.Commit(asking, m)
	if !errors.Is(err, queue.ErrAway) || len(m.Reports) > 0 { // what a message reports is in the database
		return err
	}
	defer d.Discard() //nolint:errcheck // it is in the spool, or nowhere
	body, bodyErr := d.Body()
	if bodyErr != nil {
		return errors.Join(err, bodyErr)
	}
	localErr := s.take(func() error {
		_, err := s.local.Import(context.WithoutCancel(ctx), &queue.Imported{ID: d.ID(), Accepted: m, Size: body.Size(), Body: io.NewSectionReader(body, 0, body.Size())})
		return err
	})
	if localErr != nil {
		return errors.Join(err, localErr)
	}
	return nil
}

// outage is a time that begins when the database is seen to be away.
type outage struct {
	ctx   context.Context // ends when the outage begins
	begin context.CancelFunc
}

func newOutage() *outage {
	ctx, begin := context.WithCancel(context.Background())
	return &outage{ctx, begin}
}

// Suppressed implements queue.Suppressions. Whom nobody can ask about is looked up again before mail is offered.
func (s *Store) Suppressed(ctx context.Context, domain string, addresses ...string) ([]queue.Suppression, error) {
	if s.away() {
		return nil, nil
	}
	list, err := s.Engine.Suppressed(ctx, domain, addresses...)
	if errors.Is(err, queue.ErrAway) {
		return nil, nil
	}
	return list, err
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
