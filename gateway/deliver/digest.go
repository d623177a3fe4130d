package deliver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"mime/quotedprintable"
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const (
	digestAfter  = 20               // bounces to one sender within digestWindow; what fails then is told in one
	digestWindow = 10 * time.Minute // counted from the first bounce
	digestMax    = 500              // failures in one digest
	digestLane   = "(bounces)"      // where they wait; no upstream can have this name
)

// told counts the bounces that senders got lately.
type told struct {
	mu      sync.Mutex
	senders map[string]window
}

type window struct {
	end time.Time
	n   int
}

func newTold() *told { return &told{senders: map[string]window{}} }

// count notes a bounce to a sender.
func (t *told) count(sender string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	w := t.senders[sender]
	if now.After(w.end) {
		for name, old := range t.senders {
			if now.After(old.end) {
				delete(t.senders, name)
			}
		}
		w = window{end: now.Add(digestWindow)}
	}
	w.n++
	t.senders[sender] = w
}

// full says until when failures are collected for a sender; zero: they are told one by one. So are those
// of senders beyond ASCII, whom only a report can address without SMTPUTF8.
func (t *told) full(sender string) time.Time {
	if strings.ContainsFunc(sender, func(r rune) bool { return r >= 0x7f || r < ' ' }) {
		return time.Time{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	w := t.senders[sender]
	if w.n < digestAfter || time.Now().After(w.end) {
		return time.Time{}
	}
	return w.end
}

// owe keeps recipients whose failure is told with the sender's next digest. Until then they are queued,
// so that a crash loses no word of it. Those who asked not to be told are done.
func (a *attempt) owe(rcpts []envelope.Recipient, p envelope.Progress, until time.Time) {
	j := a.lane.gen.d.journal
	for i, r := range rcpts {
		one := rcpts[i : i+1]
		if len(r.Notify) > 0 && !slices.Contains(r.Notify, "FAILURE") {
			a.add(queue.Part{To: one, Lane: a.lane.upstream.Name, State: envelope.Failed, Progress: p})
			a.later(one, p, j.Failed)
			continue
		}
		owed := p
		owed.Owed = true
		a.add(queue.Part{To: one, Lane: digestLane, State: envelope.Queued, NextAt: until, Progress: owed})
		a.later(one, p, func(e attemptEvent) { e.Next = until; j.Deferred(e) })
	}
}

// digest tells the senders of the leased failures, one message each, and ends these. It gives back what an
// operator has sent on its way again.
func (l *lane) digest(ctx context.Context, leases []queue.Lease) (others []queue.Lease) {
	write := context.WithoutCancel(ctx)
	bySender := map[string][]queue.Lease{}
	for _, lease := range leases {
		m := lease.Message()
		if !m.Parts[0].Progress.Owed {
			others = append(others, lease)
			continue
		}
		bySender[m.Envelope.From] = append(bySender[m.Envelope.From], lease)
	}
	for sender, group := range bySender {
		id, err := l.gen.d.submit(write, sender, failures(group).compose(l.gen.cfg.Policy.Hostname, sender, time.Now()))
		if err != nil {
			l.gen.d.journal.InternalError("bounce", err)
		}
		for _, lease := range group {
			l.endOwed(write, lease, id, err)
		}
	}
	return others
}

// endOwed stores the failure of one part, or puts it off when the digest could not be stored.
func (l *lane) endOwed(ctx context.Context, lease queue.Lease, id string, err error) {
	m := lease.Message()
	a := &attempt{lane: l, msg: m, part: m.Parts[0], start: time.Now()}
	part, j := a.part, l.gen.d.journal
	if err != nil && !errors.Is(err, ErrRefused) {
		part.NextAt = time.Now().Add(bounceRetry)
		a.add(part)
	} else {
		part.State, part.Lane, part.NextAt, part.Progress.Owed = envelope.Failed, part.Progress.Upstream, time.Time{}, false
		a.add(part)
		a.later(part.To, part.Progress, j.Failed)
		if id != "" {
			a.later(part.To, part.Progress, func(e attemptEvent) { j.Bounced(e, id) })
		}
	}
	a.finish(ctx, lease)
}

// digest is a message for people: recipients by what is the matter with them. RFC 3464 reports tell of
// one message each, so there is none in it.
type digest struct {
	subject, intro string
	byReason       map[string][]string
	recipients     int // lines and those that were left out
}

// add takes a recipient; beyond digestMax it only counts.
func (d *digest) add(m *queue.Message, to, reason string) {
	d.recipients++
	if d.recipients > digestMax {
		return
	}
	line := fmt.Sprintf("  %s  (queue id %s", to, m.ID)
	if m.Header.Subject != "" {
		line += ", " + clip(oneLine(m.Header.Subject), 100)
	}
	d.byReason[reason] = append(d.byReason[reason], line+")")
}

func failures(group []queue.Lease) *digest {
	d := &digest{subject: "Undelivered mail", byReason: map[string][]string{},
		intro: "So much of your mail failed that the rest is told here at once.\r\nThe messages are kept at %s for a while and can be retried there."}
	for _, lease := range group {
		m := lease.Message()
		for _, r := range m.Parts[0].To {
			d.add(m, r.Address, m.Parts[0].Progress.Error)
		}
	}
	return d
}

func (d *digest) compose(hostname, sender string, now time.Time) []byte {
	var out bytes.Buffer
	fmt.Fprintf(&out, "Date: %s\r\nFrom: Mail Delivery System <MAILER-DAEMON@%s>\r\nTo: <%s>\r\nSubject: %s: %d recipients\r\n"+
		"Message-ID: <%s@%s>\r\nAuto-Submitted: auto-replied\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n",
		now.Format(time.RFC1123Z), hostname, sender, d.subject, d.recipients, rand.Text(), hostname)
	w := quotedprintable.NewWriter(&out)
	fmt.Fprintf(w, d.intro+"\r\n", hostname)
	for _, reason := range slices.Sorted(maps.Keys(d.byReason)) {
		fmt.Fprintf(w, "\r\n%s\r\n%s\r\n", reason, strings.Join(d.byReason[reason], "\r\n"))
	}
	if more := d.recipients - digestMax; more > 0 {
		fmt.Fprintf(w, "\r\nand %d more\r\n", more)
	}
	_ = w.Close() // writes to memory
	out.WriteString("\r\n")
	return out.Bytes()
}

// clip cuts words.
func clip(s string, n int) string {
	if r := []rune(s); len(r) > n {
		return string(r[:n]) + "…"
	}
	return s
}
