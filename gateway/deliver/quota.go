package deliver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/deliver/schedule"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

// quotaSoon is the wait of recipients for whom there was no room a moment ago.
const quotaSoon = time.Second

// startCounting tells the queue at which upstreams of the config all offers are counted, so that the next process knows
// what this one has not offered if it dies. After a reload, older attempts may be under way: only upstreams that have been
// counted from the start stay. It reports whether delivery may begin: not while the queue cannot be asked what was counted before,
// and is not told of what is now.
func (d *Deliverer) startCounting(ctx context.Context, cfg *Config, first bool) bool {
	names := []string{}
	for i := range cfg.Upstreams {
		if u := &cfg.Upstreams[i]; len(u.Quota) > 0 && (first || slices.Contains(d.counting, u.Name)) {
			names = append(names, u.Name)
		}
	}
	if !first && slices.Equal(names, d.counting) {
		return true
	}
	before, err := d.queue.Counting(ctx, names)
	if first && errors.Is(err, queue.ErrAway) {
		return false
	}
	if err != nil {
		if ctx.Err() == nil {
			d.journal.InternalError("queue", err)
		}
		return true
	}
	if first {
		d.counted = before
	}
	d.counting = names
	d.counted = slices.DeleteFunc(slices.Clone(d.counted), func(name string) bool { return !slices.Contains(names, name) })
	return true
}

// recount tells the gate what is left of its quotas. It follows each change of the count; one at a time, so that the last
// of them is the one that the gate goes by.
func (l *lane) recount(ctx context.Context) {
	if len(l.upstream.Quota) == 0 {
		return
	}
	l.counting.Lock()
	defer l.counting.Unlock()
	_, windows := l.gate.Windows()
	used, err := l.gen.queue.Used(ctx, l.upstream.Name, windows)
	switch {
	case err == nil:
		if l.gate.Counted(windows, used) {
			l.hasten(ctx)
		}
	case ctx.Err() == nil:
		l.gen.journal.InternalError("queue", err)
	}
}

// take counts recipients before they are offered. ok is false if it is not known how many there is room for.
func (a *attempt) take(ctx context.Context, to []string) (granted map[string]bool, again, ok bool) {
	now, windows := a.lane.gate.Windows()
	g, err := a.gen.queue.Take(ctx, queue.Offer{Upstream: a.upstream(), ID: a.msg.ID, To: to, At: now, Windows: windows})
	if err != nil {
		if ctx.Err() == nil {
			a.gen.journal.InternalError("queue", err)
		}
		return nil, false, false
	}
	a.quota.Upstream, a.quota.ID = a.upstream(), a.msg.ID
	a.lane.recount(ctx)
	granted = make(map[string]bool, len(g.To))
	for _, address := range g.To {
		granted[address] = true
	}
	return granted, g.Again, true
}

// count keeps to the quotas of the upstream: it returns the recipients for whom there is room, and settles the others.
func (a *attempt) count(ctx context.Context, to []envelope.Recipient, dests []destination) (now []envelope.Recipient, nowDests []destination) {
	if len(a.lane.upstream.Quota) == 0 || len(to) == 0 {
		return to, dests
	}
	granted, again, ok := a.take(ctx, addresses(to))
	if !ok {
		a.add(a.waiting(to, a.part.Progress, a.now().Add(quotaSoon)))
		return nil, nil
	}
	var rest []envelope.Recipient
	var restDests []destination
	for i, rcpt := range to {
		if granted[rcpt.Address] {
			now, nowDests = append(now, rcpt), append(nowDests, dests[i])
		} else {
			rest, restDests = append(rest, rcpt), append(restDests, dests[i])
		}
	}
	switch {
	case len(rest) == 0:
	case again: // the offer that is repeated went without them
		a.parts = append(a.parts, a.waiting(rest, a.part.Progress, a.now())) // not added: they would become one again
	default:
		a.overQuota(ctx, rest, restDests)
	}
	return now, nowDests
}

// overQuota sends recipients on for whom the quota has no room, or lets them wait until it has.
func (a *attempt) overQuota(ctx context.Context, to []envelope.Recipient, dests []destination) {
	byRule := map[int][]envelope.Recipient{} // their routes are the same
	var rules []int
	first := map[int]destination{}
	for i, rcpt := range to {
		rule := dests[i].decision.Rule
		if byRule[rule] == nil {
			rules, first[rule] = append(rules, rule), dests[i]
		}
		byRule[rule] = append(byRule[rule], rcpt)
	}
	err := a.lane.gate.QuotaError()
	for _, rule := range rules {
		rcpts, dest := byRule[rule], first[rule]
		p := a.part.Progress
		p.Class, p.Status, p.Enhanced, p.Error = upstream.Throttled.String(), 0, "", envelope.ErrorText(err)
		next := a.upstream()
		if !p.Uncertain {
			next = cmp.Or(a.gen.choose(dest.decision.Via, &p, ""), next)
		}
		switch {
		case next != a.upstream():
			a.failover(rcpts, p, next)
		case a.isExpired():
			a.fail(ctx, rcpts, dest, p)
		default:
			a.awaitQuota(ctx, rcpts, p)
		}
	}
}

// awaitQuota leaves recipients until the quota has room. Meanwhile sweeps look after them.
func (a *attempt) awaitQuota(ctx context.Context, rcpts []envelope.Recipient, p envelope.Progress) {
	next, open := a.now().Add(quotaSoon), a.lane.gate.QuotaEnd()
	if !open.IsZero() {
		open = a.now().Add(time.Until(open))
		if next = a.now().Add(schedule.Spread(a.lane.gate.SweepWait())); next.After(open) {
			next = open
		}
	}
	if !p.Divided {
		for _, l := range a.lane.upstream.Quota {
			if len(a.part.To) > l.Count {
				p.Divided = true
				a.log(a.part.To, p, func(e journal.Attempt) { a.gen.journal.Divided(e, l.String()) })
				break
			}
		}
	}
	part := a.waiting(rcpts, p, next)
	a.warn(ctx, &part)
	a.add(part)
	a.log(rcpts, p, func(e journal.Attempt) { e.Next = cmp.Or(open, next); a.gen.journal.Deferred(e) })
}

// settleQuota notes what became of recipients that were counted. Those of which nobody knows stay as they are.
func (a *attempt) settleQuota(rcpts []envelope.Recipient, p *envelope.Progress, err error) {
	if a.quota.Upstream == "" {
		return
	}
	before := &a.part.Progress
	mayHave := before.Uncertain && before.Upstream == a.upstream()
	switch {
	case err == nil, mayHave && !p.Uncertain:
		a.quota.Taken = append(a.quota.Taken, addresses(rcpts)...)
	case !p.Uncertain:
		a.quota.Back = append(a.quota.Back, addresses(rcpts)...)
	}
}

// recall corrects what is known of a part whose offer may have been cut off: of recipients that were not counted there was
// none. It returns those of them that are not to be repeated with the others.
func (a *attempt) recall(ctx context.Context, part *queue.Part) (fresh map[string]bool) {
	if !part.Interrupted || part.Progress.Uncertain || !slices.Contains(a.gen.counted, a.upstream()) || len(a.lane.upstream.Quota) == 0 {
		return nil
	}
	offered, err := a.gen.queue.Unsettled(ctx, a.upstream(), a.msg.ID)
	if err != nil {
		if ctx.Err() == nil {
			a.gen.journal.InternalError("queue", err)
		}
		return nil
	}
	wasOffered := make(map[string]bool, len(offered))
	for _, address := range offered {
		wasOffered[address] = true
	}
	fresh = map[string]bool{}
	var rest []envelope.Recipient
	for _, rcpt := range a.part.To {
		if !wasOffered[rcpt.Address] {
			fresh[rcpt.Address] = true
			rest = append(rest, rcpt)
		}
	}
	if len(rest) == len(a.part.To) {
		a.part.Progress = part.Progress
		return nil
	}
	if len(rest) > 0 {
		a.parts = append(a.parts, a.waiting(rest, part.Progress, a.now()))
	}
	return fresh
}

// sendCounted makes one call, without the queue, to those recipients for whom the quota has room.
func (a *attempt) sendCounted(ctx context.Context, mail *upstream.Mail) []upstream.Outcome {
	if len(a.lane.upstream.Quota) == 0 {
		return a.send(ctx, mail)
	}
	to := make([]string, len(mail.To))
	for i, r := range mail.To {
		to[i] = r.Address
	}
	granted, _, ok := a.take(ctx, to)
	if !ok {
		return offer.Repeat(upstream.Outcome{Err: &upstream.Error{Err: errNotCounted}}, len(to))
	}
	one := *mail
	one.To = slices.DeleteFunc(slices.Clone(mail.To), func(r upstream.Recipient) bool { return !granted[r.Address] })
	if len(one.To) == len(mail.To) {
		return a.send(ctx, mail)
	}
	var sent []upstream.Outcome
	outcomes := offer.Repeat(upstream.Outcome{Err: a.lane.gate.QuotaError()}, len(to))
	if len(one.To) > 0 {
		sent = a.send(ctx, &one)
	}
	for i := range outcomes {
		if granted[to[i]] {
			outcomes[i], sent = sent[0], sent[1:]
		}
	}
	return outcomes
}

// endQuota settles what was counted without the queue.
func (a *attempt) endQuota(ctx context.Context) {
	if a.quota.IsEmpty() {
		return
	}
	if err := a.gen.queue.Settle(context.WithoutCancel(ctx), a.quota); err != nil {
		a.gen.journal.InternalError("queue", err)
	} else if len(a.quota.Back) > 0 {
		a.lane.recount(ctx)
	}
}

var errNotCounted = errors.New("the quota cannot be counted for now")
