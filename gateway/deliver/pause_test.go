package deliver

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// why returns why each waiting part waits.
func (r *rig) why() (list []waiting.Why) {
	r.t.Helper()
	messages, err := r.q.List(r.t.Context(), queue.Filter{}, queue.Page{})
	if err != nil {
		r.t.Fatal(err)
	}
	v := r.d.View()
	if err := v.Complete(r.t.Context(), r.q, messages); err != nil {
		r.t.Fatal(err)
	}
	for i := range messages {
		for j := range messages[i].Parts {
			list = append(list, v.Of(&messages[i], &messages[i].Parts[j]))
		}
	}
	return list
}

func (r *rig) awaitWhy(code waiting.Code) (found waiting.Why) {
	r.t.Helper()
	r.await("mail that waits: "+string(code), func() bool {
		for _, found = range r.why() {
			if found.Code == code {
				return true
			}
		}
		return false
	})
	return found
}

// TestPause: a paused upstream is offered nothing, over a reload and a restart; its mail goes the next way where its route
// names one, waits where not, is not given up meanwhile, and goes once the upstream is resumed.
func TestPause(t *testing.T) {
	a, b := &scripted{}, &scripted{}
	r := newRig(t, nil, ups{"a": a, "b": b})
	r.cfg.Pauses = r.q
	pausing := func(c *Config) { c.Pauses, c.Policy.MaxAge = r.q, time.Hour }
	r.over(r.q)
	r.start()
	r.d.Await(t.Context())
	if err := r.d.Pause(t.Context(), "a", "root"); err != nil {
		t.Fatal(err)
	}
	r.put("a", "x@example.org")
	r.putFrom("old@example.com", "a", time.Now().Add(-2*time.Hour), "late@example.org")
	why := r.awaitWhy(waiting.Paused)
	if !strings.HasPrefix(why.Words, "paused by root since ") || !why.At.IsZero() {
		t.Errorf("%+v", why)
	}
	if got := r.d.Choose([]string{"a", "b"}); got != "b" {
		t.Errorf("new mail would go to %q", got)
	}
	if err := r.d.Pause(t.Context(), "a", "ann"); err != nil { // it is already
		t.Fatal(err)
	}
	r.d.Reload(config(ups{"a": a, "b": b}, pausing))
	r.await("the reload", func() bool { return r.d.config.Load() == r.d.current.Load().cfg })
	r.stop()
	r.over(r.q)
	r.start()
	r.d.Await(t.Context())
	if s := r.status("a"); s.Reason != "paused" || s.Pause == nil || s.Pause.By != "root" {
		t.Errorf("after a restart: %+v", s)
	}
	r.d.Reload(config(ups{"a": a, "b": b}, func(c *Config) {
		pausing(c)
		c.Route = func(m *queue.Message, msg *mime.Message) func(string) route.Decision {
			if m.Envelope.From == "old@example.com" {
				return via("a")(m, msg)
			}
			return via("a", "b")(m, msg)
		}
	}))
	r.awaitSent(1)
	if got := b.offered(); len(got) != 1 || got[0] != "x@example.org" || a.count() != 0 {
		t.Errorf("b was offered %v, a %d mails", got, a.count())
	}
	if p := r.awaitState(envelope.Queued); p.To[0].Address != "late@example.org" {
		t.Errorf("what waits still: %+v", p)
	}
	if err := r.d.Resume(t.Context(), "a", "ann"); err != nil {
		t.Fatal(err)
	}
	r.awaitSent(2)
	if log := r.journal(); !strings.Contains(log, "msg=upstream_paused upstream=a by=root") || !strings.Contains(log, "msg=upstream_resumed upstream=a by=ann") {
		t.Errorf("the log has no word of who did it:\n%s", log)
	}
	if err := r.d.Resume(t.Context(), "a", "ann"); err != nil {
		t.Errorf("a second time: %v", err)
	}
}

// TestDirectMailOfAPausedUpstream is refused for now, with the reason.
func TestDirectMailOfAPausedUpstream(t *testing.T) {
	r := newRig(t, nil, ups{"a": {}})
	r.cfg.Pauses = r.q
	r.over(r.q)
	if err := r.d.Pause(t.Context(), "a", "root"); err != nil { // before delivery runs
		t.Fatal(err)
	}
	r.start()
	r.d.Await(t.Context())
	err := r.d.current.Load().lanes["a"].gate.Admit(t.Context())
	var e *upstream.Error
	if !errors.As(err, &e) || e.Class != upstream.Temporary || !strings.Contains(err.Error(), "an operator has paused it") {
		t.Error(err)
	}
}

// TestWhy: what delivery knows of mail that is under way, and of mail behind it.
func TestWhy(t *testing.T) {
	release := make(chan struct{})
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome { <-release; return all(m, upstream.Outcome{}) }}
	r := newRig(t, func(c *Config) { c.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
	if got := r.d.View(); got.Running {
		t.Error("it runs before it was started")
	}
	for range 3 {
		r.put("a", "x@example.org", "y@example.org")
	}
	r.start()
	why := r.awaitWhy(waiting.InFlight)
	if !strings.HasPrefix(why.Words, "in flight for ") {
		t.Errorf("%+v", why)
	}
	list := r.why()
	if len(list) != 3 || list[2].Code != waiting.Turn || list[2].Words != "2 before it" {
		t.Errorf("%+v", list)
	}
	close(release)
	r.awaitSent(6)
}

// TestRetryTries: an upstream that is closed for its account is tried at once when an operator asks, and the words of the
// last failure stay in view until there are others; so is all that is queued by Flush, whose mail keeps its age.
func TestRetryTries(t *testing.T) {
	var healed atomic.Bool
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if healed.Load() {
			return all(m, upstream.Outcome{})
		}
		return all(m, failing(upstream.Account, 401, fmt.Sprintf("wrong key %d", n)))
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	id := r.put("a", "x@example.org")
	r.start()
	closed := func(n int) func() bool {
		return func() bool {
			s := r.status("a")
			p := r.parts()
			return s.State == "closed" && s.LastError == fmt.Sprintf("401: wrong key %d", n) && p[0].Progress.Error == s.LastError
		}
	}
	r.await("the first refusal", closed(1))
	if _, err := r.q.Retry(t.Context(), queue.Filter{IDs: []string{id}}, "root"); err != nil {
		t.Fatal(err)
	}
	if p := r.parts()[0].Progress; p.Error != "401: wrong key 1" || p.LastAttempt.IsZero() || p.Attempts != 0 {
		t.Errorf("after Retry: %+v", p)
	}
	r.d.Retry("a")
	r.d.Retry("unknown")
	r.await("the second refusal", closed(2))
	born := r.parts()[0].Progress.Renewed
	healed.Store(true)
	r.put("a", "y@example.org")
	if err := r.d.Flush(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	r.awaitSent(2)
	if born.IsZero() {
		t.Error("Retry does not begin a new life")
	}
}

// TestRestartTriesWhatWasClosed: what closed an upstream may be healed by the restart, so its mail is due at once, as after
// a reload.
func TestRestartTriesWhatWasClosed(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, failing(upstream.Account, 401, "wrong key"))
		}
		return all(m, upstream.Outcome{})
	}}
	r := newRig(t, func(c *Config) { c.Policy.Retry = []time.Duration{time.Hour} }, ups{"a": a})
	r.put("a", "x@example.org")
	r.start()
	r.await("the refusal", func() bool { p := r.parts(); return r.status("a").State == "closed" && p[0].Progress.Attempts == 1 })
	r.stop()
	r.over(r.q)
	r.start()
	r.awaitSent(1)
}
