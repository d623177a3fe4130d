// Package historytest holds the suite of what every engine of package queue keeps of mail: its history, what happened to
// it, what operators did and paused.
package historytest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
)

const (
	lane     = "main"
	longTime = time.Minute // a lease that does not end in a test
)

// Run checks that an engine does what package queue says.
func Run(t *testing.T, e queuetest.Engine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *house)
	}{
		{"Search", testSearch},
		{"SearchPages", testSearchPages},
		{"EventsOfOffers", testEventsOfOffers},
		{"EventsOfOperators", testEventsOfOperators},
		{"EventsOfDivided", testEventsOfDivided},
		{"EventsFenced", testEventsFenced},
		{"Note", testNote},
		{"EventsPruned", testEventsPruned},
		{"Pause", testPause},
		{"Finished", testFinished},
		{"FinishedOdd", testFinishedOdd},
		{"KeepBodies", testKeepBodies},
		{"KeepBodiesBounds", testKeepBodiesBounds},
		{"Privacy", testPrivacy},
		{"Suppress", testSuppress},
		{"SuppressAgain", testSuppressAgain},
		{"SuppressUntil", testSuppressUntil},
		{"Suppressions", testSuppressions},
		{"SuppressHidden", testSuppressHidden},
		{"Backup", testBackup},
		{"BackupFails", testBackupFails},
		{"Closed", testClosed},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &house{T: t, dir: t.TempDir(), engine: e}
			h.start()
			t.Cleanup(h.stop)
			c.test(t, h)
		})
	}
}

// house is a store under test with the shorthand of the tests.
type house struct {
	*testing.T
	dir    string
	engine queuetest.Engine
	q      queue.Engine
	end    func()
}

func (h *house) start() {
	h.q = h.engine.Open(h.T, h.dir)
	h.end = queuetest.Start(h.T, h.q)
}

func (h *house) stop() {
	if h.q != nil {
		h.end()
		h.q = nil
	}
}

func (h *house) restart() {
	h.stop()
	h.start()
}

// must fails the test on an error.
func (h *house) must(what string, err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
}

// mail is a message with one part for all its recipients.
func mail(from string, to ...string) queue.Accepted {
	m := queue.Accepted{Envelope: envelope.Envelope{From: from, Received: time.Now()}}
	for _, address := range to {
		m.Envelope.To = append(m.Envelope.To, envelope.Recipient{Address: address})
	}
	m.Parts = []queue.Part{{To: m.Envelope.To, Lane: lane, State: envelope.Queued}}
	return m
}

// add accepts a message and returns its id.
func (h *house) add(body string, m queue.Accepted) string {
	h.Helper()
	d, err := h.q.New(context.Background())
	h.must("New", err)
	defer d.Discard()
	_, err = d.Write([]byte(body))
	h.must("Write", err)
	h.must("Commit", d.Commit(context.Background(), m))
	return d.ID()
}

// claim leases the one part that is due in a lane.
func (h *house) claim(lane string) queue.Lease {
	h.Helper()
	leases, err := h.q.Claim(context.Background(), lane, 10, longTime)
	h.must("Claim", err)
	if len(leases) != 1 {
		h.Fatalf("Claim: got %d leases, want 1", len(leases))
	}
	return leases[0]
}

func (h *house) finish(l queue.Lease, r queue.Result) {
	h.Helper()
	h.must("Finish", l.Finish(context.Background(), r))
}

// send ends a leased part; r says how, but for the recipient.
func (h *house) send(l queue.Lease, r queue.Record) {
	h.Helper()
	var done []queue.Record
	if r.State == "" {
		r.State = envelope.Sent
	}
	for _, to := range l.Message().Parts[0].To {
		r.Recipient = to
		done = append(done, r)
	}
	h.finish(l, queue.Result{Done: done})
}

func (h *house) search(f queue.HistoryFilter) []queue.Record {
	h.Helper()
	out, err := h.q.Search(context.Background(), f)
	h.must("Search", err)
	return out
}

func (h *house) events(id string) []queue.Event {
	h.Helper()
	out, err := h.q.Events(context.Background(), id)
	h.must("Events", err)
	return out
}

// wantEvents compares what happened to a message: "kind upstream by to,to" of each.
func (h *house) wantEvents(what, id string, want ...string) {
	h.Helper()
	var got []string
	for _, e := range h.events(id) {
		got = append(got, strings.Join([]string{string(e.Kind), e.Upstream, e.By, strings.Join(e.To, ",")}, " "))
		if age := time.Since(e.At); e.ID != id || age < -time.Minute || age > time.Minute {
			h.Errorf("%s: an event of %q at %v", what, e.ID, e.At)
		}
	}
	if !slices.Equal(got, want) {
		h.Errorf("%s: events %q, want %q", what, got, want)
	}
}

func (h *house) prune(k queue.Keep) {
	h.Helper()
	_, err := h.q.Prune(context.Background(), k)
	h.must("Prune", err)
}

func testClosed(t *testing.T, h *house) {
	q, ctx := h.q, context.Background()
	id := h.add("x", mail("ann@example.com", "b@example.org"))
	h.stop()
	_, eventsErr := q.Events(ctx, id)
	_, finishedErr := q.Finished(ctx, id)
	_, pausedErr := q.Paused(ctx)
	_, suppressErr := q.Suppress(ctx, queue.Suppression{Address: "a@b.c", Reason: queue.ReasonManual, At: time.Now()})
	_, liftErr := q.Lift(ctx, "", "a@b.c")
	_, listErr := q.Suppressions(ctx, queue.SuppressionFilter{})
	for what, err := range map[string]error{
		"Suppress": suppressErr, "Lift": liftErr, "Suppressions": listErr,
		"Events": eventsErr, "Finished": finishedErr, "Paused": pausedErr, "Pause": q.Pause(ctx, lane, ""), "Resume": q.Resume(ctx, lane),
		"Note": q.Note(ctx, queue.Event{ID: id}),
	} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", what, err)
		}
	}
}
