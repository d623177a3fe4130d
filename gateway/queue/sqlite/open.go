package sqlite

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/buffer"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/backup"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/depth"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/sqlite/feedback"
	"mailhatch/gateway/queue/sqlite/history"
	"mailhatch/gateway/queue/sqlite/ledger"
	"mailhatch/gateway/queue/sqlite/pace"
	"mailhatch/gateway/queue/sqlite/pause"
	"mailhatch/gateway/queue/sqlite/suppress"
	"mailhatch/gateway/queue/sqlite/wal"
	"mailhatch/gateway/queue/veil"
)

// Names in the state directory. Modes: files 0600, directories 0700.
const (
	databaseName = "queue.db"
	lockName     = "queue.lock"
)

// opsWaiting is how many ops may wait for the writer before their callers wait to hand theirs over.
const opsWaiting = 1024

// resultWait is how long results wait for mail that is to share their commit.
const resultWait = 2 * time.Millisecond

// lockPatience is how long a start waits for the lock: a predecessor may be about to end.
const lockPatience = time.Second

// Store is an open queue.
type Store struct {
	*reader
	ledger.Book
	*history.Keeper
	pause.Board
	*suppress.Register
	feedback.Desk
	log      *slog.Logger
	now      func() time.Time // the time of day
	lock     *os.File
	mark     *wal.Marker
	unclean  bool // the last process did not close the store
	opened   bool
	existed  bool        // the database was there
	upgraded bool        // from a version whose bodies had no trailers
	bodies   os.FileInfo // the folder, as it was at the start
	ids      *queue.IDs
	space    *disk.Space
	place    place
	buffers  *buffer.Pool
	segments *bodies.Segments

	writer     *sqlite.Conn // the writer's own
	ops        chan *op
	pace       pace.Pace    // the writer's own
	walBytes   int          // the writer's own: written since the log was last carried over
	walSoft    atomic.Int64 // how many bytes that may be
	logBytes   atomic.Int64 // of the log, where it could not be carried over
	seq        atomic.Int64 // the writer's own: of the last record of the history
	crowded    bool         // the writer's own: several wrote at once just now
	relieved   bool         // the writer's own: the log was carried over for want of space
	overwrites bool         // the writer's own: what is removed is overwritten
	counts     depth.Counters
	leases     leases
	fresh      fresh
	spared     backup.Spared
	changed    chan struct{}
	leased     atomic.Int64 // as many parts of a lane may be leased as the mark says
	served     atomic.Pointer[[]string]

	carrier    *sqlite.Conn  // the checkpointer's own
	checkpoint chan struct{} // one token: the log is to be carried over
	carrying   sync.Mutex    // held by the checkpointer while it works
	sealing    atomic.Bool
	orphans    bodies.Found // to be looked at when Run begins

	over    chan struct{} // closed when no more changes are made
	endOnce sync.Once
	failure atomic.Pointer[error] // why the store is broken
}

var _ queue.Engine = (*Store)(nil)

// Open opens the queue in a state directory and makes it where there is none. The error wraps
// queue.ErrLocked when another process has it open. A file that is not a queue of this version, or
// is damaged, is left as it is. The caller must Close the store.
func Open(ctx context.Context, o queue.Settings) (_ *Store, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newStore(o)
	if err := os.MkdirAll(filepath.Join(o.Dir, bodies.DirName), 0o700); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if s.lock, err = takeLock(ctx, o.Dir); err != nil {
		return nil, err
	}
	if suffix, _, e := recovering(o.Dir); e != nil || suffix != "" {
		err = cmp.Or(e, fmt.Errorf("a recovery of %s was cut off: %w", s.path, queue.ErrDamagedLog))
	} else {
		err = s.open()
	}
	if err != nil {
		_ = s.release()
		return nil, fmt.Errorf("queue: %w", err)
	}
	return s, nil
}

func newStore(o queue.Settings) *Store {
	path := filepath.Join(o.Dir, databaseName)
	s := &Store{
		log:        o.Logger,
		now:        o.Now,
		space:      disk.NewSpace(o.Dir, rowBytes),
		place:      place{path: path},
		buffers:    buffer.NewPool(),
		segments:   bodies.NewSegments(o.Dir),
		ops:        make(chan *op, opsWaiting),
		pace:       pace.Pace{Most: resultWait},
		leases:     leases{held: map[row.Key]*lease{}},
		fresh:      fresh{mail: map[int64]*freshMail{}},
		changed:    make(chan struct{}, 1),
		checkpoint: make(chan struct{}, 1),
		over:       make(chan struct{}),
	}
	if s.now == nil {
		s.now = time.Now
	}
	s.SetReserve(o.ReserveBytes)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.reader = newReader(o.Dir, path, func() (*sqlite.Conn, error) {
		return database.Open(path, database.ReaderCacheKiB)
	})
	s.stay = func() bool { return s.BodiesStay() }
	s.Book = ledger.Book{Write: s.record, Read: s.ask}
	hide := veil.New(o.Dir)
	s.Keeper = history.New(history.Access{Dir: o.Dir, Veil: hide, Write: s.record, Read: s.ask, Drop: s.drop, Last: s.seq.Load, Now: s.now, Log: s.log})
	if o.Bodies.For > 0 { // else whoever opens the store to look would put away what is there
		s.KeepBodies(o.Bodies)
	}
	s.Register = suppress.NewRegister(suppress.Access{Write: s.record, Read: s.ask, Veil: hide, Now: s.now})
	s.Desk = feedback.Desk{History: s.Keeper, Refused: s.Register, Receivers: &feedback.Receivers{}}
	s.Board = pause.Board{Write: s.pause, Read: s.ask, Now: s.now}
	return s
}

// open opens the database, or makes it, and reads what the store must know from the start.
func (s *Store) open() error {
	existed, err := database.Check(s.path)
	if err != nil {
		return err
	}
	var last wal.Mark
	if existed {
		state, err := inspect(s.dir, s.path)
		if err == nil {
			err = sound(&state, s.path)
		}
		if err != nil {
			return err
		}
		s.unclean, last = state.Unclean, state.Mark
	} else {
		_, s.unclean, _ = wal.ReadMark(filepath.Join(s.dir, markName))
		if s.unclean {
			s.log.Error("queue: the database that the last process used is missing; the queue starts empty", "file", s.path)
		}
		if err := s.setLogAside(); err != nil {
			return err
		}
		if err := database.Create(s.path); err != nil {
			return fmt.Errorf("create %w", database.Describe(s.path, err))
		}
	}
	found, err := bodies.List(s.dir)
	if err != nil {
		return err
	}
	for _, n := range found.Segments {
		s.segments.Used(n)
	}
	s.orphans, s.existed = found, existed
	if err := disk.Same(filepath.Join(s.dir, bodies.DirName), &s.bodies); err != nil {
		return err
	}
	s.leased.Store(int64(max(last.Leased, leasedLeast)))
	if s.mark, err = wal.OpenMark(filepath.Join(s.dir, markName), uint32(s.leased.Load())); err == nil {
		err = disk.SyncDir(s.dir)
	}
	if err != nil {
		return err
	}
	if s.writer, err = database.Open(s.path, database.WriterCacheKiB); err != nil {
		return err
	}
	if s.unclean {
		// The log begins anew, without what a transaction left in it that was cut off.
		if err := database.Exec(s.writer, "PRAGMA wal_checkpoint(TRUNCATE)", nil); err != nil {
			return database.Describe(s.path, err)
		}
	}
	for _, conn := range []**sqlite.Conn{&s.leases.conn, &s.carrier} {
		if *conn, err = database.Open(s.path, database.ReaderCacheKiB); err != nil {
			return err
		}
	}
	if err := s.load(); err != nil {
		return database.Describe(s.path, err)
	}
	if s.unclean {
		if err := s.flagDue(last); err != nil {
			return database.Describe(s.path, err)
		}
	}
	s.opened = true
	return database.Describe(s.path, s.place.check())
}

// takeLock takes the lock of the state directory and leaves the process's number in its file.
func takeLock(ctx context.Context, dir string) (*os.File, error) {
	path := filepath.Join(dir, lockName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	retry := time.NewTicker(lockPatience / 20)
	defer retry.Stop()
	for deadline := time.Now().Add(lockPatience); ; {
		taken, err := disk.Lock(f)
		if taken {
			break
		}
		if err == nil && time.Now().Before(deadline) && ctx.Err() == nil {
			<-retry.C
			continue
		}
		defer f.Close()
		if err != nil {
			return nil, fmt.Errorf("queue: lock %s: %w", path, err)
		}
		holder, _ := io.ReadAll(io.LimitReader(f, 32))
		return nil, fmt.Errorf("%w: %s (process %s)", queue.ErrLocked, dir, bytes.TrimSpace(holder))
	}
	if err := f.Truncate(0); err == nil {
		_, _ = fmt.Fprintln(f, os.Getpid()) // only a hint for people
	}
	return f, nil
}

// load counts the parts, and finds the highest id and the highest segment that a row names. It reads
// every row that is small, which is a cheap proof that the file can be read.
func (s *Store) load() (err error) {
	if s.upgraded, err = database.Upgrade(s.writer); err != nil {
		return err
	}
	if err = s.counts.Read(s.writer); err != nil {
		return err
	}
	if err = s.Load(s.writer); err != nil {
		return err
	}
	last, err := history.Last(s.writer)
	if err != nil {
		return err
	}
	s.seq.Store(last)
	return database.Rows(s.writer, `SELECT
		(SELECT coalesce(max(body), 0) FROM messages INDEXED BY messages_segment WHERE typeof(body) = 'integer'),
		max((SELECT coalesce(max(id), 0) FROM messages), (SELECT coalesce(max(message), 0) FROM history),
		(SELECT coalesce(max(message), 0) FROM events))`, nil,
		func(st *sqlite.Stmt) (bool, error) {
			s.segments.Used(bodies.Place(st.ColumnInt64(0)).Segment())
			s.ids = queue.NewIDs(st.ColumnInt64(1))
			return false, nil
		})
}

// Changed is signalled after queued parts came or became due sooner.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Serve implements queue.Queue: no other process has the store open.
func (s *Store) Serve(_ context.Context, lanes []string) error {
	lanes = slices.Clone(lanes)
	s.served.Store(&lanes)
	return nil
}

// Close ends Run, waits for running calls, carries the log over and gives the state directory back.
// Leases and drafts that are left are void.
func (s *Store) Close() error {
	s.end()
	if !s.shut() {
		return queue.ErrClosed
	}
	return s.release()
}

// release closes what is open.
func (s *Store) release() error {
	err := s.closeConns()
	s.segments.Close()
	for _, conn := range []*sqlite.Conn{s.leases.conn, s.carrier} {
		if conn != nil {
			err = errors.Join(err, conn.Close())
		}
	}
	// The last connection carries the log over. After a failed write it must not: the next process reads back
	// what the disk really has.
	well := s.failure.Load() == nil
	if well && s.writer != nil {
		err = errors.Join(err, s.flagLeased(), s.mark.LeaveLog(), s.writer.Close())
	}
	if s.mark != nil {
		err = errors.Join(err, s.mark.Close())
		if well && err == nil && (s.opened || !s.unclean) { // the next start has nothing to look for
			err = errors.Join(os.Remove(filepath.Join(s.dir, markName)), disk.SyncDir(s.dir))
		}
	}
	return errors.Join(err, s.lock.Close())
}
