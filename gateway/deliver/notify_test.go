package deliver

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/notices"
	"mailhatch/upstream"
)

// Many late messages of one sender: so many notifications, and the others once the sender has had few again.
func TestWarningsOfOneSenderAreLimited(t *testing.T) {
	t.Parallel()
	const mails = notices.Limit + 5
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Temporary, 451, "greylisted"))
	}}
	r := newRig(t, func(c *Config) {
		c.Upstreams[0].MaxConcurrent = 1
		c.Policy.WarnAfter, c.Policy.MaxAge = []time.Duration{time.Minute}, time.Hour
	}, ups{"a": a})
	for n := range mails {
		r.putFrom("s@example.com", "a", time.Now().Add(-10*time.Minute), fmt.Sprintf("x%d@example.org", n))
	}
	delays := &windows{Notices: notices.New()}
	r.d.delays = delays
	r.start()
	r.await("more than one attempt of each", func() bool { return a.count() > 3*mails })
	if n, warned := len(r.bounced()), r.warned(); n != notices.Limit || warned != n {
		t.Fatalf("%d notifications, %d parts marked, want %d", n, warned, notices.Limit)
	}
	delays.next()
	r.await("the others", func() bool { return len(r.bounced()) == mails && r.warned() == mails })
}

// warned counts the parts whose sender was notified of the delay.
func (r *rig) warned() (n int) {
	for _, p := range r.parts() {
		if p.Progress.Warned {
			n++
		}
	}
	return n
}

// Mail that waits for a closed upstream is late without any offer of its own.
func TestWarningAtAClosedUpstream(t *testing.T) {
	t.Parallel()
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Account, 401, "the key is wrong"))
	}}
	r := newRig(t, func(c *Config) {
		c.Upstreams[0].MaxConcurrent = 1
		c.Policy.WarnAfter, c.Policy.Retry = []time.Duration{4 * gate.SweepMin}, []time.Duration{time.Hour}
	}, ups{"a": a})
	r.put("a", "first@example.org")
	r.start()
	r.await("the closing", func() bool { return strings.Contains(r.journal(), "upstream_closed") })
	r.putFrom("s@example.com", "a", time.Now().Add(-time.Minute), "x@example.org", "y@example.org")
	r.await("the warning", func() bool { return len(r.bounced()) > 0 })
	b := r.bounced()[0]
	if !strings.HasPrefix(b, "s@example.com") || strings.Count(b, "Action: delayed") != 2 || !strings.Contains(b, "the key is wrong") || a.count() != 1 {
		t.Errorf("%d offers, warning:\n%s", a.count(), b)
	}
}

// windows are Notices whose window ends when a test says so.
type windows struct {
	mu sync.Mutex
	notices.Notices
}

func (w *windows) next() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.Notices = notices.New()
}

func (w *windows) now() notices.Notices {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.Notices
}

func (w *windows) Count(sender string)           { w.now().Count(sender) }
func (w *windows) Until(sender string) time.Time { return w.now().Until(sender) }
