package deliver

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/deliver/schedule"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/upstream"
)

// settle turns outcomes into records of what is final and parts of what waits.
func (a *attempt) settle(ctx context.Context, to []envelope.Recipient, dests []destination, outcomes []upstream.Outcome) {
	now := a.now()
	var silent []envelope.Recipient // taken, and nobody but us tells their sender
	var taken envelope.Progress
	treatments := make([]offer.Treatment, len(dests))
	for i := range dests {
		treatments[i] = offer.Treatment{Rule: dests[i].decision.Rule, OnFailure: dests[i].decision.OnFailure}
	}
	for _, group := range offer.Groups(outcomes, treatments, a.mustRepeat) {
		rcpts := make([]envelope.Recipient, len(group))
		for i, n := range group {
			rcpts[i] = to[n]
		}
		o, dest := outcomes[group[0]], dests[group[0]]
		p := a.progress(now, o)
		a.settleQuota(rcpts, &p, o.Err)
		if e := offer.Failure(o.Err); e != nil {
			a.settleFailure(ctx, rcpts, dest, p, e)
			continue
		}
		a.sent(rcpts, p, o)
		if !o.Notifies {
			silent, taken = append(silent, rcpts...), p
		}
	}
	a.relayed(ctx, silent, taken) // one note, however many calls it took
}

func (a *attempt) settleFailure(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress, e *upstream.Error) {
	name, policy := a.upstream(), &a.gen.cfg.Policy
	switch e.Class {
	case upstream.Permanent:
		a.fail(ctx, rcpts, dest, p)
		return
	case upstream.Unrepresentable:
		p.Unfit = append(slices.Clone(p.Unfit), name)
		if p.Moved == name { // an operator thought it could carry it: routes decide again
			a.deferred(a.waiting(rcpts, p, a.now()))
			return
		}
		if a.gen.choose(dest.decision.Via, &p, "") == "" {
			a.fail(ctx, rcpts, dest, p)
			return
		}
		a.retry(ctx, rcpts, dest, p, 0)
		return
	case upstream.Uncertain:
		a.uncertain(ctx, rcpts, dest, p)
		return
	case upstream.Account:
		if e.Sender {
			p.Passed, p.RefusedFrom = append(slices.Clone(p.Passed), name), a.from
		}
	case upstream.Throttled:
	default:
		if p.Tries >= cmp.Or(dest.decision.FailoverAfter, policy.FailoverAfter) {
			p.Passed = append(slices.Clone(p.Passed), name)
		}
	}
	a.retry(ctx, rcpts, dest, p, e.RetryAfter)
}

// mustRepeat reports whether the provider must recognise the next offer as a repetition of this one.
func (a *attempt) mustRepeat(e *upstream.Error) bool {
	uncertain := e.Class == upstream.Uncertain || a.part.Progress.Uncertain
	return uncertain && a.lane.keyValidity() > 0
}

// progress is the part's progress after one more offer.
func (a *attempt) progress(now time.Time, o upstream.Outcome) envelope.Progress {
	p := a.part.Progress
	wasUncertain := p.Uncertain && p.Upstream == a.upstream()
	p.Attempts++
	p.LastAttempt = now
	if a.gen.fleet != nil {
		p.Gateway = a.gen.fleet.Name()
	}
	if p.FirstAttempt.IsZero() {
		p.FirstAttempt = a.began
	}
	if name := a.upstream(); p.Upstream != name {
		p.Upstream, p.Since, p.Tries, p.Digest = name, a.began, 0, ""
	}
	p.Tries++
	p.Uncertain, p.Class, p.Status, p.Enhanced, p.Error, p.RefusedFrom = false, "", 0, "", "", ""
	if e := offer.Failure(o.Err); e != nil {
		p.Class, p.Status, p.Error = e.Class.String(), e.Status, envelope.ErrorText(o.Err)
		if code, ok := envelope.ParseStatus(e.Code); ok && (code[0] == 4 || code[0] == 5) {
			p.Enhanced = e.Code
		}
		// Once uncertain, a recipient stays so until an answer settles it.
		settled := e.Class == upstream.Permanent || e.Class == upstream.Unrepresentable && e.Status != 0
		p.Uncertain = e.Class == upstream.Uncertain || wasUncertain && !settled
		p.Changed, p.Digest = e.Changed, cmp.Or(e.Digest, p.Digest)
	}
	if !p.Uncertain {
		p.Digest = ""
	}
	return p
}

// uncertain keeps recipients at this upstream: their mail may be there already.
func (a *attempt) uncertain(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress) {
	valid := a.lane.keyValidity()
	switch {
	case p.Changed:
		p.Error += fmt.Sprintf(": `mailhatch queue delete %[1]s` if it was delivered; `mailhatch queue release %[1]s` sends it as it would be now, with a new key", a.msg.ID)
		a.held(rcpts, p)
		return
	case valid > 0 && a.now().Sub(p.Since) < valid:
	case a.lane.tracer(&p) != nil: // it is asked before the next offer
	case a.gen.cfg.Policy.OnUncertain == "failover":
		p.Passed = append(slices.Clone(p.Passed), a.upstream())
		p.Uncertain = false
	case a.lane.mayDouble(&p):
		a.held(rcpts, p)
		return
	}
	a.retry(ctx, rcpts, dest, p, 0)
}

// retry puts recipients into the lane of their next upstream: at once when that is another one, else
// by the schedule and not before after.
func (a *attempt) retry(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress, after time.Duration) {
	if a.isExpired() {
		a.fail(ctx, rcpts, dest, p)
		return
	}
	next := a.upstream()
	if !p.Uncertain && dest.action == route.Deliver {
		next = cmp.Or(a.gen.choose(dest.decision.Via, &p, ""), next)
	}
	if next != a.upstream() && !slices.Contains(a.part.Progress.Passed, next) {
		p.RefusedFrom = ""
		a.failover(rcpts, p, next)
		return
	}
	part := queue.Part{To: rcpts, Lane: next, State: envelope.Queued, Progress: p}
	wait := max(a.gen.cfg.Policy.Retry.After(p.Attempts), after)
	if p.RefusedFrom != "" {
		wait = cmp.Or(a.senderWait(), wait)
	}
	if part.NextAt = a.now().Add(wait); ctx.Err() != nil {
		part.NextAt = time.Time{} // the gateway's own stop cut it off: the next start goes on at once
	}
	a.warn(ctx, &part)
	a.deferred(part)
}

// senderError is why mail is not offered whose From the upstream has refused a while ago, in the provider's words.
type senderError struct{ gate.Refused }

// Unwrap returns what the provider answered.
func (e *senderError) Unwrap() error { return e.Err }

// asked returns when an operator wanted the part tried; zero: never.
func (a *attempt) asked() time.Time {
	p := &a.part.Progress
	if p.Asked.After(p.Renewed) {
		return p.Asked
	}
	return p.Renewed
}

// mayWait reports whether the mail need not be offered at once: what is given up is offered once more, and a probe is to
// show how the upstream is.
func (a *attempt) mayWait() bool { return a.purpose != toProbe && !a.isExpired() }

// senderWait returns how long mail with the From of this attempt waits; 0: it need not.
func (a *attempt) senderWait() time.Duration {
	refused := a.lane.gate.Refused(a.from)
	if refused == nil {
		return 0
	}
	wait := time.Until(refused.Until)
	return max(wait+(schedule.Spread(wait)-wait).Abs(), 1) // not before: it would wait once more
}

// blocked puts recipients off without an offer, for the account may not send with their From yet, or moves them to another
// upstream.
func (a *attempt) blocked(ctx context.Context, rcpts []envelope.Recipient, dests []destination, refused *senderError) {
	name, e := a.upstream(), offer.Failure(refused)
	until := a.now().Add(a.senderWait())
	a.settleQuota(rcpts, &a.part.Progress, refused)
	for i := range rcpts {
		rcpt := rcpts[i : i+1]
		p := a.part.Progress
		p.Class, p.Status, p.Enhanced, p.Error, p.RefusedFrom = upstream.Account.String(), e.Status, "", refused.Error(), a.from
		passed := p
		passed.Passed = append(slices.Clone(p.Passed), name)
		next := name
		if !p.Uncertain {
			next = cmp.Or(a.gen.choose(dests[i].decision.Via, &passed, ""), name)
		}
		if next != name && passed.Passed != nil { // nil: all were passed and the round begins anew
			passed.RefusedFrom = ""
			a.failover(rcpt, passed, next)
			continue
		}
		part := a.waiting(rcpt, p, until)
		a.warn(ctx, &part)
		a.add(part)
	}
}
