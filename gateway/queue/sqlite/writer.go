package sqlite

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
	"mailhatch/gateway/queue/sqlite/depth"
)

// Bounds of a group: what is taken into one transaction.
const (
	groupBytes = 16 << 20
	groupOps   = 4096
)

// crowd is how many ops come at once from one session: its next message, and the results of the last ones.
const crowd = 3

// op is one change of the store. Many share a transaction and its fsync.
type op struct {
	// run makes the change. It may run twice, when another op of its group fails. It returns
	// queue.ErrFenced before it has changed anything, or not at all.
	run    func(*tx) error
	bytes  int        // that go to disk, roughly
	mail   bool       // new mail, which is refused first when space ends
	result bool       // what became of a part: it may wait a moment for mail to share its commit
	steers bool       // an operator's change of parts that may not have been claimed yet
	fresh  *freshMail // new mail to remember; nil: none

	taken atomic.Bool // by the writer, or by the caller who gives up
	err   error
	over  bool
	done  chan struct{}
}

// tx is the transaction of a group.
type tx struct {
	conn  *sqlite.Conn
	seq   *atomic.Int64 // of the last record of the history
	now   time.Time
	hide  func(*queue.Record)
	depth depth.Load            // change of the counters
	loads map[int64]bodies.Load // change of segments
	due   bool                  // something became due sooner
}

// inSegment notes that rows name so many bodies more of a segment, or fewer.
func (t *tx) inSegment(at bodies.Place, size int64, n int) {
	if t.loads == nil {
		t.loads = map[int64]bodies.Load{}
	}
	l := t.loads[at.Segment()]
	l.Bodies += n
	l.Bytes += int64(n) * size
	t.loads[at.Segment()] = l
}

// do hands an op to the writer and waits for its commit. It gives up, with ctx or when the store ends,
// only as long as the writer has not taken the op, so that an error always means that nothing was changed.
func (s *Store) do(ctx context.Context, o *op) error {
	if err := s.err(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	select {
	case s.ops <- o:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.over:
		return s.err()
	}
	var reason error
	select {
	case <-o.done:
		return o.err
	case <-ctx.Done():
		reason = ctx.Err()
	case <-s.over:
		reason = s.err()
	}
	if o.taken.CompareAndSwap(false, true) {
		return reason
	}
	<-o.done
	return o.err
}

// Run is the writer: it commits what is waiting, group by group. Beside it the checkpointer and the
// goroutines run that look after files.
func (s *Store) Run(ctx context.Context) error {
	if err := s.enter(); err != nil {
		return nil // Close was quicker
	}
	defer s.leave()
	helpers, stop := context.WithCancel(context.WithoutCancel(ctx))
	var work sync.WaitGroup
	work.Go(func() { s.checkpoints(helpers) })
	work.Go(func() { s.watch(helpers) })
	work.Go(func() { s.sweep(helpers, s.orphans) })
	work.Go(func() { s.PutAway(helpers) })
	work.Go(func() { s.Index(helpers) })
	s.write(ctx)
	s.end()
	stop()
	work.Wait()
	if err := s.err(); errors.Is(err, queue.ErrBroken) {
		return err
	}
	return nil
}

func (s *Store) write(ctx context.Context) {
	var group []*op
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.over:
			return
		case first := <-s.ops:
			group = s.await(ctx, s.take(group[:0], first))
		}
		if len(group) == 0 {
			continue
		}
		s.crowded = len(group) > crowd
		s.seal()
		s.commit(group)
		s.Written()
		for _, o := range group {
			close(o.done)
		}
		clear(group)
		s.removeDeadSegments()
	}
}

// await lets a group that has results alone wait for mail, if that comes so often that it saves a commit.
func (s *Store) await(ctx context.Context, group []*op) []*op {
	if !s.waits(group) {
		return group
	}
	timer := time.NewTimer(s.pace.Most)
	defer timer.Stop()
	for {
		select {
		case o := <-s.ops:
			if group = s.take(group, o); s.waits(group) {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
		case <-s.over:
		}
		return group
	}
}

// waits reports whether a group may wait, and notes mail.
func (s *Store) waits(group []*op) bool {
	for _, o := range group {
		if o.mail {
			s.pace.Mail(time.Now())
		}
		if !o.result {
			return false
		}
	}
	return len(group) > 0 && s.pace.Waits(time.Now())
}

// take gathers the ops that wait now, and those that goroutines which can run are about to add: on a busy machine, more
// share a commit. It does not sleep.
func (s *Store) take(group []*op, o *op) []*op {
	bytes, seen := 0, 0
	for {
		if o.taken.CompareAndSwap(false, true) {
			group = append(group, o)
			bytes += o.bytes
		}
		if bytes >= groupBytes || len(group) >= groupOps {
			return group
		}
		if s.crowded && len(s.ops) == 0 && len(group) > seen {
			seen = len(group)
			runtime.Gosched()
		}
		select {
		case o = <-s.ops:
		default:
			return group
		}
	}
}

// commit makes the changes of a group durable. An op that fails is left out and the others start
// again, so that they do not suffer for it.
func (s *Store) commit(group []*op) {
	s.relieved = false
	s.overwrite()
	if err := s.space.CheckNow(mailBytes(group)); err != nil {
		settle(group, func(o *op) bool { return o.mail }, err)
	}
	for {
		if err := s.err(); err != nil {
			settle(group, func(*op) bool { return true }, err)
		}
		t := &tx{conn: s.writer, seq: &s.seq, hide: s.Veil.Record, now: s.now(), depth: depth.Load{}}
		bytes, again, err := s.attempt(t, group)
		if again {
			continue
		}
		switch {
		case err != nil || bytes == 0:
		case s.displaced():
			settle(group, func(*op) bool { return true }, s.err())
		default:
			if err := s.note(); err != nil {
				s.log.Warn("queue: cannot write the end-of-log mark any more", "file", markName, "error", err)
			}
			s.counts.Add(t.depth)
			s.segments.Follow(t.loads, s.segmentLoad)
			if t.due {
				s.signal()
			}
			s.grown(bytes)
		}
		return
	}
}

// mailBytes returns how many bytes the new mail of a group writes, roughly.
func mailBytes(group []*op) (bytes int64) {
	for _, o := range group {
		if o.mail {
			bytes += int64(o.bytes) + rowBytes
		}
	}
	return bytes
}

// attempt runs one transaction over the ops that are not settled yet. It settles those that fail and
// then asks for another attempt.
func (s *Store) attempt(t *tx, group []*op) (bytes int, again bool, err error) {
	open := 0
	for _, o := range group {
		if o.over {
			continue
		}
		if open == 0 {
			if err := database.Exec(t.conn, "BEGIN IMMEDIATE", nil); err != nil {
				return 0, s.failed(group, nil, err), err
			}
		}
		open++
		o.err = o.run(t)
		if o.err == nil {
			bytes += o.bytes + rowBytes
		} else if !errors.Is(o.err, queue.ErrFenced) {
			s.rollback()
			return 0, s.failed(group, o, o.err), o.err
		}
	}
	if open == 0 {
		return 0, false, nil
	}
	s.fresh.follow(group)
	if err := database.Exec(t.conn, "COMMIT", nil); err != nil {
		s.fresh.forget()
		s.rollback()
		return 0, s.failed(group, nil, err), err
	}
	return bytes, false, nil
}

// failed settles the ops that an error concerns and reports whether the others may try again. o is
// the op that met it; nil: the transaction as a whole did.
func (s *Store) failed(group []*op, o *op, err error) (again bool) {
	all := func(*op) bool { return true }
	switch database.FaultOf(err) {
	case database.FaultFull:
		err = database.Describe(s.path, err)
		if settle(group, func(o *op) bool { return o.mail }, err) > 0 {
			return true
		}
		if !s.relieved {
			// The log grows with each commit until it is carried over. The engine refuses that while the
			// checkpointer is at it.
			s.relieved = true
			s.carrying.Lock()
			s.carryOver(s.writer)
			s.carrying.Unlock()
			return true
		}
		settle(group, all, err)
	case database.FaultBroken:
		s.fail(database.Describe(s.path, err))
		settle(group, all, s.err())
	default:
		if o == nil {
			settle(group, all, database.Describe(s.path, err))
			return false
		}
		o.over = true
		return true
	}
	return false
}

// settle ends the chosen ops that are open with an error and returns how many there were.
func settle(group []*op, chosen func(*op) bool, err error) (n int) {
	for _, o := range group {
		if !o.over && chosen(o) {
			o.err, o.over = err, true
			n++
		}
	}
	return n
}

func (s *Store) rollback() {
	if s.writer.AutocommitEnabled() {
		return // the engine has done it itself
	}
	if err := database.Exec(s.writer, "ROLLBACK", nil); err != nil {
		s.fail(database.Describe(s.path, err))
	}
}

// signal puts the token into Changed.
func (s *Store) signal() {
	select {
	case s.changed <- struct{}{}:
	default:
	}
}
