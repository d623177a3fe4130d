// Package feedbacktest holds the suite of what every engine of package queue makes of what providers tell later.
package feedbacktest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
)

const (
	up     = "main"
	sender = "app@example.com"
)

// Run checks that an engine does what package queue says.
func Run(t *testing.T, e queuetest.Engine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *house)
	}{
		{"Joins", testJoins},
		{"JoinsNothing", testJoinsNothing},
		{"Order", testOrder},
		{"Again", testAgain},
		{"Waits", testWaits},
		{"ToldOf", testToldOf},
		{"LateBounce", testLateBounce},
		{"NoLateBounce", testNoLateBounce},
		{"Cursor", testCursor},
		{"Nonce", testNonce},
		{"Awaited", testAwaited},
		{"Search", testSearch},
		{"Privacy", testPrivacy},
		{"Suppresses", testSuppresses},
		{"SuppressesLater", testSuppressesLater},
		{"Forward", testForward},
		{"TooMuch", testTooMuch},
		{"Pruned", testPruned},
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

func (h *house) must(what string, err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
}

// accept takes a message in whose recipients wait.
func (h *house) accept(from string, to ...string) (id string) {
	h.Helper()
	m := queue.Accepted{Envelope: envelope.Envelope{From: from, Received: time.Now()}, Header: queue.Summary{MessageID: "<1@example.com>", Subject: "Hello"}}
	for _, address := range to {
		m.Envelope.To = append(m.Envelope.To, envelope.Recipient{Address: address})
	}
	m.Parts = []queue.Part{{To: m.Envelope.To, Lane: up, State: envelope.Queued}}
	id, err := h.commit(m)
	h.must("Commit", err)
	return id
}

func (h *house) commit(m queue.Accepted) (id string, err error) {
	h.Helper()
	d, err := h.q.New(context.Background())
	h.must("New", err)
	defer d.Discard() //nolint:errcheck // after Commit it does nothing
	_, err = d.Write([]byte("Subject: Hello\r\n\r\nx\r\n"))
	h.must("Write", err)
	return d.ID(), d.Commit(context.Background(), m)
}

// take makes an upstream take the mail that waits.
func (h *house) take(upstream, provider string) {
	h.Helper()
	leases, err := h.q.Claim(context.Background(), up, 10, time.Minute)
	h.must("Claim", err)
	if len(leases) != 1 {
		h.Fatalf("%d leases, want 1", len(leases))
	}
	var r queue.Result
	for _, to := range leases[0].Message().Parts[0].To {
		r.Done = append(r.Done, queue.Record{Recipient: to, State: envelope.Sent, Upstream: upstream, ProviderID: provider, Attempts: 1})
	}
	h.must("Finish", leases[0].Finish(context.Background(), r))
}

// sent is mail that an upstream has taken.
func (h *house) sent(provider string, to ...string) (id string) {
	h.Helper()
	id = h.accept(sender, to...)
	h.take(up, provider)
	return id
}

func (h *house) apply(told ...queue.Told) queue.Applied {
	h.Helper()
	done, err := h.q.Apply(context.Background(), queue.News{Upstream: up, Told: told})
	h.must("Apply", err)
	return done
}

func (h *house) rejoin() queue.Applied {
	h.Helper()
	done, err := h.q.Rejoin(context.Background())
	h.must("Rejoin", err)
	return done
}

// record returns that of a recipient.
func (h *house) record(id, to string) queue.Record {
	h.Helper()
	list, err := h.q.Search(context.Background(), queue.HistoryFilter{ID: id, To: to})
	h.must("Search", err)
	if len(list) != 1 {
		h.Fatalf("%d records of %s, want 1", len(list), to)
	}
	return list[0]
}

// wantStates compares the states of the recipients of a message, as "address state".
func (h *house) wantStates(what, id string, want ...string) {
	h.Helper()
	list, err := h.q.Search(context.Background(), queue.HistoryFilter{ID: id})
	h.must("Search", err)
	var got []string
	for _, r := range list {
		got = append(got, r.Recipient.Address+" "+string(r.State))
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		h.Errorf("%s: states %q, want %q", what, got, want)
	}
}

// wantEvents compares what happened to a message, as "kind to".
func (h *house) wantEvents(what, id string, want ...string) {
	h.Helper()
	list, err := h.q.Events(context.Background(), id)
	h.must("Events", err)
	var got []string
	for _, e := range list {
		got = append(got, string(e.Kind)+" "+strings.Join(e.To, ","))
	}
	if !slices.Equal(got, want) {
		h.Errorf("%s: events %q, want %q", what, got, want)
	}
}

func (h *house) late() []queue.LateBounce {
	h.Helper()
	list, err := h.q.LateBounces(context.Background(), "", 100)
	h.must("LateBounces", err)
	return list
}

func testClosed(t *testing.T, h *house) {
	q, ctx := h.q, context.Background()
	h.stop()
	_, cursorErr := q.Cursor(ctx, up)
	_, applyErr := q.Apply(ctx, queue.News{Upstream: up})
	_, rejoinErr := q.Rejoin(ctx)
	_, ofErr := q.ToldOf(ctx, up, "0ABCDEFGHJKMN")
	_, lateErr := q.LateBounces(ctx, "", 1)
	_, awaitedErr := q.Awaited(ctx, up, time.Time{})
	for what, err := range map[string]error{"Cursor": cursorErr, "Apply": applyErr, "Rejoin": rejoinErr, "ToldOf": ofErr, "LateBounces": lateErr, "Awaited": awaitedErr,
		"Dismiss": q.Dismiss(ctx, "1")} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", what, err)
		}
	}
}

// numbered are addresses.
func numbered(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("r%d@example.org", i))
	}
	return list
}
