package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/clock"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/sqlite"
	"mailhatch/gateway/quota"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// limit makes an upstream of the config have quotas.
func limit(c *Config, name string, limits ...quota.Limit) {
	for i := range c.Upstreams {
		if c.Upstreams[i].Name == name {
			c.Upstreams[i].Quota = limits
		}
	}
}

// quotaRig is a rig whose time of day is wall, which store and delivery believe.
func quotaRig(t *testing.T, dir string, wall func() time.Time, change func(*Config), u ups, results ...*atomic.Int64) (r *rig, end func()) {
	t.Helper()
	clk := clock.New(wall, slog.New(slog.DiscardHandler))
	q, err := sqlite.Open(context.Background(), queue.Settings{Dir: dir, Now: clk.Now})
	if err != nil {
		t.Fatal(err)
	}
	stop := queuetest.Start(t, q)
	r = &rig{t: t, q: q, log: &strings.Builder{}, cfg: config(u, func(c *Config) {
		c.Clock, c.Policy.MaxAge, c.Policy.Retry = clk, 30*24*time.Hour, []time.Duration{time.Minute}
		change(c)
	})}
	f := &faulty{Queue: q}
	f.finish = func() error {
		if len(results) > 0 && results[0].Add(-1) < 0 {
			return errors.New("disk is slow")
		}
		return nil
	}
	r.over(f)
	r.start()
	return r, func() { r.stop(); stop() }
}

// recipients names n of them, each another one.
func recipients(n int) (list []string) {
	for i := range n {
		list = append(list, fmt.Sprintf("r%d@example.org", i))
	}
	return list
}

// TestQuotaOverMidnights: each day of the zone gets what the quota allows, however long it is, and the month no more.
func TestQuotaOverMidnights(t *testing.T) {
	day := func(n int) quota.Limit { return quota.Limit{Count: n, Per: "d"} }
	for _, c := range []struct {
		name, zone string
		limits     []quota.Limit
		midnights  []string
		want       map[string]int // by day of the zone
	}{
		{"clocks are put forward", "Europe/Berlin", []quota.Limit{day(5)}, []string{"2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"},
			map[string]int{"03-28": 5, "03-29": 5, "03-30": 5}},
		{"clocks are put back", "Europe/Berlin", []quota.Limit{day(5)}, []string{"2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"},
			map[string]int{"10-24": 5, "10-25": 5, "10-26": 5}},
		{"the end of a month", "UTC", []quota.Limit{day(4), {Count: 6, Per: "month"}}, []string{"2026-01-31T00:00:00Z", "2026-02-01T00:00:00Z"},
			map[string]int{"01-30": 4, "01-31": 2, "02-01": 4}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				zone, err := quota.Zone(c.zone)
				if err != nil {
					t.Fatal(err)
				}
				var ahead atomic.Int64 // of the virtual clock, in nanoseconds
				wall := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
				before := func(midnight string) { // goes to two minutes before it
					at, _ := time.Parse(time.RFC3339, midnight)
					ahead.Store(int64(time.Until(at.Add(-2 * time.Minute))))
				}
				before(c.midnights[0])
				var mu sync.Mutex
				got, late := map[string]int{}, 0
				a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
					at := wall().In(zone)
					mu.Lock()
					defer mu.Unlock()
					got[at.Format("01-02")] += len(m.To)
					if at.Hour() == 0 && at.Minute() > 0 {
						late++
					}
					return all(m, upstream.Outcome{})
				}}
				r, end := quotaRig(t, dir, wall, func(cfg *Config) {
					limit(cfg, "a", c.limits...)
					cfg.Upstreams[0].QuotaZone, cfg.Upstreams[0].MaxConcurrent = zone, 1
				}, ups{"a": a})
				defer end()
				r.putFrom("x@example.com", "a", wall(), recipients(20)[10:]...)
				for _, to := range recipients(10) {
					r.putFrom("x@example.com", "a", wall(), to)
				}
				for i, midnight := range c.midnights {
					if i > 0 {
						before(midnight)
						r.cfg.Clock.Confirm(wall())
					}
					time.Sleep(4 * time.Minute)
				}
				mu.Lock()
				if fmt.Sprint(got) != fmt.Sprint(c.want) || late > 0 {
					t.Errorf("taken %v, want %v; %d offers long after midnight", got, c.want, late)
				}
				mu.Unlock()
				s := r.status("a")
				if s.State != "closed" || s.Reason != "quota" || s.Quota[0].Left != 0 || !strings.Contains(s.LastError, "is used up until") {
					t.Errorf("status %+v", s)
				}
				// The message whose recipients never fit into a day is named once.
				if n := strings.Count(r.journal(), "msg=divided"); n != 1 {
					t.Errorf("%d lines say that a message is divided", n)
				}
			})
		})
	}
}

// TestQuotaAndSteps: a step of the clock opens no new window before it is believed.
func TestQuotaAndSteps(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		var step atomic.Int64 // in nanoseconds
		wall := func() time.Time { return time.Now().Add(time.Duration(step.Load())) }
		a := &scripted{}
		r, end := quotaRig(t, dir, wall, func(cfg *Config) { limit(cfg, "a", quota.Limit{Count: 1, Per: "d"}) }, ups{"a": a})
		defer end()
		for _, to := range recipients(4) {
			r.put("a", to)
		}
		want := func(what string, n int) {
			t.Helper()
			time.Sleep(2 * time.Minute)
			if got := a.count(); got != n {
				t.Errorf("%s: %d offers, want %d", what, got, n)
			}
		}
		want("the first day", 1)
		step.Store(int64(48 * time.Hour))
		want("two days ahead", 1)
		r.cfg.Clock.Confirm(wall())
		want("it is so", 2)
		step.Store(int64(24 * time.Hour))
		want("a day back", 2)
		r.cfg.Clock.Confirm(wall())
		want("it is so: nothing went on that day", 3)
	})
}

// TestQuotasAreUsedExactly: 10,000 recipients, in one message and in many, over two upstreams with quotas and one
// without, over three restarts at which results are lost.
func TestQuotasAreUsedExactly(t *testing.T) {
	for _, c := range []struct {
		name    string
		mails   int
		results []int64 // before others are lost and a restart follows
	}{{"one message", 1, []int64{2, 3, 30}}, {"many", 400, []int64{5, 14, 150}}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			const total = 10_000
			dir := t.TempDir()
			a, b, relay := &scripted{keyed: time.Hour}, &scripted{keyed: time.Hour}, &scripted{keyed: time.Hour}
			var results atomic.Int64 // that are not lost
			start := func() (*rig, func()) {
				return quotaRig(t, dir, nil, func(cfg *Config) {
					cfg.Route, cfg.Policy.Drain, cfg.Policy.Retry = via("a", "b", "relay"), time.Second, []time.Duration{100 * time.Millisecond}
					limit(cfg, "a", quota.Limit{Count: 300, Per: "month"})
					limit(cfg, "b", quota.Limit{Count: 200, Per: "month"})
					for i := range cfg.Upstreams {
						cfg.Upstreams[i].MaxRecipients = 70
					}
				}, ups{"a": a, "b": b, "relay": relay}, &results)
			}
			results.Store(c.results[0])
			r, end := start()
			for part := range slices.Chunk(recipients(total), total/c.mails) {
				r.put("a", part...)
			}
			for _, n := range append(c.results[1:], 1<<40) {
				r.await("an offer whose result is lost", func() bool { return strings.Contains(r.journal(), "disk is slow") })
				end()
				results.Store(n)
				r, end = start()
			}
			defer func() { end() }()
			r.await("all", func() bool { return r.taken() == total })
			got := map[string]int{}
			for _, rec := range r.history(envelope.Sent) {
				got[rec.Upstream]++
			}
			if got["a"] != 300 || got["b"] != 200 || got["relay"] != total-500 {
				t.Errorf("taken %v", got)
			}
			for name, u := range map[string]*scripted{"a": a, "b": b} {
				if n := len(slices.Compact(u.offered())); n != got[name] {
					t.Errorf("%d were offered to %s", n, name)
				}
			}
		})
	}
}

// taken is how many recipients were taken.
func (r *rig) taken() int { return len(r.history(envelope.Sent)) }

// TestQuotaCountsOnce: what an upstream may have taken counts, what it did not take does not.
func TestQuotaCountsOnce(t *testing.T) {
	for _, c := range []struct {
		name  string
		keyed time.Duration
		send  func(n int, m *upstream.Mail) []upstream.Outcome
		left  int // of 10, after three mails
	}{
		{"taken", 0, nil, 7},
		{"uncertain, then taken by the repeated offer", time.Hour, func(n int, m *upstream.Mail) []upstream.Outcome {
			if n <= 3 {
				return all(m, failing(upstream.Uncertain, 0, "lost"))
			}
			return all(m, upstream.Outcome{})
		}, 7},
		{"put off, then taken", 0, func(n int, m *upstream.Mail) []upstream.Outcome {
			if n <= 5 {
				return all(m, failing(upstream.Temporary, 450, "later"))
			}
			return all(m, upstream.Outcome{})
		}, 7},
		{"refused", 0, func(_ int, m *upstream.Mail) []upstream.Outcome {
			return all(m, failing(upstream.Permanent, 550, "no"))
		}, 10},
		{"uncertain, then refused", time.Hour, func(n int, m *upstream.Mail) []upstream.Outcome {
			if n <= 3 {
				return all(m, failing(upstream.Uncertain, 0, "lost"))
			}
			return all(m, failing(upstream.Permanent, 550, "no"))
		}, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := &scripted{send: c.send, keyed: c.keyed}
			r := newRig(t, func(cfg *Config) {
				limit(cfg, "a", quota.Limit{Count: 10, Per: "month"})
				cfg.Policy.FailoverAfter = 100
			}, ups{"a": a})
			for _, to := range recipients(3) {
				r.put("a", to)
			}
			r.start()
			r.await("the end", func() bool {
				return len(r.history(envelope.Sent))+strings.Count(r.journal(), "msg=failed") == 3
			})
			r.await("the count", func() bool { return r.status("a").Quota[0].Left == c.left })
			used, err := r.q.Used(t.Context(), "a", []queue.Window{{From: time.Now().AddDate(0, 0, -2), Until: time.Now().AddDate(0, 0, 2)}})
			if err != nil || used[0] != 10-c.left {
				t.Errorf("used %v, %v", used, err)
			}
		})
	}
}

// TestQuotaOfUnknownOutcomes: what may have been taken counts as long as nobody knows.
func TestQuotaOfUnknownOutcomes(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Uncertain, 0, "lost"))
	}}
	r := newRig(t, func(cfg *Config) {
		limit(cfg, "a", quota.Limit{Count: 10, Per: "month"})
		cfg.Policy.Retry = []time.Duration{time.Hour}
	}, ups{"a": a})
	for _, to := range recipients(3) {
		r.put("a", to)
	}
	r.start()
	r.await("three unknown outcomes", func() bool {
		parts := r.parts()
		return len(parts) == 3 && !slices.ContainsFunc(parts, func(p queue.Part) bool { return !p.Progress.Uncertain })
	})
	used, err := r.q.Used(t.Context(), "a", []queue.Window{{From: time.Now().AddDate(0, 0, -2), Until: time.Now().AddDate(0, 0, 2)}})
	if left := r.status("a").Quota[0].Left; err != nil || used[0] != 3 || left != 7 {
		t.Errorf("used %v, %d left, %v", used, left, err)
	}
}

// TestQuotaComesBack: the last of a quota that was not taken is there for the next mail.
func TestQuotaComesBack(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, failing(upstream.Permanent, 550, "no"))
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, func(cfg *Config) {
		limit(cfg, "a", quota.Limit{Count: 1, Per: "month"})
		cfg.Upstreams[0].MaxConcurrent = 1
	}, ups{"a": a})
	for _, to := range recipients(3) {
		r.put("a", to)
	}
	r.start()
	r.awaitSent(1)
	r.await("the closing", func() bool { return r.status("a").Reason == "quota" })
	if n := a.count(); n != 2 {
		t.Errorf("%d offers", n)
	}
}

// TestQuotaRemembersAtTheStart: a gate is closed before any mail was asked for.
func TestQuotaRemembersAtTheStart(t *testing.T) {
	a, b := &scripted{}, &scripted{}
	r := newRig(t, func(cfg *Config) {
		limit(cfg, "a", quota.Limit{Count: 5, Per: "month"})
		cfg.Route = via("a", "b")
	}, ups{"a": a, "b": b})
	now := time.Now()
	from, until := quota.Limit{Count: 5, Per: "month"}.Window(now, time.UTC)
	if _, err := r.q.Take(t.Context(), queue.Offer{Upstream: "a", ID: queue.FormatID(7), To: recipients(5), At: now,
		Windows: []queue.Window{{From: from, Until: until, Count: 5}}}); err != nil {
		t.Fatal(err)
	}
	r.start()
	r.await("the closing", func() bool { return r.status("a").Reason == "quota" })
	if got := r.d.Choose([]string{"a", "b"}); got != "b" {
		t.Errorf("new mail would go to %q", got)
	}
	r.put("a", "x@example.org")
	r.awaitSent(1)
	if a.count() != 0 || b.count() != 1 {
		t.Errorf("%d offers to a, %d to b", a.count(), b.count())
	}
}

// TestQuotasOfABalance: a balance orders the upstreams anew for each message. When one is used up the other takes over,
// and what neither takes waits.
func TestQuotasOfABalance(t *testing.T) {
	a, b := &scripted{}, &scripted{}
	r := newRig(t, func(cfg *Config) {
		limit(cfg, "a", quota.Limit{Count: 5, Per: "month"})
		limit(cfg, "b", quota.Limit{Count: 9, Per: "month"})
		cfg.Route = func(m *queue.Message, _ *mime.Message) func(string) route.Decision {
			order := []string{"a", "b"}
			if m.Envelope.To[0].Address < "r5" {
				order = []string{"b", "a"}
			}
			return func(string) route.Decision { return route.Decision{Action: route.Deliver, Via: order} }
		}
	}, ups{"a": a, "b": b})
	for i, to := range recipients(20) {
		r.put([]string{"a", "b"}[i%2], to)
	}
	r.start()
	r.awaitSent(14)
	r.await("the rest", func() bool { return len(r.parts()) == 6 })
	if x, y := len(a.offered()), len(b.offered()); x != 5 || y != 9 {
		t.Errorf("%d went by a, %d by b", x, y)
	}
}

// TestQuotaAndMaxAge: mail does not wait for a month for which it has no time.
func TestQuotaAndMaxAge(t *testing.T) {
	t.Parallel()
	a := &scripted{}
	r := newRig(t, func(cfg *Config) {
		limit(cfg, "a", quota.Limit{Count: 1, Per: "month"})
		cfg.Policy.MaxAge = 3 * time.Second
	}, ups{"a": a})
	r.put("a", "x@example.org")
	r.put("a", "y@example.org")
	r.start()
	r.await("a bounce", func() bool { return len(r.bounced()) == 1 })
	if text := r.bounced()[0]; a.count() != 1 || !strings.Contains(strings.Join(strings.Fields(text), " "), "quota") {
		t.Errorf("%d offers, %s", a.count(), text)
	}
}

// TestInterruptedOffersUnderAQuota: of a process that is dead it is known whom it did not offer.
func TestInterruptedOffersUnderAQuota(t *testing.T) {
	for _, c := range []struct {
		name     string
		counting bool // by the process that is dead
		counted  int  // of three recipients
		want     string
	}{
		{"none was offered", true, 0, "b: r0 r1 r2"},
		{"some were", true, 1, "a: r0, b: r1 r2"},
		{"nobody counted", false, 0, "a: r0 r1 r2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &scripted{keyed: time.Hour}, &scripted{}
			r := newRig(t, func(cfg *Config) {
				limit(cfg, "a", quota.Limit{Count: 4, Per: "month"})
				cfg.Route = via("a", "b")
			}, ups{"a": a, "b": b})
			now := time.Now()
			from, until := quota.Limit{Count: 4, Per: "month"}.Window(now, time.UTC)
			offer := queue.Offer{Upstream: "a", At: now, Windows: []queue.Window{{From: from, Until: until, Count: 4}}}
			id := r.put("a", recipients(3)...)
			if c.counting {
				if _, err := r.q.Counting(t.Context(), []string{"a"}); err != nil {
					t.Fatal(err)
				}
				// The rest of the quota is gone.
				offer.ID, offer.To = queue.FormatID(7), recipients(10)[6+c.counted:]
				if _, err := r.q.Take(t.Context(), offer); err != nil {
					t.Fatal(err)
				}
			}
			if c.counted > 0 {
				offer.ID, offer.To = id, recipients(c.counted)
				if _, err := r.q.Take(t.Context(), offer); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := r.q.Claim(t.Context(), "a", 1, time.Millisecond); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Millisecond)
			r.start()
			r.await("all", func() bool { return r.taken() == 3 })
			var got []string
			for name, u := range map[string]*scripted{"a": a, "b": b} {
				if list := u.offered(); len(list) > 0 {
					got = append(got, name+": "+strings.ReplaceAll(strings.Join(list, " "), "@example.org", ""))
				}
			}
			slices.Sort(got)
			if s := strings.Join(got, ", "); s != c.want {
				t.Errorf("offered %s, want %s", s, c.want)
			}
		})
	}
}

// TestDirectMailKeepsToQuotas: without the queue, who has no room goes to the next upstream or is queued.
func TestDirectMailKeepsToQuotas(t *testing.T) {
	a, b := &scripted{}, &scripted{}
	r := newRig(t, func(cfg *Config) {
		limit(cfg, "a", quota.Limit{Count: 3, Per: "month"})
		cfg.Route, cfg.Upstreams[0].MaxRecipients = via("a", "b"), 2
		cfg.Upstreams[1].MaxRecipients = 2
	}, ups{"a": a, "b": b})
	r.start()
	r.await("the start", func() bool { return r.d.current.Load() != nil })
	for n, want := range []struct{ taken, rest int }{{1, 0}, {2, 2}, {4, 0}} {
		count := want.taken + want.rest
		got := r.directTo(t, t.Context(), queue.FormatID(int64(n+1)), recipients(count)...)
		rest := 0
		for _, p := range got.Rest {
			rest += len(p.To)
		}
		if len(got.Taken) != want.taken || rest != want.rest {
			t.Errorf("mail %d: %d taken, %d left: %v", n, len(got.Taken), rest, got.Err)
		}
	}
	if x, y := len(a.offered()), len(b.offered()); x != 3 || y != 4 {
		t.Errorf("%d offered to a, %d to b", x, y)
	}
}

// TestProviderRefusesEverything: it is not the recipients who are at fault. Their mail is kept.
func TestProviderRefusesEverything(t *testing.T) {
	t.Parallel()
	var healed atomic.Bool
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		if healed.Load() {
			return all(m, upstream.Outcome{})
		}
		return all(m, failing(upstream.Permanent, 550, "not for you"))
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{200 * time.Millisecond} }, ups{"a": a})
	const mails = 60
	for _, to := range recipients(mails) {
		r.put("a", to)
	}
	r.start()
	r.await("the closing", func() bool { return r.status("a").Reason == "account" })
	r.await("another probe", func() bool { return a.count() > 25 })
	bounced := len(r.bounced())
	if bounced != 19 {
		t.Errorf("%d bounces, want 19", bounced)
	}
	if s := r.journal(); !strings.Contains(s, "reason=account") || !strings.Contains(s, "it refuses everything, 20 different recipients in a row: not for you") {
		t.Errorf("the log does not say why: %s", s)
	}
	healed.Store(true)
	r.awaitSent(mails - bounced)
}

// TestQuotaOfAStoreThatFails: nothing is offered that could not be counted.
func TestQuotaOfAStoreThatFails(t *testing.T) {
	a := &scripted{}
	r, f := faultyRig(t, func(cfg *Config) { limit(cfg, "a", quota.Limit{Count: 3, Per: "month"}) }, ups{"a": a})
	var broken atomic.Bool
	broken.Store(true)
	f.take = func() error {
		if broken.Load() {
			return errors.New("database is locked")
		}
		return nil
	}
	r.put("a", "x@example.org")
	r.start()
	r.await("a try", func() bool { return strings.Contains(r.journal(), "database is locked") })
	if a.count() != 0 {
		t.Error("it was offered")
	}
	broken.Store(false)
	r.awaitSent(1)
}
