package deliver

import (
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// TestMovedMailPassesOverRoutes: where an operator has put mail it stays, whatever routes say and failures there are, until that
// upstream cannot carry it, or is no longer there.
func TestMovedMailPassesOverRoutes(t *testing.T) {
	rejected := func(*queue.Message, *mime.Message) func(string) route.Decision {
		return func(string) route.Decision { return route.Decision{Name: "no", Action: route.Reject} }
	}
	busy := func(n int, m *upstream.Mail) []upstream.Outcome {
		if n < 5 { // more often than failover_after
			return all(m, failing(upstream.Temporary, 451, "busy"))
		}
		return all(m, upstream.Outcome{ID: "late"})
	}
	unfit := func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Unrepresentable, 0, "signed mail"))
	}
	for _, c := range []struct {
		name  string
		moved string
		route func(*queue.Message, *mime.Message) func(string) route.Decision
		send  func(int, *upstream.Mail) []upstream.Outcome
		want  string // upstream that took it
	}{
		{"to another than the route's", "b", via("a"), nil, "b"},
		{"against a route that rejects", "b", rejected, nil, "b"},
		{"with failures", "b", via("b", "a"), busy, "b"},
		{"which cannot carry it", "b", via("b", "a"), unfit, "a"},
		{"which is gone", "gone", via("a"), nil, "a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &scripted{}, &scripted{send: c.send}
			r := newRig(t, func(cfg *Config) { cfg.Route = c.route }, map[string]*scripted{"a": a, "b": b})
			lane := c.moved
			if lane == "gone" {
				lane = "a"
			}
			r.putPart("s@example.com", lane, time.Now(), queue.Part{Progress: envelope.Progress{Moved: c.moved}}, "x@example.org")
			r.start()
			r.awaitSent(1)
			if got := r.history(envelope.Sent)[0].Upstream; got != c.want {
				t.Errorf("%s took it, want %s", got, c.want)
			}
		})
	}
}
