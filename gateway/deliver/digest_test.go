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

	"mailhatch/gateway/deliver/notices"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// Many failures of one sender become single bounces up to a limit, and one digest of the rest.
func TestDigest(t *testing.T) {
	t.Parallel()
	const mails = notices.Limit + 12
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		if m.To[0].Address == "good@example.org" { // it does not refuse everything
			return all(m, upstream.Outcome{})
		}
		return all(m, failing(upstream.Permanent, 550, "the list is closed"))
	}}
	r := newRig(t, func(c *Config) { c.Upstreams[0].MaxConcurrent = 1 }, ups{"a": a})
	taken := 0
	for n := range mails {
		if n%10 == 9 {
			r.put("a", "good@example.org")
			taken++
		}
		r.put("a", fmt.Sprintf("x%d@example.org", n))
	}
	r.start()
	r.await("single bounces", func() bool { return len(r.bounced()) == notices.Limit && a.count() == mails+taken })
	r.await("the rest", func() bool { return len(r.digested()) == mails-notices.Limit })
	if due := time.Until(r.digested()[0].NextAt); due < 9*time.Minute || due > notices.Window {
		t.Errorf("the digest comes in %v", due)
	}
	// Another sender is not concerned.
	r.putFrom("other@example.com", "a", time.Now(), "y@example.org")
	r.await("the other's bounce", func() bool { return len(r.bounced()) == notices.Limit+1 })
	// A failing store puts the digest off and loses nothing.
	r.logMu.Lock()
	r.submit = errors.New("disk full")
	r.logMu.Unlock()
	hasten := func() {
		if err := r.q.Hasten(t.Context(), digestLane, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	hasten()
	r.await("the failing store", func() bool { return strings.Contains(r.journal(), "disk full") })
	r.await("all put off", func() bool {
		n := 0
		for _, p := range r.digested() {
			if due := time.Until(p.NextAt); due < bounceRetry && due > time.Minute {
				n++
			}
		}
		return n == mails-notices.Limit
	})
	r.logMu.Lock()
	r.submit = nil
	r.logMu.Unlock()
	hasten()
	r.await("the digest", func() bool { return len(r.digested()) == 0 })
	checkDigest(t, r.bounced(), mails-notices.Limit)
	for _, p := range r.parts() {
		if p.State != envelope.Failed || p.Lane != "a" || p.Progress.InDigest || p.Progress.Class != "permanent" {
			t.Errorf("part %+v", p)
		}
	}
	// A line is written once its result is stored: the last one may still be on its way.
	r.await("the failures in the journal", func() bool { return strings.Count(r.journal(), "msg=failed") >= mails+1 })
	if n := strings.Count(r.journal(), "msg=failed"); n != mails+1 {
		t.Errorf("%d failures in the journal, want %d", n, mails+1)
	}
}

func checkDigest(t *testing.T, bounces []string, recipients int) {
	t.Helper()
	named := 0
	for _, b := range bounces[notices.Limit+1:] {
		to, text, _ := strings.Cut(b, "\n")
		m, err := mail.ReadMessage(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(quotedprintable.NewReader(m.Body))
		if err != nil {
			t.Fatal(err)
		}
		if to != "sender@example.com" || m.Header.Get("To") != "<sender@example.com>" || m.Header.Get("Auto-Submitted") != "auto-replied" {
			t.Errorf("to %q, header %v", to, m.Header)
		}
		if !strings.Contains(string(body), "550: the list is closed") || strings.Count(string(body), "the list is closed") != 1 {
			t.Errorf("digest:\n%s", body)
		}
		named += strings.Count(string(body), "@example.org  (queue id ")
	}
	if named != recipients {
		t.Errorf("%d recipients in digests, want %d", named, recipients)
	}
	if n := len(bounces) - notices.Limit - 1; n > 2 {
		t.Errorf("%d digests", n)
	}
}

// digested lists the parts that wait for a digest.
func (r *rig) digested() []queue.Part {
	var list []queue.Part
	for _, p := range r.parts() {
		if p.Progress.InDigest && p.Lane == digestLane && p.State == envelope.Queued {
			list = append(list, p)
		}
	}
	return list
}

// An operator's retry takes a failure out of the digest and sends the mail again.
func TestDigestLeavesRetriedMail(t *testing.T) {
	a := &scripted{}
	r := newRig(t, nil, ups{"a": a})
	r.putPart("s@example.com", digestLane, time.Now(), queue.Part{Progress: envelope.Progress{Class: "permanent"}}, "x@example.org")
	r.start()
	r.awaitSent(1)
	if len(r.bounced()) != 0 {
		t.Errorf("bounces %q", r.bounced())
	}
}

// Only a report can be addressed to a sender beyond ASCII: such failures are bounced one by one.
func TestNoDigestBeyondASCII(t *testing.T) {
	a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
		return all(m, failing(upstream.Permanent, 550, "no"))
	}}
	r := newRig(t, nil, ups{"a": a})
	for range notices.Limit {
		r.d.bounces.Count("jürgen@example.com")
	}
	r.putFrom("jürgen@example.com", "a", time.Now(), "x@example.org")
	r.start()
	r.awaitState(envelope.Failed)
	if n := len(r.bounced()); n != 1 {
		t.Errorf("%d bounces", n)
	}
}
