package deliver

import (
	"context"
	"errors"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

// digest notifies the senders of the leased failures, in one message each, and ends these. It returns what
// an operator has retried.
func (l *lane) digest(ctx context.Context, leases []queue.Lease) (others []queue.Lease) {
	bySender := map[string][]queue.Lease{}
	for _, lease := range leases {
		m := lease.Message()
		if !m.Parts[0].Progress.InDigest {
			others = append(others, lease)
			continue
		}
		bySender[m.Envelope.From] = append(bySender[m.Envelope.From], lease)
	}
	for sender, group := range bySender {
		id, err := l.submitDigest(context.WithoutCancel(ctx), sender, group)
		if err != nil {
			l.gen.journal.InternalError("bounce", err)
		}
		for _, lease := range group {
			l.endDigested(ctx, lease, id, err)
		}
	}
	return others
}

func (l *lane) submitDigest(ctx context.Context, sender string, group []queue.Lease) (id string, err error) {
	var d bounce.Digest
	for _, lease := range group {
		m := lease.Message()
		for _, r := range m.Parts[0].To {
			d.Add(m.ID, m.Header.Subject, r.Address, m.Parts[0].Progress.Error)
		}
	}
	msg, err := d.Message(l.gen.cfg.Policy.Hostname, sender, l.gen.cfg.Clock.Now())
	if err != nil {
		return "", err
	}
	return l.gen.submit(ctx, sender, msg)
}

// endDigested stores the failure of one part, or puts it off when the digest could not be stored.
func (l *lane) endDigested(ctx context.Context, lease queue.Lease, id string, err error) {
	m := lease.Message()
	a := newAttempt(l, m, m.Parts[0], nil)
	part, j := a.part, l.gen.journal
	if err != nil && !errors.Is(err, ErrRefused) {
		part.NextAt = a.now().Add(bounceRetry)
		a.add(part)
	} else {
		part.State, part.Lane, part.NextAt, part.Progress.InDigest = envelope.Failed, part.Progress.Upstream, time.Time{}, false
		a.add(part)
		a.log(part.To, part.Progress, j.Failed)
		if id != "" {
			a.log(part.To, part.Progress, func(e journal.Attempt) { j.Bounced(e, id) })
		}
	}
	a.finish(ctx, lease)
}
