package deliver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// late collects the delays that senders with many of them are told in one message. It lives in memory: a
// crash loses the word of a delay, never that of a failure.
type late struct {
	*told
	mu   sync.Mutex
	owed map[string]*lateDigest
}

type lateDigest struct {
	digest
	due time.Time
}

func newLate() *late { return &late{told: newTold(), owed: map[string]*lateDigest{}} }

// owe notes the recipients of a part that are told at due.
func (l *late) owe(a *attempt, to []envelope.Recipient, reason string, due time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	sender := a.msg.Envelope.From
	d := l.owed[sender]
	if d == nil {
		d = &lateDigest{due: due, digest: digest{subject: "Delayed mail", byReason: map[string][]string{},
			intro: "So much of your mail is late that the rest is told here at once.\r\nIt waits at %s and is tried again."}}
		l.owed[sender] = d
	}
	for _, r := range to {
		if len(r.Notify) == 0 || slices.Contains(r.Notify, "DELAY") {
			d.add(a.msg, r.Address, reason)
		}
	}
}

// take gives the digests that are due by now.
func (l *late) take(now time.Time) map[string]*lateDigest {
	l.mu.Lock()
	defer l.mu.Unlock()
	due := map[string]*lateDigest{}
	for sender, d := range l.owed {
		if !now.Before(d.due) {
			due[sender] = d
			delete(l.owed, sender)
		}
	}
	return due
}

// tellLate submits the digests of delays that are due by then.
func (d *Deliverer) tellLate(ctx context.Context, hostname string, then time.Time) {
	for sender, digest := range d.late.take(then) {
		if _, err := d.submit(ctx, sender, digest.compose(hostname, sender, time.Now())); err != nil {
			d.journal.InternalError("bounce", err)
			if !errors.Is(err, ErrRefused) {
				digest.due = then.Add(bounceRetry)
				d.late.again(sender, digest)
			}
		}
	}
}

// again keeps a digest that could not be submitted.
func (l *late) again(sender string, d *lateDigest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if newer := l.owed[sender]; newer != nil {
		for reason, lines := range newer.byReason {
			d.byReason[reason] = append(d.byReason[reason], lines...)
		}
		d.recipients += newer.recipients
	}
	l.owed[sender] = d
}

// warn tells the sender once when a part has waited for long.
func (a *attempt) warn(ctx context.Context, part *queue.Part) {
	d := a.lane.gen.d
	policy := &a.lane.gen.cfg.Policy
	if policy.WarnAfter <= 0 || part.Progress.Warned || time.Since(a.msg.Envelope.Received) < policy.WarnAfter {
		return
	}
	p := part.Progress
	p.Error = cmp.Or(p.Error, a.lane.gate.words(), "it could not be offered yet")
	msg, err := a.compose(bounce.Delayed, part.To, p)
	if due := d.late.full(a.msg.Envelope.From); msg != nil && !due.IsZero() {
		d.late.owe(a, part.To, p.Error, due)
		part.Progress.Warned = true
		return
	}
	id, err := a.submit(ctx, msg, err)
	if err != nil {
		d.journal.InternalError("bounce", err)
		if !errors.Is(err, ErrRefused) {
			return
		}
	}
	if id != "" {
		d.late.count(a.msg.Envelope.From)
	}
	part.Progress.Warned = true
}

// words tells why mail waits at a gate that is not open; "" when it is open.
func (g *gate) words() string {
	if err := g.refusal(); err != nil {
		return oneLine(err.Error())
	}
	return ""
}
