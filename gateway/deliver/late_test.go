package deliver

import (
	"errors"
	"fmt"
	"io"
	"mime/quotedprintable"
	"net/mail"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
)

// Many late messages of one sender become single warnings up to a limit, and one digest of the rest.
func TestLateDigest(t *testing.T) {
	const mails = digestAfter + 12
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Temporary, 451, "greylisted"))
	}}
	r := newRig(t, func(c *Config) {
		c.Upstreams[0].MaxConcurrent = 1
		c.Policy.WarnAfter, c.Policy.MaxAge, c.Policy.Retry = time.Minute, time.Hour, []time.Duration{time.Hour}
	}, ups{"a": a})
	long := time.Now().Add(-10 * time.Minute)
	for n := range mails {
		r.putFrom("s@example.com", "a", long, fmt.Sprintf("x%d@example.org", n))
	}
	r.putFrom("s@example.com", "a", long, "silent@example.org NEVER")
	r.start()
	r.await("all offers", func() bool { return a.count() == mails+1 && r.allWarned(mails) })
	if n := len(r.bounced()); n != digestAfter {
		t.Fatalf("%d warnings, want %d", n, digestAfter)
	}
	// A failing store puts the digest off; the end of the program does not forget it.
	r.setSubmit(errors.New("disk full"))
	r.d.tellLate(t.Context(), "gw.example", time.Now().Add(digestWindow))
	if len(r.bounced()) != digestAfter {
		t.Fatal("told in vain")
	}
	r.setSubmit(nil)
	r.stop()
	if n := len(r.bounced()); n != digestAfter+1 {
		t.Fatalf("%d messages to the sender, want one more", n)
	}
	to, text, _ := strings.Cut(r.bounced()[digestAfter], "\n")
	m, err := mail.ReadMessage(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
	if err != nil {
		t.Fatal(err)
	}
	if to != "s@example.com" || m.Header.Get("Subject") != fmt.Sprintf("Delayed mail: %d recipients", mails-digestAfter) ||
		strings.Count(string(body), "greylisted") != 1 || strings.Count(string(body), "(queue id ") != mails-digestAfter || strings.Contains(string(body), "silent") {
		t.Errorf("to %s: %v\n%s", to, m.Header, body)
	}
}

// allWarned says whether so many parts are marked as told.
func (r *rig) allWarned(want int) bool {
	n := 0
	for _, p := range r.parts() {
		if p.Progress.Warned {
			n++
		}
	}
	return n >= want
}

func (r *rig) setSubmit(err error) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	r.submit = err
}

// Mail that waits for a closed upstream is late without any offer of its own.
func TestWarningAtAClosedUpstream(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Account, 401, "the key is wrong"))
	}}
	r := newRig(t, func(c *Config) {
		c.Upstreams[0].MaxConcurrent = 1
		c.Policy.WarnAfter, c.Policy.Retry = 4*sweepLeast, []time.Duration{time.Hour}
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

func TestLateDigestsOfOneSenderJoin(t *testing.T) {
	l := newLate()
	old := &lateDigest{digest: digest{byReason: map[string][]string{"busy": {"a"}}, recipients: 1}}
	l.owed["s"] = &lateDigest{digest: digest{byReason: map[string][]string{"busy": {"b"}, "down": {"c"}}, recipients: 2}}
	l.again("s", old)
	if got := l.owed["s"]; got.recipients != 3 || len(got.byReason["busy"]) != 2 || len(got.byReason["down"]) != 1 {
		t.Errorf("%+v", got)
	}
}
