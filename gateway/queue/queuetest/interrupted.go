package queuetest

import (
	"context"
	"errors"
	"mailhatch/gateway/queue"
	"testing"
	"time"
)

// What was leased when a lease or the process ended without a result is interrupted until it has one.
func testInterrupted(t *testing.T, h *house) {
	ctx := context.Background()
	is := func(what string, m *queue.Message, want bool) {
		t.Helper()
		if got := m.Parts[0].Interrupted; got != want {
			t.Errorf("%s: interrupted is %v, want %v", what, got, want)
		}
	}
	id := h.add("bob@example.org")
	first := h.claimOne()
	is("first lease", first.Message(), false)
	h.must("Release", first.Release(ctx))
	short, err := h.q.Claim(ctx, lane, 1, 20*time.Millisecond)
	h.must("Claim", err)
	is("after Release", short[0].Message(), false)
	again := h.claimAgain()
	is("after the end of a lease", again.Message(), true)
	h.must("Release", again.Release(ctx))
	if err := again.Finish(ctx, sent(again)); !errors.Is(err, queue.ErrFenced) {
		t.Errorf("Finish after Release: %v", err)
	}
	again = h.claimOne()
	is("after the Release of an interrupted part", again.Message(), true)
	part := again.Message().Parts[0]
	part.Interrupted = false
	h.finish(again, queue.Result{Parts: []queue.Part{part}})
	done := h.claimOne()
	is("after Finish", done.Message(), false)
	if !h.engine.OneProcess {
		return
	}
	later := h.dueAt(lane, time.Now().Add(time.Hour))
	h.act("Retry of a leased part", h.q.Retry, 1, id)
	h.restart()
	for _, m := range h.list(queue.Filter{}) {
		is("after the end of the process", &m, m.ID != later)
	}
	is("lease after the end of the process", h.claimOne().Message(), true)
}

func testRestartFreesLeases(t *testing.T, h *house) {
	if !h.engine.OneProcess {
		t.Skip("leases of this engine end by time alone")
	}
	id := h.add("bob@example.org")
	h.claimOne()
	h.restart()
	if got := h.claimOne().Message().ID; got != id {
		t.Errorf("claimed %s, want %s", got, id)
	}
}
