package deliver

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/deliver/schedule"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// turnKept is how long a turn can be used that was given to recipients of a domain: when a backlog has waited longer for
// other reasons, it does not come all at once.
const turnKept = time.Hour

const attemptTime = 18 * time.Minute // below leaseTime: an attempt never outlives its lease

// attempt routes the leased part anew, offers what belongs to this lane, and records the result. The end of
// ctx cuts the offer off; the result is still recorded.
func (l *lane) attempt(ctx context.Context, lease queue.Lease, purpose purpose) {
	body, err := lease.Body()
	if err != nil {
		l.unreadable(ctx, lease, err)
		return
	}
	defer body.Close() //nolint:errcheck // read only
	msg, err := mime.Parse(body)
	if err != nil {
		l.unreadable(ctx, lease, err)
		return
	}
	m := lease.Message()
	a := newAttempt(l, m, m.Parts[0], msg)
	if a.purpose = purpose; purpose != toSweep {
		defer a.gen.underWay.Begin(m.ID, a.leased, a.start)()
	}
	a.fresh = a.recall(ctx, &m.Parts[0])
	offer, dests := a.route(ctx)
	offer, dests = a.divide(offer, dests)
	offer, dests = a.pace(ctx, offer, dests)
	if offer, dests = a.count(ctx, offer, dests); len(offer) > 0 {
		a.offer(ctx, offer, dests)
	}
	a.finish(ctx, lease)
}

// unreadable puts a part off whose bytes cannot be read, until it is too old: that is the gateway's failure,
// not the mail's.
func (l *lane) unreadable(ctx context.Context, lease queue.Lease, err error) {
	l.gen.journal.InternalError("queue", err)
	m := lease.Message()
	a := newAttempt(l, m, m.Parts[0], nil)
	p := a.part.Progress
	p.Class, p.Error = upstream.Temporary.String(), envelope.ErrorText(err)
	p.Attempts++
	if a.isExpired() {
		a.fail(ctx, a.part.To, destination{}, p)
	} else {
		a.deferred(a.waiting(a.part.To, p, a.now().Add(l.gen.cfg.Policy.Retry.After(p.Attempts))))
	}
	a.finish(ctx, lease)
}

// route decides anew where recipients go. It settles all but those that this lane offers now, and returns
// these with their destinations.
func (a *attempt) route(ctx context.Context) (offer []envelope.Recipient, dests []destination) {
	probe := ""
	if a.purpose == toProbe {
		probe = a.upstream()
	}
	a.follow(ctx)
	decide, suppressed := a.gen.cfg.Route(a.msg, a.body), a.suppressed(ctx)
	for _, rcpt := range a.part.To {
		if a.fresh[rcpt.Address] {
			continue
		}
		p := a.part.Progress
		dest := refusal(p.Status, p.Enhanced, p.Error)
		if !p.Refused {
			dest = a.gen.find(decide(rcpt.Address), &p, probe)
			dest = dest.unless(suppressed[rcpt.Address], &p)
		}
		rcpts := []envelope.Recipient{rcpt}
		switch dest.action {
		case route.Deliver:
			if a.deliver(ctx, rcpts, dest, p) {
				offer, dests = append(offer, rcpt), append(dests, dest)
			}
		case route.Discard:
			p.Error = "discarded by " + route.Title(dest.decision.Name)
			a.record(rcpts, envelope.Discarded, p, "")
			a.log(rcpts, p, a.gen.journal.Discarded)
		case route.Hold:
			if dest.decision.Action == route.Hold { // else for its outcome is unknown
				p.Hold = &envelope.Hold{Rule: dest.decision.Name}
			}
			a.held(rcpts, p)
		default:
			a.refused(ctx, rcpts, dest, p)
		}
	}
	for i := range a.parts { // what waits here without an offer is late all the same
		if p := &a.parts[i]; p.Lane == a.upstream() && p.State == envelope.Queued {
			a.warn(ctx, p)
		}
	}
	return offer, dests
}

// deliver reports whether recipients are offered now; if not, it settles them.
func (a *attempt) deliver(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress) (offer bool) {
	switch {
	case dest.upstream == "":
		a.unrepresentable(ctx, rcpts, dest, p)
	case dest.upstream != a.upstream():
		a.reroute(rcpts, p, dest.upstream)
	case a.purpose != toSweep, p.Uncertain && p.Upstream == a.upstream() && !a.lane.gate.QuotaEnd().IsZero(): // it was counted
		return true
	case a.isExpired() && a.lane.gate.TriedWithin(a.overdue()):
		a.fail(ctx, rcpts, dest, p)
	default:
		if a.isExpired() {
			a.lane.gate.ProbeSoon()
		}
		a.add(a.waiting(rcpts, p, a.now().Add(schedule.Spread(a.lane.gate.SweepWait()))))
	}
	return false
}

// divide leaves those for this offer that the upstream takes at once, and makes parts of the others. An offer that
// the provider must recognise stays as it was.
func (a *attempt) divide(to []envelope.Recipient, dests []destination) ([]envelope.Recipient, []destination) {
	most, p := a.lane.upstream.MaxRecipients, a.part.Progress
	if most == 0 || len(to) <= most || p.Uncertain && p.Upstream == a.upstream() && a.lane.keyValidity() > 0 {
		return to, dests
	}
	for rest := range slices.Chunk(to[most:], most) {
		a.parts = append(a.parts, a.waiting(slices.Clone(rest), p, a.now())) // not added: they would become one again
	}
	return to[:most], dests[:most]
}

// pace puts those off whose domain has had mail enough for now, each domain by itself, and returns the others. Those who wait
// keep their turn, whichever gateway offers them then.
func (a *attempt) pace(ctx context.Context, to []envelope.Recipient, dests []destination) (now []envelope.Recipient, nowDests []destination) {
	if a.lane.upstream.RatePerDomain == 0 {
		return to, dests
	}
	given := a.part.Progress.Turn
	a.part.Progress.Turn = nil
	later := map[string]*queue.Part{}
	turns := map[string]*envelope.Turn{}
	for i, rcpt := range to {
		domain := offer.DomainOf(rcpt.Address)
		turn, known := turns[domain]
		if !known {
			turn = a.turn(ctx, domain, given)
			turns[domain] = turn
		}
		switch {
		case !turn.At.After(a.now()):
			now, nowDests = append(now, rcpt), append(nowDests, dests[i])
		case a.isExpired():
			p := a.part.Progress
			p.Error = cmp.Or(p.Error, gate.ErrDomainRate.Error())
			a.fail(ctx, []envelope.Recipient{rcpt}, dests[i], p)
		case later[domain] == nil:
			part := a.waiting([]envelope.Recipient{rcpt}, a.part.Progress, turn.At)
			if turn.Rate > 0 {
				part.Progress.Turn = turn
			}
			later[domain] = &part
		default:
			later[domain].To = append(later[domain].To, rcpt)
		}
	}
	for _, domain := range slices.Sorted(maps.Keys(later)) {
		part := later[domain]
		part.Progress.Error = cmp.Or(part.Progress.Error, gate.ErrDomainRate.Error())
		a.warn(ctx, part)
		a.parts = append(a.parts, *part)
	}
	return now, nowDests
}

// turn returns when the recipients of a domain may be offered: as they were given, or else the next turn. Without a rate it is
// none: then it is to be asked for again.
func (a *attempt) turn(ctx context.Context, domain string, given *envelope.Turn) *envelope.Turn {
	u := a.lane.upstream
	if t := given; t != nil && t.Upstream == u.Name && t.Rate == u.RatePerDomain && t.Domain == domain && a.now().Sub(t.At) < turnKept {
		return t
	}
	wait, ok := a.lane.gate.DomainTurn(ctx, domain)
	t := &envelope.Turn{Upstream: u.Name, Rate: u.RatePerDomain, Domain: domain, At: a.now().Add(wait)}
	if !ok {
		t.Rate = 0
	}
	return t
}

// offer sends to the recipients of this lane and settles each outcome.
func (a *attempt) offer(ctx context.Context, to []envelope.Recipient, dests []destination) {
	mail, err := a.mail(to)
	if refused, ok := errors.AsType[*senderError](err); ok {
		a.blocked(ctx, to, dests, refused)
		return
	}
	if err == nil && mail.Again {
		if to, dests = a.lookFor(ctx, mail, to, dests); len(to) == 0 {
			return
		}
	}
	var outcomes []upstream.Outcome
	if err != nil {
		outcomes = offer.Repeat(upstream.Outcome{Err: err}, len(to))
	} else {
		call, cancel := context.WithTimeout(ctx, attemptTime)
		outcomes = a.send(call, mail)
		cancel()
	}
	a.learn(ctx, outcomes)
	a.settle(ctx, to, dests, outcomes)
}

// send makes one call when the upstream has a place for it.
func (a *attempt) send(ctx context.Context, mail *upstream.Mail) []upstream.Outcome {
	if err := a.lane.gate.Begin(ctx); err != nil {
		return offer.Repeat(upstream.Outcome{Err: err}, len(mail.To))
	}
	defer a.lane.gate.End()
	outcomes := offer.Throttled(offer.Send(ctx, a.lane.upstream.Upstream, mail), a.lane.upstream.ThrottleOn)
	return a.lane.gate.Guard(mail.ID, mail.To, outcomes)
}

// learn lets the gate know how the offer ended.
func (a *attempt) learn(ctx context.Context, outcomes []upstream.Outcome) {
	worst, l := offer.Worst(outcomes), a.lane
	l.gate.Learn(a.msg.ID, worst)
	l.gate.Quiet(outcomes)
	if e := offer.Failure(worst); e == nil {
		if l.gate.SenderTaken(a.from) {
			l.hasten(ctx)
		}
	} else if e.Class == upstream.Account && e.Sender {
		l.gate.SenderRefused(a.from, worst, e)
	}
	for _, o := range outcomes {
		a.gen.cfg.Clock.Confirm(o.Date)
	}
	a.gen.journal.Offered(a.upstream(), offer.Class(worst), time.Since(a.start))
}

// mail returns the upstream's view of the message. The error is a *senderError where its From is not to be tried now.
func (a *attempt) mail(to []envelope.Recipient) (*upstream.Mail, error) {
	l := a.lane
	msg, from := a.body, a.msg.Envelope.From
	if l.upstream.Departure != nil {
		newFrom, edits := l.upstream.Departure(a.msg.ID, &a.msg.Envelope, msg)
		if len(edits) > 0 {
			edited, err := msg.With(edits...)
			if err != nil {
				return nil, err
			}
			msg = edited
		}
		from = newFrom
	}
	a.from = offer.FromAddress(msg)
	if refused := l.gate.TrySender(a.from, a.asked()); refused != nil && a.mayWait() {
		return nil, &senderError{*refused}
	}
	mail := offer.NewMail(a.msg.ID, &a.msg.Envelope, from, to, msg)
	p := &a.part.Progress
	if p.Changed { // an operator has released it: this is another offer than the one that may have been taken
		p.Key = a.msg.ID + "-" + strconv.FormatInt(p.Since.UnixMilli(), 36)
		p.Upstream, p.Uncertain, p.Changed, p.Digest = "", false, false, ""
	}
	mail.Key = p.Key
	if p.Uncertain && p.Upstream == a.upstream() {
		mail.Again, mail.Digest = true, p.Digest
	}
	return mail, nil
}
