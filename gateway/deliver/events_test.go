package deliver

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// TestEvents: what happened to a message before its end is in the queue, in the provider's words.
func TestEvents(t *testing.T) {
	answers := func(outcomes ...upstream.Outcome) *scripted {
		return &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
			return all(m, outcomes[min(n, len(outcomes))-1])
		}}
	}
	ok := upstream.Outcome{ID: "ok"}
	for _, c := range []struct {
		name   string
		policy string
		a      *scripted
		state  envelope.State
		want   []string
	}{
		{"sent at once", "retry", answers(ok), envelope.Sent, nil},
		{"deferred", "retry", answers(failing(upstream.Temporary, 451, "later"), ok), envelope.Sent, []string{"deferred a 1 451: later"}},
		{"failover", "retry", answers(failing(upstream.Unrepresentable, 0, "too odd")), envelope.Sent, []string{"failover a 1 too odd b"}},
		{"uncertain", "retry", answers(failing(upstream.Uncertain, 0, "reply lost"), ok), envelope.Sent, []string{"uncertain a 1 reply lost"}},
		{"held", "hold", answers(failing(upstream.Uncertain, 0, "reply lost")), envelope.Held, []string{"held a 1 reply lost"}},
		{"failed", "retry", answers(failing(upstream.Permanent, 550, "no")), envelope.Failed, []string{"failed a 1 550: no"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, func(cfg *Config) { cfg.Route = via("a", "b"); cfg.Policy.OnUncertain = c.policy }, ups{"a": c.a, "b": &scripted{}})
			id := r.put("a", "x@example.org")
			r.start()
			if c.state == envelope.Sent {
				r.awaitSent(1)
			} else {
				r.awaitState(c.state)
			}
			events, err := r.q.Events(t.Context(), id)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range events {
				got = append(got, strings.TrimSpace(strings.Join([]string{string(e.Kind), e.Upstream, string('0' + rune(e.Attempts)), e.Words, e.Lane}, " ")))
				if e.At.IsZero() || e.To != nil || (e.Kind == "deferred") && e.Next.IsZero() {
					t.Errorf("event %+v", e)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("events %q, want %q", got, c.want)
			}
		})
	}
}

// TestRerouted: what one upstream has said is not told as another's, through which mail only went.
func TestRerouted(t *testing.T) {
	r := newRig(t, func(cfg *Config) { cfg.Route = via("a") }, ups{"a": &scripted{}, "b": &scripted{}})
	id := r.putPart("s@example.com", "b", time.Now(), queue.Part{Progress: envelope.Progress{Attempts: 1, Upstream: "a", Class: "account", Status: 403,
		Error: "403: key is invalid"}}, "x@example.org")
	r.start()
	r.awaitSent(1)
	events, err := r.q.Events(t.Context(), id)
	if err != nil || len(events) != 1 || events[0].Kind != queue.EventFailover || events[0].Upstream != "b" || events[0].Lane != "a" || events[0].Words != "" {
		t.Errorf("events %+v, %v", events, err)
	}
	if log := r.journal(); !strings.Contains(log, "failover") || strings.Contains(log, "key is invalid") {
		t.Error(log)
	}
}
