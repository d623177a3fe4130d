package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/buffer"
	"mailhatch/gateway/queue/postgres/batch"
	"mailhatch/gateway/queue/postgres/calls"
	"mailhatch/gateway/queue/postgres/census"
	"mailhatch/gateway/queue/postgres/clock"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/feedback"
	"mailhatch/gateway/queue/postgres/fleet"
	"mailhatch/gateway/queue/postgres/floor"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/ledger"
	"mailhatch/gateway/queue/postgres/suppress"
	"mailhatch/gateway/queue/postgres/upkeep"
	"mailhatch/gateway/queue/veil"
)

const defaultLease = time.Minute

// Store is an open queue.
type Store struct {
	*history.Keeper
	ledger.Book
	*suppress.Register
	feedback.Desk
	url     string
	pool    *pgxpool.Pool
	log     *slog.Logger
	now     func() time.Time
	dir     string // for large mail while it is written and read
	gateway string
	session string // this process
	lease   time.Duration
	fleet   *fleet.Fleet
	schema  database.Schema

	readOnly bool

	ids     *clock.IDs
	buffers *buffer.Pool
	mail    *batch.Batcher[*newMail]
	results *batch.Batcher[*result]
	held    held
	lanes   lanes
	census  census.Census
	slowest upkeep.Slowest
	clock   clock.Clock
	keep    atomic.Pointer[queue.KeepBodies]
	ended   chan struct{} // one token: bodies of messages that have ended may have to go
	changed chan struct{}

	calls   calls.Calls // none before the database was reached
	reached sync.Mutex  // held by who says that it was, and by SetPrivacy
	privacy queue.Privacy
	over    chan struct{}
	endOnce sync.Once
}

var _ queue.Engine = (*Store)(nil)

// Open opens the queue in a database and makes its tables where there are none. The caller must Close the store. The error
// wraps queue.ErrAway where the database cannot be reached and Settings.Patient is not set, and database.ErrSchema or
// database.ErrCommit where it is not to be used.
func Open(ctx context.Context, o queue.Settings) (_ *Store, err error) {
	s, err := newStore(ctx, o)
	if err != nil {
		return nil, err
	}
	switch err := database.Describe(s.open(ctx)); {
	case err == nil:
	case o.Patient && errors.Is(err, queue.ErrAway):
		s.calls.Refuse(err)
	default:
		s.pool.Close()
		return nil, err
	}
	return s, nil
}

func newStore(ctx context.Context, o queue.Settings) (*Store, error) {
	pool, err := database.Open(ctx, o.URL)
	if err != nil {
		return nil, fmt.Errorf("queue: the database's URL: %w", err)
	}
	s := &Store{
		url: o.URL, pool: pool, log: o.Logger, now: o.Now, dir: o.Dir, gateway: o.Gateway, session: rand.Text(), lease: o.Lease,
		buffers: buffer.NewPool(), ended: make(chan struct{}, 1), changed: make(chan struct{}, 1), over: make(chan struct{}),
		mail: batch.New[*newMail](groupMail, groupBytes), results: batch.New[*result](groupResults, groupBytes),
		privacy: queue.HideNothing, held: held{leases: map[*lease]struct{}{}}, lanes: lanes{floors: map[string]*floor.Floor{}},
	}
	s.keep.Store(&o.Bodies)
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.lease <= 0 {
		s.lease = defaultLease
	}
	if s.gateway == "" {
		s.gateway, _ = os.Hostname() // a name is only to be told apart
	}
	if s.dir == "" {
		s.dir = os.TempDir()
	}
	db := calls.Pool{Pool: s.pool, Calls: &s.calls}
	s.fleet = fleet.New(db, s.gateway, s.lease)
	s.Keeper = &history.Keeper{DB: db, Veil: veil.With(nil, s.makeKey), Gateway: s.gateway, Now: s.now}
	s.Book = ledger.Book{DB: db, Change: s.change, Gateway: s.gateway, Now: s.now, Signal: s.signal}
	s.Register = suppress.New(db, s.change, s.Veil, s.now)
	s.Desk = feedback.Desk{DB: db, Change: s.change, History: s.Keeper, Refused: s.Register, Receivers: &feedback.Receivers{}, Now: s.now}
	return s, os.MkdirAll(s.dir, 0o700)
}

// OpenReadOnly opens the queue to answer questions, which may be asked of a standby, too. The error wraps fs.ErrNotExist where
// the database has no queue.
func OpenReadOnly(ctx context.Context, o queue.Settings) (queue.Reader, error) {
	s, err := newStore(ctx, o)
	if err != nil {
		return nil, err
	}
	s.readOnly = true
	if err := s.open(ctx); err != nil {
		s.pool.Close()
		return nil, database.Describe(err)
	}
	return s, nil
}

// Migrate brings the schema of a database to the version of this program and returns the versions before and now.
func Migrate(ctx context.Context, o queue.Settings) (before, now int, err error) {
	conn, err := database.Connect(ctx, o.URL)
	if err != nil {
		return 0, 0, database.Describe(err)
	}
	defer conn.Close(context.WithoutCancel(ctx)) //nolint:errcheck // all is committed
	schema, err := database.Migrate(ctx, conn, fleet.Tables)
	return schema.Before, schema.Version, database.Describe(err)
}

// open reads what the store must know from the start.
func (s *Store) open(ctx context.Context) error {
	return s.pool.AcquireFunc(ctx, func(c *pgxpool.Conn) (err error) {
		if s.readOnly {
			s.schema, err = database.Check(ctx, c.Conn())
		} else {
			err = s.prepare(ctx, c)
		}
		if err != nil {
			return err
		}
		if err := s.clock.Ask(ctx, c, s.now); err != nil {
			return err
		}
		var key []byte
		if err := c.QueryRow(ctx, "SELECT value FROM facts WHERE name = 'veil'").Scan(&key); err != nil && !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		s.Veil.Learn(key)
		return nil
	})
}

// prepare makes what is missing in the database, and registers the process there.
func (s *Store) prepare(ctx context.Context, c *pgxpool.Conn) (err error) {
	if s.schema, err = database.Update(ctx, c.Conn(), s.url, fleet.Tables); err != nil {
		return err
	}
	if err := history.Days(ctx, c.Conn()); err != nil {
		return err
	}
	slot, err := s.register(ctx)
	if err != nil {
		return err
	}
	last := int64(0)
	err = c.QueryRow(ctx, `SELECT greatest((SELECT coalesce(max(id), 0) FROM messages), (SELECT coalesce(max(message), 0) FROM history))`).Scan(&last)
	s.ids = clock.NewIDs(slot, last)
	return err
}

// makeKey returns the key of hidden addresses, which all gateways share.
func (s *Store) makeKey() (key []byte, err error) {
	ctx := context.Background()
	_, err = s.pool.Exec(ctx, "INSERT INTO facts (name, value) VALUES ('veil', $1) ON CONFLICT DO NOTHING", veil.NewKey())
	if err == nil {
		err = s.pool.QueryRow(ctx, "SELECT value FROM facts WHERE name = 'veil'").Scan(&key)
	}
	return key, database.Describe(err)
}

// Fleet implements queue.Engine.
func (s *Store) Fleet() queue.Fleet { return s.fleet }

// SetReserve implements queue.Engine: the space is the server's.
func (s *Store) SetReserve(int64) {}

// Backup implements queue.Operator: PostgreSQL has its own ways, which know of its log and its standbys.
func (s *Store) Backup(context.Context, string) error {
	return fmt.Errorf("the queue is in PostgreSQL, which is backed up by its own means, such as pg_basebackup or pg_dump: %w", errors.ErrUnsupported)
}

// Changed is signalled after queued parts came or became due sooner.
func (s *Store) Changed() <-chan struct{} { return s.changed }

func (s *Store) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// Run implements queue.Engine.
func (s *Store) Run(ctx context.Context) error {
	if err := s.calls.EnterEarly(); err != nil {
		return nil // Close was quicker
	}
	defer s.calls.Leave()
	if !s.calls.Reach(ctx, s.over, s.log, s.openLater) {
		s.end()
		return nil
	}
	helpers, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	for _, helper := range []func(context.Context){s.watch, s.beat, s.putAway, s.makeDays, s.hear, func(ctx context.Context) { upkeep.Vacuum(ctx, s.pool, s.log) }} {
		work.Go(func() { helper(helpers) })
	}
	var writers sync.WaitGroup
	for range mailWriters {
		writers.Go(func() { s.mail.Run(ctx, s.over, s.writeMail) })
	}
	writers.Go(func() { s.results.Run(ctx, s.over, s.writeResults) })
	writers.Wait()
	s.end()
	stop()
	work.Wait()
	return nil
}

// hear listens for what operators pause at other gateways.
func (s *Store) hear(ctx context.Context) {
	s.fleet.Hear(ctx, func(ctx context.Context) (*pgx.Conn, error) {
		return pgx.ConnectConfig(ctx, s.pool.Config().ConnConfig)
	})
}

func (s *Store) end() { s.endOnce.Do(func() { close(s.over) }) }

// err returns why changes are refused; nil while they are not.
func (s *Store) err() error {
	select {
	case <-s.over:
		return queue.ErrClosed
	default:
		return nil
	}
}

// closeTime is how long Close waits for the database to take leases back; then they end by time.
const closeTime = 5 * time.Second

// Close ends Run, waits for running calls and gives back what the process has leased.
func (s *Store) Close() error {
	s.end()
	if !s.calls.Shut() {
		return queue.ErrClosed
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTime)
	defer cancel()
	if s.readOnly || s.calls.Refused() != nil {
		s.pool.Close()
		return nil
	}
	if err := s.unregister(ctx); err != nil {
		s.log.Warn("queue: could not release this gateway's leases; they will expire", "error", err)
	}
	s.pool.Close()
	return nil
}

// change runs a transaction as a call of its own.
func (s *Store) change(ctx context.Context, do func(tx pgx.Tx) error) error {
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	if err := s.err(); err != nil {
		return err
	}
	return database.Change(ctx, s.pool, do)
}
