package carry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
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

// store is one of a test, opened anew for each use.
type store struct {
	engine string
	queue.Settings
}

func (s *store) open(t *testing.T) (queue.Engine, func()) {
	t.Helper()
	e, err := engines.Open(t.Context(), s.engine, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	return e, queuetest.Start(t, e)
}

func (s *store) read(t *testing.T) queue.Reader {
	t.Helper()
	r, err := engines.Read(t.Context(), s.engine, s.Settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.Close() })
	return r
}

// fill puts messages into a store: some wait, some have ended, some both.
func (s *store) fill(t *testing.T, n int) {
	q, stop := s.open(t)
	defer stop()
	for i := range n {
		to := []envelope.Recipient{{Address: fmt.Sprintf("a%d@example.org", i)}, {Address: fmt.Sprintf("b%d@example.org", i)}}
		received := time.Now().Add(-time.Duration(i) * time.Minute).Truncate(time.Millisecond)
		m := queue.Accepted{Envelope: envelope.Envelope{From: "ann@example.com", To: to, Received: received}, Header: queue.Summary{Subject: fmt.Sprint("no ", i)}}
		done := func(r envelope.Recipient) queue.Record {
			return queue.Record{Recipient: r, State: envelope.Sent, At: received, Upstream: "main", ProviderID: fmt.Sprint("p", i)}
		}
		switch i % 6 {
		case 0:
			m.Parts = []queue.Part{{To: to, Lane: "main", State: envelope.Queued, NextAt: received.Add(24 * time.Hour), Progress: envelope.Progress{Attempts: i}}}
		case 1:
			m.Parts = []queue.Part{{To: to[:1], Lane: "bulk", State: envelope.Held}}
			m.Done = []queue.Record{done(to[1])}
			m.Events = []queue.Event{{At: received, Kind: queue.EventHeld, Words: "because"}}
		case 3:
			m.Parts = []queue.Part{{To: to[:1], Lane: "main", State: envelope.Failed, Progress: envelope.Progress{Attempts: 7, Error: "550 no"}}, {To: to[1:], Lane: "bulk", State: envelope.Queued}}
			m.Events = []queue.Event{{At: received, Kind: queue.EventFailed, To: []string{to[0].Address}, Words: "550 no"}}
		case 4:
			m.Done = []queue.Record{{Recipient: to[0], State: envelope.Discarded, At: received, Error: "a rule"}, {Recipient: to[1], State: envelope.Refused, At: received, Error: "550 no"}}
		default:
			m.Done = []queue.Record{done(to[0]), done(to[1])}
		}
		d, err := q.New(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(d, "Subject: no %d\r\n\r\n%0*d\r\n", i, 1+i*997, i)
		if err := d.Commit(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	tell(t, q)
	if err := q.Pause(t.Context(), "bulk", "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Suppress(t.Context(), queue.Suppression{Address: "no@example.org", Reason: queue.SuppressionReason(queue.EventBounced), At: time.Now()}); err != nil {
		t.Fatal(err)
	}
}

// tell lets the upstream tell of some mail: that it was delivered, or that it bounced, of which one sender in two was told.
func tell(t *testing.T, q queue.Engine) {
	t.Helper()
	records, err := q.Search(t.Context(), queue.HistoryFilter{State: envelope.Sent})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range records {
		told := queue.Told{ID: r.ID, Recipient: r.Recipient.Address, Kind: queue.EventBounced, At: r.At.Add(time.Hour), Words: "550 no", Status: "5.1.1", Key: fmt.Sprint("k", i)}
		if i%4 == 0 {
			told.Kind = queue.EventDelivered
		}
		if _, err := q.Apply(t.Context(), queue.News{Upstream: "main", Told: []queue.Told{told}}); err != nil {
			t.Fatal(err)
		}
		late, err := q.LateBounces(t.Context(), "", 100)
		if err == nil && i%2 == 0 && len(late) > 0 {
			err = q.Dismiss(t.Context(), late[len(late)-1].Key)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// story is all that a store knows, in words.
func story(t *testing.T, r queue.Reader) (lines []string) {
	t.Helper()
	ctx := context.Background()
	list, err := r.List(ctx, queue.Filter{}, queue.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range list {
		b, err := r.Body(ctx, m.ID)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
		if err = errors.Join(err, b.Close()); err != nil {
			t.Fatal(err)
		}
		events, err := r.Events(ctx, m.ID)
		for _, p := range m.Parts {
			lines = append(lines, fmt.Sprint(m.ID, m.Header, m.Envelope.To, p.To, p.Lane, p.State, p.NextAt.UnixMilli(), p.Progress, " interrupted=", p.Interrupted, string(text), len(events), err))
		}
	}
	records, err := r.Search(ctx, queue.HistoryFilter{Limit: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	for _, rec := range records {
		f, err := r.Finished(ctx, rec.ID)
		fields := ""
		if err == nil && f != nil {
			fields = string(f.Fields)
		}
		lines = append(lines, fmt.Sprint(rec.ID, rec.Recipient.Address, rec.State, rec.At.UnixMilli(), rec.ProviderID, rec.Header, rec.Size, rec.Received.UnixMilli(), rec.Told.UnixMilli(), rec.Error, fields))
		events, err := r.Events(ctx, rec.ID)
		if err != nil && !errors.Is(err, queue.ErrNotFound) {
			t.Fatal(err)
		}
		for _, e := range events {
			lines = append(lines, fmt.Sprint("event ", rec.ID, e.Kind, e.To, e.At.UnixMilli(), e.Words, e.Status, e.Told))
		}
	}
	late, err := r.LateBounces(ctx, "", 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range late {
		lines = append(lines, fmt.Sprint("late ", l.Record.ID, l.Record.Recipient.Address, l.Told.Words, l.Told.Status, l.Told.At.UnixMilli()))
	}
	slices.Sort(lines)
	return lines
}

// broken fails after some messages.
type broken struct {
	queue.Engine
	left int
}

var errCut = errors.New("cut off")

func (b *broken) Import(ctx context.Context, m *queue.Imported) (bool, error) {
	if b.left--; b.left < 0 {
		return false, errCut
	}
	return b.Engine.Import(ctx, m)
}

// TestCopy: a queue in a state directory goes to a database, by two copies of which the first is cut off, and back.
func TestCopy(t *testing.T) {
	const n = 60
	old := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	shared := &store{"postgres", queue.Settings{Dir: t.TempDir(), URL: server.New(t), Gateway: "a"}}
	back := &store{"sqlite", queue.Settings{Dir: filepath.Join(t.TempDir(), "back")}}
	old.fill(t, n)
	want := story(t, old.read(t))
	if !slices.ContainsFunc(want, func(line string) bool { return strings.HasPrefix(line, "late ") }) {
		t.Fatal("nobody waits for a late bounce")
	}

	q, stop := shared.open(t)
	if done, err := Copy(t.Context(), old.read(t), &broken{q, n / 2}, nil); !errors.Is(err, errCut) || done.Waiting+done.Ended != n/2 {
		t.Fatalf("the first copy: %+v, %v", done, err)
	}
	told := 0
	done, err := Copy(t.Context(), old.read(t), q, func(Done) { told++ })
	if err != nil || done.Waiting+done.Ended != n/2 || done.Known != n/2 || told == 0 {
		t.Fatalf("the second copy: %+v, %v", done, err)
	}
	paused, err := q.Paused(t.Context())
	if err != nil || paused["bulk"].By != "root" {
		t.Errorf("paused: %v, %v", paused, err)
	}
	if list, err := q.Suppressed(t.Context(), "example.com", "no@example.org"); err != nil || len(list) != 1 {
		t.Errorf("suppressed: %v, %v", list, err)
	}
	stop()
	if got := story(t, shared.read(t)); !slices.Equal(got, want) {
		t.Errorf("in the database there are %d lines, want %d", len(got), len(want))
		for i := range min(len(got), len(want)) {
			if got[i] != want[i] {
				t.Fatalf("such as\n%.300s\nwant\n%.300s", got[i], want[i])
			}
		}
	}

	q, stop = back.open(t)
	if done, err := Copy(t.Context(), shared.read(t), q, nil); err != nil || done.Waiting+done.Ended != n || done.Known != 0 {
		t.Fatalf("the copy back: %+v, %v", done, err)
	}
	stop()
	if got := story(t, back.read(t)); !slices.Equal(got, want) {
		t.Errorf("back in a directory there are %d lines, want %d, or they differ", len(got), len(want))
	}
}

// unclean is a store whose last process was killed.
type unclean struct{ queue.Reader }

func (unclean) Health(context.Context) (queue.Health, error) { return queue.Health{Unclean: true}, nil }

func TestUnclean(t *testing.T) {
	s := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	s.fill(t, 1)
	if _, err := Copy(t.Context(), unclean{s.read(t)}, nil, nil); !errors.Is(err, ErrUnclean) {
		t.Error(err)
	}
}
