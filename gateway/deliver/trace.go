package deliver

import (
	"context"
	"slices"
	"time"

	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/upstream"
)

// isOpen reports whether it is not known if the upstream took the last offer, and its provider would not know a repeated one.
func (l *lane) isOpen(p *envelope.Progress) bool {
	if !p.Uncertain || p.Upstream != l.upstream.Name || p.Changed {
		return false
	}
	keyed := l.keyValidity()
	return keyed == 0 || l.gen.cfg.Clock.Since(p.Since) >= keyed
}

// tracer returns whom the lane asks what became of an offer whose outcome is unknown, once its provider would not know
// a repeated one; nil: nobody.
func (l *lane) tracer(p *envelope.Progress) upstream.Tracer {
	t, ok := l.upstream.Upstream.(upstream.Tracer)
	if !ok || !l.isOpen(p) {
		return nil
	}
	return t
}

// lookFor finds out, as far as it can, what became of an offer before there is another one: by what the provider has
// reported, then by its log. It settles who is there already, puts off those of whom there may be word later, and returns
// those to offer, to whom it leaves the mail.
func (a *attempt) lookFor(ctx context.Context, mail *upstream.Mail, to []envelope.Recipient, dests []destination) ([]envelope.Recipient, []destination) {
	for _, look := range []func(context.Context, *upstream.Mail, []envelope.Recipient, []destination) ([]envelope.Recipient, []destination){a.hear, a.trace} {
		offered := len(to)
		if to, dests = look(ctx, mail, to, dests); len(to) == 0 {
			return nil, nil
		}
		if len(to) < offered {
			mail.To = offer.NewMail(mail.ID, &a.msg.Envelope, mail.From, to, mail.Message).To
		}
	}
	return to, dests
}

// unheardWait is until the store is asked again that could not be read.
const unheardWait = 30 * time.Second

// hear looks among the events that the provider has reported. Where it has a log, too, that is asked instead of waiting for them.
func (a *attempt) hear(ctx context.Context, mail *upstream.Mail, to []envelope.Recipient, dests []destination) (again []envelope.Recipient, againDests []destination) {
	p, cfg := &a.part.Progress, a.gen.cfg
	f, ok := a.lane.upstream.Upstream.(upstream.Feedback)
	if !ok || cfg.ToldOf == nil || !a.lane.isOpen(p) || f.Listening().Off() {
		return to, dests
	}
	told, err := cfg.ToldOf(ctx, a.upstream(), mail.ID)
	if err != nil {
		if ctx.Err() == nil {
			a.gen.journal.InternalError("queue", err)
		}
		a.add(a.waiting(to, *p, a.now().Add(unheardWait)))
		return nil, nil
	}
	delay := offer.HearingDelay(f.Listening())
	if a.lane.tracer(p) != nil {
		delay = 0
	}
	return a.found(ctx, to, dests, offer.Heard(told, to, p, delay, a.now()), offer.NoteTold)
}

// trace asks the provider's log.
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
	return a.found(ctx, to, dests, traces, offer.NoteTraced)
}

// found settles who was found and puts off those who may be later; it returns the others.
func (a *attempt) found(ctx context.Context, to []envelope.Recipient, dests []destination, traces []offer.Trace, note string) (again []envelope.Recipient, againDests []destination) {
	var there []envelope.Recipient
	var thereDests []destination
	var outcomes []upstream.Outcome
	for i, t := range traces {
		switch {
		case t.Found:
			there, thereDests = append(there, to[i]), append(thereDests, dests[i])
			outcomes = append(outcomes, upstream.Outcome{ID: t.ID, Note: note})
		case t.Wait > 0:
			a.add(a.waiting(to[i:i+1], a.part.Progress, a.now().Add(t.Wait)))
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
