package deliver

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/upstream"
)

// Many late messages of one sender: so many notifications, and the others once the sender has had few again.
func TestWarningsOfOneSenderAreLimited(t *testing.T) {
	t.Parallel()
	const mails = bounceLimit + 5
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
	r.start()
	r.await("more than one attempt of each", func() bool { return a.count() > 3*mails })
	if n, warned := len(r.bounced()), r.warned(); n != bounceLimit || warned != n {
		t.Fatalf("%d notifications, %d parts marked, want %d", n, warned, bounceLimit)
	}
	delays := r.d.delays.(*bounceLimiter)
	delays.mu.Lock()
	delays.senders["s@example.com"] = window{end: time.Now(), n: bounceLimit}
	delays.mu.Unlock()
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
