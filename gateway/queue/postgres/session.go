package postgres

import (
	"context"
	"errors"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/clock"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/history"
)

// openLater opens a store whose database was out of reach, and lets calls begin.
func (s *Store) openLater(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	s.reached.Lock()
	defer s.reached.Unlock()
	if err := s.Veil.Set(s.privacy); err != nil {
		return err
	}
	s.calls.Refuse(nil)
	s.log.Info("queue: connected to the database")
	return nil
}

// SetPrivacy implements queue.Engine. Before the database was reached, which has the key, nothing is written.
func (s *Store) SetPrivacy(p queue.Privacy) error {
	s.reached.Lock()
	defer s.reached.Unlock()
	s.privacy = p
	if s.calls.Refused() != nil {
		return nil
	}
	return s.Veil.Set(p)
}

// register gives the process its row and its slot. Those of a process that is only paused wait for long: it may come back.
func (s *Store) register(ctx context.Context) (slot int, err error) {
	err = database.Change(ctx, s.pool, func(tx pgx.Tx) (err error) {
		slot, err = clock.TakeSlot(ctx, tx, s.session, database.Text(s.gateway), 10*s.lease+time.Hour)
		return err
	})
	return slot, err
}

// unregister gives back what the process has leased, as Interrupted, and its row.
func (s *Store) unregister(ctx context.Context) error {
	var message, n []int64
	for _, l := range s.held.all() {
		message, n = append(message, l.key.Message), append(n, l.key.N)
	}
	b := &pgx.Batch{}
	if len(n) > 0 {
		b.Queue(`UPDATE parts p SET lease_until = 1 FROM unnest($1::bigint[], $2::bigint[]) k(message, n)
			WHERE p.message = k.message AND p.n = k.n AND p.holder = $3 AND p.lease_until > 0`, message, n, s.session)
	}
	b.Queue("DELETE FROM sessions WHERE session = $1", s.session)
	return s.pool.SendBatch(ctx, b).Close()
}

// Serve implements queue.Queue.
func (s *Store) Serve(ctx context.Context, names []string) error {
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	s.lanes.serve(names)
	return database.Describe(s.tell(ctx))
}

// tell says that this process lives and what it delivers, and hears how many do.
func (s *Store) tell(ctx context.Context) error {
	var processes int
	err := s.pool.QueryRow(ctx, `INSERT INTO sessions (session, gateway, slot, seen, lanes) VALUES ($1, $2, $3, `+database.Now+`, $4)
		ON CONFLICT (session) DO UPDATE SET seen = excluded.seen, lanes = excluded.lanes
		RETURNING (SELECT count(*) FROM sessions WHERE seen > `+database.Now+` - $5)`,
		s.session, database.Text(s.gateway), s.ids.Slot(), s.lanes.names(), s.lease.Milliseconds()).Scan(&processes)
	if err == nil {
		s.lanes.share(processes)
	}
	return err
}

// beats is how often a gateway gives a sign of life while one lease lasts.
const beats = 4

// beat keeps the leases of this process alive, and its row, until ctx ends.
func (s *Store) beat(ctx context.Context) {
	tick := time.NewTicker(max(s.lease/beats, 10*time.Millisecond))
	defer tick.Stop()
	for failing := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := errors.Join(s.extendAll(ctx), s.tell(ctx), s.clock.Ask(ctx, s.pool, s.now))
		if err != nil && !failing && ctx.Err() == nil {
			s.log.Warn("queue: this gateway cannot renew its leases; others will soon take over its mail", "error", err)
		}
		failing = err != nil
	}
}

// daysEvery is how often partitions of the history are looked after.
const daysEvery = time.Hour

// makeDays makes partitions ahead of time until ctx ends.
func (s *Store) makeDays(ctx context.Context) {
	tick := time.NewTicker(daysEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := s.days(ctx); err != nil && ctx.Err() == nil {
			s.log.Warn("queue: could not create the history's partitions for the next days", "error", err)
		}
	}
}

func (s *Store) days(ctx context.Context) error {
	c, err := s.pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer c.Release()
	return history.Days(ctx, c.Conn())
}
