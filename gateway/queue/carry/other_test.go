package carry

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// allOf returns by id what a store knows of, with the keys under which parts are offered again.
func allOf(t *testing.T, r queue.Reader) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	list, err := r.List(t.Context(), queue.Filter{}, queue.Page{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range list {
		for _, p := range list[i].Parts {
			key := ""
			if p.Progress.Attempts > 0 {
				key = p.Progress.Key + "!"
			}
			all[list[i].ID] = append(all[list[i].ID], key)
		}
	}
	records, err := r.Search(t.Context(), queue.HistoryFilter{})
	if err != nil {
		t.Fatal(err)
	}
	for i := range records {
		all[records[i].ID] = append(all[records[i].ID], "")
	}
	return all
}

// TestOtherMailHasTheID: a message whose id another one has in the other store is copied under a new one, once, with what is known
// of it. What was offered keeps its key.
func TestOtherMailHasTheID(t *testing.T) {
	const n = 12
	old, other := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}, &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	old.fill(t, n)
	source := old.read(t)
	ids := allOf(t, source)
	target, stop := other.open(t)
	defer stop()
	waits := false
	for id := range ids {
		m := queue.Accepted{Envelope: envelope.Envelope{From: "eve@example.com", To: []envelope.Recipient{{Address: "eve@example.org"}}, Received: time.Now()}}
		if waits = !waits; waits {
			m.Parts = []queue.Part{{To: m.Envelope.To, Lane: "main", State: envelope.Held}}
		} else {
			m.Done = []queue.Record{{Recipient: m.Envelope.To[0], State: envelope.Sent, Upstream: "main"}}
		}
		if isNew, err := target.Import(t.Context(), &queue.Imported{ID: id, Accepted: m, Size: 9, Body: strings.NewReader("X: eve\r\n\r\n")}); err != nil || !isNew {
			t.Fatal(isNew, err)
		}
	}
	eve := story(t, target)
	for i := range 2 {
		done, err := Copy(t.Context(), source, target, nil)
		if err != nil || len(done.Renamed) != n || done.Waiting+done.Ended != n*(1-i) || done.Known != n*i {
			t.Fatalf("copy %d: %+v, %v", i+1, done, err)
		}
		all := allOf(t, target)
		for _, r := range done.Renamed {
			for j := range ids[r.ID] {
				if ids[r.ID][j] != "" {
					ids[r.ID][j] = r.ID + "!"
				}
			}
			if !slices.Equal(all[r.Now], ids[r.ID]) {
				t.Errorf("copy %d: %s is %s, with %q, want %q", i+1, r.ID, r.Now, all[r.Now], ids[r.ID])
			}
		}
	}
	if got := len(story(t, target)); got != len(eve)+len(story(t, source)) {
		t.Errorf("%d lines, want those of both", got)
	}
}

// TestFurther: a gateway on the other store may be further with what was copied before.
func TestFurther(t *testing.T) {
	old, other := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}, &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	old.fill(t, 12)
	target, stop := other.open(t)
	defer stop()
	if _, err := Copy(t.Context(), old.read(t), target, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Release(t.Context(), queue.Filter{}, "root"); err != nil {
		t.Fatal(err)
	}
	if _, err := target.Delete(t.Context(), queue.Filter{To: "a0@example.org"}, "root"); err != nil {
		t.Fatal(err)
	}
	if done, err := Copy(t.Context(), old.read(t), target, nil); err != nil || done.Known != 12 {
		t.Errorf("%+v, %v", done, err)
	}
}

// TestOlderCopy: nothing is copied into a store in which mail waits as it was before: from there it would be delivered again.
func TestOlderCopy(t *testing.T) {
	for what, c := range map[string]struct {
		older  bool
		change func(ctx context.Context, q queue.Engine, id string) error
	}{
		"nothing":  {false, func(context.Context, queue.Engine, string) error { return nil }},
		"delivery": {true, finish(func(l queue.Lease) queue.Result { return queue.Result{Done: sentTo(l.Message().Parts[0].To)} })},
		"delivery to one": {true, finish(func(l queue.Lease) queue.Result {
			p := l.Message().Parts[0]
			done := sentTo(p.To[:1])
			p.To = p.To[1:]
			return queue.Result{Done: done, Parts: []queue.Part{p}}
		})},
		"an offer that failed": {true, finish(func(l queue.Lease) queue.Result {
			return queue.Result{Parts: l.Message().Parts, Events: []queue.Event{{Kind: queue.EventDeferred, Words: "451 no", At: time.Now().Add(time.Second)}}}
		})},
		"hold": {true, func(ctx context.Context, q queue.Engine, id string) error {
			_, err := q.Hold(ctx, queue.Filter{IDs: []string{id}}, "root")
			return err
		}},
		"deletion": {true, func(ctx context.Context, q queue.Engine, id string) error {
			_, err := q.Delete(ctx, queue.Filter{IDs: []string{id}}, "root")
			return err
		}},
	} {
		t.Run(what, func(t *testing.T) {
			here, there := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}, &store{"sqlite", queue.Settings{Dir: filepath.Join(t.TempDir(), "there")}}
			to := []envelope.Recipient{{Address: "a@example.org"}, {Address: "b@example.org"}}
			q, stop := here.open(t)
			d, err := q.New(t.Context())
			if err == nil {
				fmt.Fprint(d, "Subject: one\r\n\r\n")
				err = d.Commit(t.Context(), queue.Accepted{Envelope: envelope.Envelope{To: to, Received: time.Now()}, Parts: []queue.Part{{To: to, Lane: "main", State: envelope.Queued}}})
			}
			if err != nil {
				t.Fatal(err)
			}
			stop()
			q, stop = there.open(t)
			if _, err := Copy(t.Context(), here.read(t), q, nil); err != nil {
				t.Fatal(err)
			}
			err = c.change(t.Context(), q, d.ID())
			stop()
			if err != nil {
				t.Fatal(err)
			}
			q, stop = here.open(t)
			defer stop()
			if _, err := Copy(t.Context(), there.read(t), q, nil); errors.Is(err, ErrOlder) != c.older || err != nil && !strings.Contains(err.Error(), d.ID()) {
				t.Errorf("the copy back: %v", err)
			}
		})
	}
}

// finish ends a lease of the message with a result.
func finish(result func(queue.Lease) queue.Result) func(context.Context, queue.Engine, string) error {
	return func(ctx context.Context, q queue.Engine, _ string) error {
		leases, err := q.Claim(ctx, "main", 1, time.Minute)
		if err != nil || len(leases) != 1 {
			return fmt.Errorf("%d leases, %w", len(leases), err)
		}
		return leases[0].Finish(ctx, result(leases[0]))
	}
}

func sentTo(to []envelope.Recipient) (done []queue.Record) {
	for _, r := range to {
		done = append(done, queue.Record{Recipient: r, State: envelope.Sent, Upstream: "main", At: time.Now()})
	}
	return done
}
