package deliver

import (
	"context"
	"slices"

	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/upstream"
)

// tracer returns whom the lane asks what became of an offer whose outcome is unknown, once its provider would not know
// a repeated one; nil: nobody.
func (l *lane) tracer(p *envelope.Progress) upstream.Tracer {
	t, ok := l.upstream.Upstream.(upstream.Tracer)
	if keyed := l.keyValidity(); !ok || !p.Uncertain || p.Upstream != l.upstream.Name || p.Changed || keyed > 0 && l.gen.cfg.Clock.Since(p.Since) < keyed {
		return nil
	}
	return t
}

// trace asks the provider what became of an offer before there is another one. It settles who is there already, puts
// off those of whom the log may tell later, and returns those to offer.
func (a *attempt) trace(ctx context.Context, mail *upstream.Mail, to []envelope.Recipient, dests []destination) (again []envelope.Recipient, againDests []destination) {
	p := &a.part.Progress
	tracer := a.lane.tracer(p)
	if tracer == nil {
		return to, dests
	}
	call, cancel := context.WithTimeout(ctx, attemptTime)
	traces, err := offer.Ask(call, tracer, mail, p, a.now())
	cancel()
	if err != nil {
		return a.untraced(ctx, to, dests, err)
	}
	var there []envelope.Recipient
	var thereDests []destination
	var outcomes []upstream.Outcome
	for i, t := range traces {
		switch {
		case t.Found:
			there, thereDests = append(there, to[i]), append(thereDests, dests[i])
			outcomes = append(outcomes, upstream.Outcome{ID: t.ID, Note: offer.NoteTraced})
		case t.Wait > 0:
			a.add(a.waiting(to[i:i+1], *p, a.now().Add(t.Wait)))
		default:
			again, againDests = append(again, to[i]), append(againDests, dests[i])
		}
	}
	if len(there) > 0 {
		a.settle(ctx, there, thereDests, outcomes)
	}
	return again, againDests
}

// untraced deals with recipients of whom the provider's log cannot be asked: again for a while where that may pass,
// else on_uncertain decides.
func (a *attempt) untraced(ctx context.Context, to []envelope.Recipient, dests []destination, err error) ([]envelope.Recipient, []destination) {
	p := a.part.Progress
	if wait, ok := offer.AskAgain(err, a.now().Sub(p.LastAttempt)); ok || ctx.Err() != nil {
		a.add(a.waiting(to, p, a.now().Add(wait)))
		return nil, nil
	}
	policy := a.gen.cfg.Policy.OnUncertain
	if policy == "retry" || p.Released {
		return to, dests
	}
	p.Error = "it is not known whether it was taken, and the provider's log cannot be read: " + envelope.ErrorText(err)
	if policy == "hold" {
		a.held(to, p)
		return nil, nil
	}
	p.Passed, p.Uncertain = append(slices.Clone(p.Passed), a.upstream()), false
	for i := range to {
		a.retry(ctx, to[i:i+1], dests[i], p, 0)
	}
	return nil, nil
}
