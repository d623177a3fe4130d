package sqlite

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
)

// Names in the state directory. Modes: files 0600, directories 0700.
const (
	databaseName = "queue.db"
	lockName     = "queue.lock"
)

// opsWaiting is how many ops may wait for the writer before their callers wait to hand theirs over.
const opsWaiting = 1024

// lockPatience is how long a start waits for the lock: a predecessor may be about to end.
const lockPatience = time.Second

// Options say where a store is and what it may do.
type Options struct {
	Dir          string       // the state directory; made if it is missing
	ReserveBytes int64        // free space below which new mail is refused with queue.ErrFull; 0: none
	Logger       *slog.Logger // for what no call can return, such as bodies without a row; nil: nowhere
}

// Store is an open queue.
type Store struct {
	*reader
	log      *slog.Logger
	lock     *os.File
	ids      *idSource
	space    space
	place    place
	chunks   *chunks
	segments segments

	writer   *sqlite.Conn // the writer's own
	ops      chan *op
	walBytes int          // the writer's own: written since the log was last carried over
	walSoft  atomic.Int64 // how many bytes that may be
	relieved bool         // the writer's own: the log was carried over for want of space
	counts   counters
	leases   leases
	fresh    fresh
	changed  chan struct{}

	checkpoint chan struct{}
	sealing    atomic.Bool
	closing    chan struct{} // closed when Close begins
	closeOnce  sync.Once
	work       sync.WaitGroup

	broken     chan struct{}
	brokenOnce sync.Once
	brokenErr  error // set before broken is closed
}

var _ queue.Queue = (*Store)(nil)

// Open opens the queue in a state directory and makes it where there is none. The error wraps
// queue.ErrLocked when another process has it open. A file that is not a queue of this version, or
// is damaged, is left as it is. The caller must Close the store.
func Open(ctx context.Context, o Options) (_ *Store, err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s := newStore(o)
	if err := os.MkdirAll(filepath.Join(o.Dir, bodiesDir), 0o700); err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if s.lock, err = takeLock(ctx, o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.release()
		}
	}()
	existed, err := checkHeader(s.path)
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	if !existed {
		if existed, err = s.adopt(); err != nil {
			return nil, fmt.Errorf("queue: %w", err)
		}
	}
	if !existed {
		if err := createDatabase(s.path); err != nil {
			return nil, fmt.Errorf("queue: create %w", describe(s.path, err))
		}
	}
	bodies, old, err := listBodies(o.Dir)
	if err != nil {
		return nil, err
	}
	for _, n := range old {
		s.segments.last = max(s.segments.last, n)
	}
	carrier, err := s.connectAll()
	if err != nil {
		return nil, fmt.Errorf("queue: %w", err)
	}
	s.work.Add(3)
	go s.write()
	go s.watch()
	go s.checkpoints(carrier)
	if existed {
		// Without rows of its own a new database must not judge bodies that lie there.
		s.work.Add(1)
		go s.sweep(bodies, old)
	}
	return s, nil
}

func newStore(o Options) *Store {
	path := filepath.Join(o.Dir, databaseName)
	s := &Store{
		log:        o.Logger,
		space:      space{dir: o.Dir, look: freeBytes},
		place:      place{path: path},
		chunks:     newChunks(),
		segments:   segments{dir: o.Dir, all: map[int64]*segment{}},
		ops:        make(chan *op, opsWaiting),
		leases:     leases{held: map[partKey]*lease{}},
		fresh:      fresh{mail: map[int64]*list.Element{}},
		changed:    make(chan struct{}, 1),
		checkpoint: make(chan struct{}, 1),
		closing:    make(chan struct{}),
		broken:     make(chan struct{}),
	}
	s.SetReserve(o.ReserveBytes)
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.reader = newReader(o.Dir, path, func() (*sqlite.Conn, error) {
		return openConn(path, sqlite.OpenReadWrite, readerCacheKiB)
	})
	return s
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
		taken, err := lockFile(f)
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

// connectAll opens the connections of the writer, the leases and the checkpointer, and reads what
// the store must know from the start.
func (s *Store) connectAll() (carrier *sqlite.Conn, err error) {
	if s.writer, err = openConn(s.path, sqlite.OpenReadWrite, writerCacheKiB); err != nil {
		return nil, err
	}
	if s.leases.conn, err = openConn(s.path, sqlite.OpenReadWrite, readerCacheKiB); err != nil {
		return nil, err
	}
	if carrier, err = openConn(s.path, sqlite.OpenReadWrite, readerCacheKiB); err != nil {
		return nil, err
	}
	err = s.load()
	if err == nil {
		err = s.place.check()
	}
	if err != nil {
		carrier.Close()
		return nil, describe(s.path, err)
	}
	return carrier, nil
}

// load counts the parts, and finds the highest id and the highest segment that a row names. It reads
// every row that is small, which is a cheap proof that the file can be read.
func (s *Store) load() (err error) {
	if err := upgrade(s.writer); err != nil {
		return err
	}
	highest, err := pragma(s.writer, "SELECT coalesce(max(body), 0) FROM messages INDEXED BY messages_segment WHERE typeof(body) = 'integer'")
	if err != nil {
		return err
	}
	s.segments.last = max(s.segments.last, bodyPlace(highest).segment())
	if s.counts.depth, err = countParts(s.writer); err != nil {
		return err
	}
	queued, err := pragma(s.writer, "SELECT coalesce(max(id), 0) FROM messages")
	if err != nil {
		return err
	}
	past, err := pragma(s.writer, "SELECT coalesce(max(message), 0) FROM history")
	if err != nil {
		return err
	}
	s.ids = newIDSource(max(queued, past))
	return nil
}

// Changed is signalled after queued parts came or became due sooner.
func (s *Store) Changed() <-chan struct{} { return s.changed }

// Close waits for running calls, carries the log over and gives the state directory back. Leases and
// drafts that are left are void.
func (s *Store) Close() error {
	if !s.shutFirst() {
		return queue.ErrClosed
	}
	close(s.ops)
	close(s.checkpoint)
	s.work.Wait()
	return s.release()
}

// shutFirst ends all calls and says whether it was the first to do so.
func (s *Store) shutFirst() bool {
	s.closeOnce.Do(func() { close(s.closing) })
	return s.shut()
}

// release closes what is open.
func (s *Store) release() error {
	err := s.closeConns()
	s.segments.close()
	if s.leases.conn != nil {
		err = errors.Join(err, s.leases.conn.Close())
	}
	if s.writer != nil && s.Err() == nil {
		// The last connection carries the log over. After a failed write it must not: the next
		// process reads back what the disk really has.
		err = errors.Join(err, s.writer.Close())
	}
	return errors.Join(err, s.lock.Close())
}
