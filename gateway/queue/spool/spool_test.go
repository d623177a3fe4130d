package spool

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/queue/postgres/postgrestest"
	"mailhatch/gateway/queue/queuetest"
)

var server = postgrestest.New(postgrestest.Settings{})

func TestMain(m *testing.M) { os.Exit(server.Main(m)) }

// shared is a database that tests let fail.
type shared struct {
	queue.Engine
	lost atomic.Int64 // so many imports succeed without saying so
	gone atomic.Bool
	bad  atomic.Pointer[string] // id of a message that is refused

	rival atomic.Pointer[queue.Imported] // is there before the next import

	commit func(context.Context, queue.Draft, queue.Accepted) error // in place of the one of drafts
}

// brokenDraft is a draft whose commit ends as the test wants.
type brokenDraft struct {
	queue.Draft
	commit func(context.Context, queue.Draft, queue.Accepted) error
}

func (d brokenDraft) Commit(ctx context.Context, m queue.Accepted) error {
	return d.commit(ctx, d.Draft, m)
}

func (s *shared) New(ctx context.Context) (queue.Draft, error) {
	d, err := s.Engine.New(ctx)
	if err != nil || s.commit == nil {
		return d, err
	}
	return brokenDraft{d, s.commit}, nil
}

func (s *shared) Suppressed(ctx context.Context, domain string, addresses ...string) ([]queue.Suppression, error) {
	if s.commit != nil {
		return nil, queue.ErrAway
	}
	return s.Engine.Suppressed(ctx, domain, addresses...)
}

var errLost = errors.New("no answer")

func (s *shared) Import(ctx context.Context, m *queue.Imported) (bool, error) {
	if bad := s.bad.Load(); bad != nil && *bad == m.ID {
		return false, errors.New("refused")
	}
	if rival := s.rival.Swap(nil); rival != nil {
		if _, err := s.Engine.Import(ctx, rival); err != nil {
			return false, err
		}
	}
	isNew, err := s.Engine.Import(ctx, m)
	if s.lost.Add(-1) >= 0 {
		return false, errors.Join(err, errLost)
	}
	return isNew, err
}

func open(t *testing.T, engine string, s queue.Settings) queue.Engine {
	t.Helper()
	e, err := engines.Open(t.Context(), engine, s)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func accept(t *testing.T, q queue.Engine, n int) (id string) {
	t.Helper()
	d, err := q.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintf(d, "Subject: no %d\r\n\r\n%0*d\r\n", n, 1+n*3000, n)
	to := []envelope.Recipient{{Address: fmt.Sprintf("a%d@example.org", n)}, {Address: "done@example.org"}}
	m := queue.Accepted{Envelope: envelope.Envelope{From: "ann@example.com", To: to, Received: time.Now()},
		Parts: []queue.Part{{To: to[:1], Lane: "main", State: envelope.Queued}}, Done: []queue.Record{{Recipient: to[1], State: envelope.Discarded}}}
	if err := d.Commit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	return d.ID()
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("waited in vain for " + what)
		}
	}
}

// newStore returns a database and a store with a spool beside it, which runs until the function is called.
func newStore(t *testing.T, url, dir string) (*shared, *Store, func()) {
	t.Helper()
	return startStore(t, url, dir, false)
}

// startStore is newStore with a database that is away from the start, or not.
func startStore(t *testing.T, url, dir string, gone bool) (*shared, *Store, func()) {
	t.Helper()
	db := &shared{Engine: open(t, "postgres", queue.Settings{Dir: t.TempDir(), URL: url, Gateway: "a"})}
	db.gone.Store(gone)
	s := New(db, open(t, "sqlite", queue.Settings{Dir: dir}), db.gone.Load, slog.New(slog.DiscardHandler))
	return db, s, queuetest.Start(t, s)
}

// TestSpool: mail that comes while the database is away is there once when it is back, however often the answer to the move
// was lost, and what was in the spool when the process ended goes too.
func TestSpool(t *testing.T) {
	dir, url := t.TempDir(), server.New(t)
	db, s, stop := startStore(t, url, dir, true)
	ids := []string{accept(t, db, 0)} // there was a time before
	for n := range 5 {
		ids = append(ids, accept(t, s, n+1))
	}
	if list, err := db.List(t.Context(), queue.Filter{}, queue.Page{}); err != nil || len(list) != 1 {
		t.Fatalf("in the database: %d messages, %v", len(list), err)
	}
	await(t, "the note of 5", func() bool { // the spool's depth follows its commits
		h, err := s.Health(t.Context())
		return err == nil && slices.Contains(h.Notes, "the spool of this gateway holds new mail until the database is back: 5")
	})
	if list, err := s.Suppressed(t.Context(), "example.com", "a@example.org"); err != nil || list != nil {
		t.Error(list, err)
	}
	stop()

	db, s, stop = newStore(t, url, dir)
	defer stop()
	db.lost.Store(3)
	await(t, "the move", func() bool {
		list, err := db.List(t.Context(), queue.Filter{}, queue.Page{})
		spooled, localErr := s.local.List(t.Context(), queue.Filter{}, queue.Page{})
		return err == nil && localErr == nil && len(list) == 6 && len(spooled) == 0
	})
	for n, id := range ids {
		b, err := s.Body(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		_ = b.Close()
		records, searchErr := s.Search(t.Context(), queue.HistoryFilter{ID: id})
		if want := fmt.Sprintf("Subject: no %d\r\n\r\n%0*d\r\n", n, 1+n*3000, n); err != nil || string(text) != want || searchErr != nil || len(records) != 1 {
			t.Errorf("%s: %d bytes, want %d, %v; %d records, %v", id, len(text), len(want), err, len(records), searchErr)
		}
	}
	leases, err := s.Claim(t.Context(), "main", 10, time.Minute)
	if err != nil || len(leases) != 6 {
		t.Errorf("%d can be claimed, %v", len(leases), err)
	}
}

// TestComesWhileMoving: a message of which a recipient is done with already is moved whole, though it came to the spool after
// the waiting messages were looked at and before the ended ones.
func TestComesWhileMoving(t *testing.T) {
	db, s, stop := startStore(t, server.New(t), t.TempDir(), true)
	defer stop()
	id := accept(t, s, 1)
	if err := s.moveEnded(t.Context()); err != nil {
		t.Fatal(err)
	}
	db.gone.Store(false)
	await(t, "the move", func() bool {
		spooled, err := s.local.List(t.Context(), queue.Filter{}, queue.Page{})
		return err == nil && len(spooled) == 0
	})
	list, err := db.List(t.Context(), queue.Filter{IDs: []string{id}}, queue.Page{})
	records, searchErr := db.Search(t.Context(), queue.HistoryFilter{ID: id})
	if err != nil || searchErr != nil || len(list) != 1 || len(records) != 1 {
		t.Errorf("%d messages wait, %v; %d records, %v", len(list), err, len(records), searchErr)
	}
}

// TestFirstOfOutage: mail whose commit finds the database away is in the spool, under its id, whether the database has it or not;
// what it reports to be in the database is not.
func TestFirstOfOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		commit func(*shared) func(context.Context, queue.Draft, queue.Accepted) error
	}{
		{"it was not written", func(*shared) func(context.Context, queue.Draft, queue.Accepted) error {
			return func(context.Context, queue.Draft, queue.Accepted) error { return fmt.Errorf("x: %w", queue.ErrAway) }
		}},
		{"it was written, and nobody knows", func(db *shared) func(context.Context, queue.Draft, queue.Accepted) error {
			return func(ctx context.Context, d queue.Draft, m queue.Accepted) error {
				body, err := d.Body()
				if err == nil {
					_, err = db.Engine.Import(ctx, &queue.Imported{ID: d.ID(), Accepted: m, Size: body.Size(), Body: io.NewSectionReader(body, 0, body.Size())})
				}
				return errors.Join(err, queue.ErrAway)
			}
		}},
		{"it waits until the outage is seen", func(db *shared) func(context.Context, queue.Draft, queue.Accepted) error {
			return func(ctx context.Context, _ queue.Draft, _ queue.Accepted) error {
				db.gone.Store(true)
				<-ctx.Done()
				return context.Cause(ctx)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			db, s, stop := newStore(t, server.New(t), t.TempDir())
			defer stop()
			db.commit = c.commit(db)
			id := accept(t, s, 1)
			if list, err := s.local.List(t.Context(), queue.Filter{}, queue.Page{}); err == nil && db.gone.Load() && (len(list) != 1 || list[0].ID != id) {
				t.Errorf("in the spool: %+v", list)
			}
			if list, err := s.Suppressed(t.Context(), "example.com", "a@example.org"); err != nil || list != nil {
				t.Error(list, err)
			}
			db.gone.Store(false)
			await(t, "the move", func() bool {
				list, err := db.List(t.Context(), queue.Filter{}, queue.Page{})
				spooled, localErr := s.local.List(t.Context(), queue.Filter{}, queue.Page{})
				return err == nil && localErr == nil && len(list) == 1 && list[0].ID == id && len(spooled) == 0
			})
			d, err := s.New(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			db.gone.Store(false)
			to := []envelope.Recipient{{Address: "a@example.org"}}
			m := queue.Accepted{Envelope: envelope.Envelope{To: to}, Parts: []queue.Part{{To: to, Lane: "main", State: envelope.Queued}}, Reports: []string{"1"}}
			if err := d.Commit(t.Context(), m); !errors.Is(err, queue.ErrAway) {
				t.Errorf("mail that reports a bounce: %v", err)
			}
			if err := errors.Join(d.Discard()); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestHistoryMoves: what became of mail for which nobody waits, such as what was refused, is in the history of all.
func TestHistoryMoves(t *testing.T) {
	db, s, stop := startStore(t, server.New(t), t.TempDir(), true)
	defer stop()
	d, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	to := envelope.Recipient{Address: "no@example.org"}
	fmt.Fprint(d, "Subject: no\r\n\r\nx")
	m := queue.Accepted{Envelope: envelope.Envelope{From: "ann@example.com", To: []envelope.Recipient{to}, Received: time.Now()}, Header: queue.Summary{Subject: "no"},
		Done: []queue.Record{{Recipient: to, State: envelope.Refused, Error: "550 no"}}}
	if err := d.Commit(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	id := accept(t, s, 1)
	db.lost.Store(2)
	db.gone.Store(false)
	await(t, "the move", func() bool {
		left, err := s.local.Search(t.Context(), queue.HistoryFilter{})
		return err == nil && len(left) == 0
	})
	list, err := db.Search(t.Context(), queue.HistoryFilter{})
	if err != nil || len(list) != 2 {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, r := range list {
		if r.ID != id && (r.ID != d.ID() || r.Error != "550 no" || r.State != envelope.Refused || r.Header.Subject != "no" || r.From != "ann@example.com") {
			t.Errorf("%+v", r)
		}
	}
	if f, err := db.Finished(t.Context(), d.ID()); err != nil || !strings.Contains(string(f.Fields), "Subject: no") {
		t.Errorf("%+v, %v", f, err)
	}
}

// frail is a spool of which one call fails.
type frail struct {
	queue.Engine
	left atomic.Int64
}

var errFrail = errors.New("the disk fails")

func (f *frail) call() error {
	if f.left.Add(-1) == 0 {
		return errFrail
	}
	return nil
}

func (f *frail) List(ctx context.Context, filter queue.Filter, p queue.Page) ([]queue.Message, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Engine.List(ctx, filter, p)
}

func (f *frail) Body(ctx context.Context, id string) (queue.Body, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Engine.Body(ctx, id)
}

func (f *frail) Search(ctx context.Context, filter queue.HistoryFilter) ([]queue.Record, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Engine.Search(ctx, filter)
}

func (f *frail) Events(ctx context.Context, id string) ([]queue.Event, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Engine.Events(ctx, id)
}

func (f *frail) Finished(ctx context.Context, id string) (*queue.Finished, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Engine.Finished(ctx, id)
}

func (f *frail) Delete(ctx context.Context, filter queue.Filter, by string) (queue.Changed, error) {
	if err := f.call(); err != nil {
		return queue.Changed{}, nil // it changes nothing
	}
	return f.Engine.Delete(ctx, filter, by)
}

func (f *frail) New(ctx context.Context) (queue.Draft, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Engine.New(ctx)
}

func (f *frail) Import(ctx context.Context, m *queue.Imported) (bool, error) {
	if err := f.call(); err != nil {
		return false, err
	}
	return f.Engine.Import(ctx, m)
}

// TestFrail: whatever fails at the spool while mail is moved, or the database while it is asked, the next move goes on, and each
// message is in the database once. What neither takes is refused.
func TestFrail(t *testing.T) {
	db := &shared{Engine: open(t, "postgres", queue.Settings{Dir: t.TempDir(), URL: server.New(t), Gateway: "a"})}
	local := &frail{Engine: open(t, "sqlite", queue.Settings{Dir: t.TempDir()})}
	s := New(db, local, db.gone.Load, slog.New(slog.DiscardHandler))
	defer queuetest.Start(t, hasty{s})()
	s.SetReserve(0)
	db.gone.Store(true)
	accept(t, s, 1)
	accept(t, s, 2)
	for calls := int64(1); ; calls++ {
		local.left.Store(calls)
		_, err := s.move(t.Context(), s.taken.Load())
		if err == nil && local.left.Load() > 0 {
			break
		}
		if err != nil && !errors.Is(err, errFrail) && !strings.Contains(err.Error(), "could not be removed") {
			t.Fatal(err)
		}
	}
	local.left.Store(0)
	if list, err := db.List(t.Context(), queue.Filter{}, queue.Page{}); err != nil || len(list) != 2 {
		t.Errorf("%d messages in the database, %v", len(list), err)
	}
	local.left.Store(1)
	if _, err := s.New(t.Context()); !errors.Is(err, errFrail) {
		t.Errorf("New: %v", err)
	}
	db.gone.Store(false)
	db.commit = func(context.Context, queue.Draft, queue.Accepted) error { return queue.ErrAway }
	d, err := s.New(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	local.left.Store(1)
	to := []envelope.Recipient{{Address: "a@example.org"}}
	err = d.Commit(t.Context(), queue.Accepted{Envelope: envelope.Envelope{To: to}, Parts: []queue.Part{{To: to, Lane: "main", State: envelope.Queued}}})
	if !errors.Is(err, errFrail) || !errors.Is(err, queue.ErrAway) {
		t.Errorf("Commit: %v", err)
	}
	db.commit = nil
	if list, err := s.Suppressed(t.Context(), "example.com", "a@example.org"); err != nil || len(list) != 0 {
		t.Errorf("Suppressed: %v, %v", list, err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.New(t.Context()); !errors.Is(err, queue.ErrClosed) {
		t.Errorf("New of a closed store: %v", err)
	}
}

// hasty runs the engines of a store and moves nothing.
type hasty struct{ *Store }

func (h hasty) Run(ctx context.Context) error {
	ended := make(chan error, 1)
	go func() { ended <- h.local.Run(ctx) }()
	return errors.Join(h.Engine.Run(ctx), <-ended)
}

func (h hasty) Close() error {
	err := h.Store.Close()
	if errors.Is(err, queue.ErrClosed) {
		return nil // the test has closed the database
	}
	return err
}

// TestKnownID: mail of the spool whose id other mail has got meanwhile goes into the database under another one, once.
func TestKnownID(t *testing.T) {
	for _, late := range []bool{false, true} { // after the spool has looked whether the id is free
		db, s, stop := startStore(t, server.New(t), t.TempDir(), true)
		defer stop()
		id := accept(t, s, 1)
		other := queue.Accepted{Envelope: envelope.Envelope{From: "eve@example.com", To: []envelope.Recipient{{Address: "eve@example.org"}}, Received: time.Now()}}
		other.Parts = []queue.Part{{To: other.Envelope.To, Lane: "main", State: envelope.Queued}}
		rival := &queue.Imported{ID: id, Accepted: other, Size: 1, Body: strings.NewReader("x")}
		if late {
			db.rival.Store(rival)
		} else {
			if isNew, err := db.Import(t.Context(), rival); !isNew || err != nil {
				t.Fatal(isNew, err)
			}
			db.lost.Store(2)
		}
		db.gone.Store(false)
		await(t, "the move", func() bool {
			spooled, err := s.local.List(t.Context(), queue.Filter{}, queue.Page{})
			return err == nil && len(spooled) == 0
		})
		list, err := db.List(t.Context(), queue.Filter{}, queue.Page{})
		if err != nil || len(list) != 2 || list[0].Envelope.From != "eve@example.com" || list[1].Envelope.From != "ann@example.com" {
			t.Errorf("late: %v: %+v, %v", late, list, err)
		}
	}
}

// TestOneStays: a message that cannot be moved does not keep the others in the spool.
func TestOneStays(t *testing.T) {
	db, s, stop := startStore(t, server.New(t), t.TempDir(), true)
	defer stop()
	bad := accept(t, s, 1)
	accept(t, s, 2)
	db.bad.Store(&bad)
	db.gone.Store(false)
	await(t, "the move of the other", func() bool {
		list, err := db.List(t.Context(), queue.Filter{}, queue.Page{})
		spooled, localErr := s.local.List(t.Context(), queue.Filter{}, queue.Page{})
		return err == nil && localErr == nil && len(list) == 1 && len(spooled) == 1 && spooled[0].ID == bad
	})
	db.bad.Store(nil)
	await(t, "the move of all", func() bool {
		list, err := db.List(t.Context(), queue.Filter{}, queue.Page{})
		return err == nil && len(list) == 2
	})
}
