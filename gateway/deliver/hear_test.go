package deliver

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/teller"
)

// reporting is an upstream whose provider reports later what became of mail, and has no log.
type reporting struct {
	scripted
	upstream.Feedback
}

// reportingTraced has a log too.
type reportingTraced struct {
	traced
	upstream.Feedback
}

// TestReportsSettleUncertainOutcomes: before another offer the store is asked whether the provider has reported on the mail.
func TestReportsSettleUncertainOutcomes(t *testing.T) {
	polled, off := upstream.Listening{Every: time.Minute}, upstream.Listening{}
	const to = "x@example.org"
	event := func(kind queue.EventKind) []queue.Told {
		return []queue.Told{{ProviderID: "reported", Recipient: to, Kind: kind}}
	}
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	lost := envelope.Progress{Upstream: "a", Tries: 1, Attempts: 1, Uncertain: true, Since: ago(time.Second), LastAttempt: ago(time.Second), Class: "uncertain", Error: "lost"}
	with := func(change func(*envelope.Progress)) envelope.Progress {
		p := lost
		change(&p)
		return p
	}
	old := with(func(p *envelope.Progress) { p.Since, p.LastAttempt = ago(2*time.Hour), ago(2*time.Hour) })
	for _, c := range []struct {
		name, policy string
		how          upstream.Listening
		told         []queue.Told
		part         envelope.Progress
		keyed        time.Duration
		log          bool // there is one, which has the mail
		state        envelope.State
		offers       int
		asked        int64  // times; the store
		id           string // of the provider, in the history
	}{
		{name: "delivered", how: polled, told: event(queue.EventDelivered), part: lost, state: envelope.Sent, asked: 1, id: "reported"},
		{name: "bounced", how: polled, told: event(queue.EventBounced), part: lost, state: envelope.Sent, asked: 1, id: "reported"},
		{name: "opened", how: polled, told: event(queue.EventOpened), part: old, state: envelope.Sent, asked: 1, id: "reported"},
		{name: "released", policy: "hold", how: polled, told: event(queue.EventDelivered), part: with(func(p *envelope.Progress) { p.Released = true }), state: envelope.Sent, asked: 1, id: "reported"},
		{name: "held", policy: "hold", how: polled, told: event(queue.EventDelivered), part: lost, state: envelope.Held},
		{name: "another recipient", how: polled, told: []queue.Told{{ProviderID: "reported", Recipient: "y@example.org", Kind: queue.EventDelivered}}, part: old, state: envelope.Sent, offers: 1, asked: 1},
		{name: "nothing yet", how: polled, part: lost, state: envelope.Queued, asked: 1},
		{name: "nothing", how: polled, part: old, state: envelope.Sent, offers: 1, asked: 1},
		{name: "no events", how: off, told: event(queue.EventDelivered), part: lost, state: envelope.Sent, offers: 1},
		{name: "not uncertain", how: polled, told: event(queue.EventDelivered), part: envelope.Progress{}, state: envelope.Sent, offers: 1},
		{name: "uncertain elsewhere", how: polled, told: event(queue.EventDelivered), policy: "failover", part: with(func(p *envelope.Progress) { p.Upstream = "b" }), state: envelope.Sent, offers: 1},
		{name: "known by its key", how: polled, keyed: time.Hour, told: event(queue.EventDelivered), part: lost, state: envelope.Sent, offers: 1},
		{name: "its key has expired", how: polled, keyed: time.Hour, told: event(queue.EventDelivered), part: old, state: envelope.Sent, asked: 1, id: "reported"},
		{name: "before the log", log: true, how: polled, told: event(queue.EventDelivered), part: lost, state: envelope.Sent, asked: 1, id: "reported"},
		{name: "else the log", log: true, how: polled, part: lost, state: envelope.Sent, asked: 1, id: "in the log"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tell := &teller.Teller{How: c.how}
			plain := &reporting{Feedback: tell}
			plain.keyed = c.keyed
			var up upstream.Upstream = plain
			count := plain.count
			if c.log {
				u := &reportingTraced{Feedback: tell}
				u.trace = func(int, *upstream.Mail) ([]upstream.Traced, error) {
					return []upstream.Traced{{Found: true, ID: "in the log"}}, nil
				}
				up, count = u, u.count
			}
			var asked atomic.Int64
			var id atomic.Value
			r := newRig(t, func(cfg *Config) {
				if c.policy != "" {
					cfg.Policy.OnUncertain = c.policy
				}
				cfg.Upstreams = []Upstream{{Name: "a", Upstream: up, MaxConcurrent: 4}}
				cfg.ToldOf = func(_ context.Context, upstream, of string) ([]queue.Told, error) {
					asked.Add(1)
					id.Store(upstream + " " + of)
					return c.told, nil
				}
			}, ups{})
			want := "a " + r.putPart("s@example.com", "a", time.Now(), queue.Part{Progress: c.part}, to)
			r.start()
			switch c.state {
			case envelope.Sent:
				r.awaitSent(1)
				if got := r.history(envelope.Sent)[0]; c.id != "" && got.ProviderID != c.id {
					t.Errorf("%+v", got)
				}
			case envelope.Held:
				r.awaitState(envelope.Held)
			default:
				r.await("a part that waits for reports", func() bool {
					list := r.parts()
					return asked.Load() == 1 && len(list) == 1 && time.Until(list[0].NextAt) > 10*time.Second && list[0].Progress.Uncertain
				})
			}
			if count() != c.offers || asked.Load() != c.asked || c.asked > 0 && id.Load() != want {
				t.Errorf("%d offers, asked %d times of %v; want %d, %d, %s", count(), asked.Load(), id.Load(), c.offers, c.asked, want)
			}
		})
	}
}

// TestReportsOfSome: whom the provider has reported on is not offered the mail again; the others are.
func TestReportsOfSome(t *testing.T) {
	up := &reporting{Feedback: &teller.Teller{How: upstream.Listening{Webhook: true}}}
	r := newRig(t, func(cfg *Config) {
		cfg.Upstreams = []Upstream{{Name: "a", Upstream: up, MaxConcurrent: 4}}
		cfg.ToldOf = func(context.Context, string, string) ([]queue.Told, error) {
			return []queue.Told{{ProviderID: "reported", Recipient: "X@example.org", Kind: queue.EventDelivered}}, nil
		}
	}, ups{})
	at := time.Now().Add(-time.Hour)
	r.putPart("s@example.com", "a", time.Now(), queue.Part{Progress: envelope.Progress{Upstream: "a", Tries: 1, Attempts: 1, Uncertain: true, Since: at, LastAttempt: at}},
		"w@example.org", "x@example.org", "y@example.org")
	r.start()
	r.awaitSent(3)
	if got := up.offered(); !slices.Equal(got, []string{"w@example.org", "y@example.org"}) {
		t.Errorf("offered again: %q", got)
	}
}

// TestReportsCannotBeRead: a store that cannot be read proves nothing, and the mail waits.
func TestReportsCannotBeRead(t *testing.T) {
	up := &reporting{Feedback: &teller.Teller{How: upstream.Listening{Webhook: true}}}
	r := newRig(t, func(cfg *Config) {
		cfg.Upstreams = []Upstream{{Name: "a", Upstream: up, MaxConcurrent: 4}}
		cfg.ToldOf = func(context.Context, string, string) ([]queue.Told, error) { return nil, errors.New("garbage") }
	}, ups{})
	at := time.Now().Add(-time.Hour)
	r.putPart("s@example.com", "a", time.Now(), queue.Part{Progress: envelope.Progress{Upstream: "a", Tries: 1, Attempts: 1, Uncertain: true, Since: at, LastAttempt: at}}, "x@example.org")
	r.start()
	r.await("a part that is put off", func() bool {
		list := r.parts()
		return len(list) == 1 && time.Until(list[0].NextAt) > 10*time.Second
	})
	if up.count() != 0 {
		t.Errorf("%d offers", up.count())
	}
}
