package deliver

import (
	"context"
	"errors"
	"slices"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// DirectResult is what became of a part that was offered without the queue.
type DirectResult struct {
	Taken []queue.Record // recipients that an upstream took
	Rest  []queue.Part   // the others, ready to be queued
	Err   error          // the first failure
}

// direct offers a part once, to its lane and on failure along its route.
func (g *generation) direct(ctx context.Context, m *queue.Message, msg *mime.Message, part queue.Part) (result DirectResult) {
	for range len(g.cfg.Upstreams) {
		l := g.lanes[part.Lane]
		if l == nil || len(part.To) == 0 {
			break
		}
		next := newAttempt(l, m, part, msg).direct(ctx, &result)
		if next == "" || ctx.Err() != nil {
			break
		}
		part, result.Rest = result.Rest[0], nil
		part.Lane = next
	}
	if len(result.Rest) == 0 && len(result.Taken) == 0 {
		return notOffered(part)
	}
	return result
}

func notOffered(part queue.Part) DirectResult {
	return DirectResult{Rest: []queue.Part{part}, Err: &upstream.Error{Err: context.DeadlineExceeded}}
}

// direct makes one offer and returns the upstream to try next, "" for none.
func (a *attempt) direct(ctx context.Context, result *DirectResult) (next string) {
	mail, err := a.mail(a.part.To)
	if refused, ok := errors.AsType[*senderError](err); ok {
		result.Rest, result.Err = []queue.Part{a.part}, refused
		return a.directNext(result)
	}
	if err != nil {
		result.Rest, result.Err = []queue.Part{a.part}, err
		return ""
	}
	if err := a.lane.gate.Admit(ctx); err != nil {
		result.Rest, result.Err = []queue.Part{a.part}, err
		return a.directNext(result)
	}
	if err := a.lane.gate.AwaitDomains(ctx, offer.DomainsOf(a.part.To)); err != nil {
		result.Rest, result.Err = []queue.Part{a.part}, err
		return ""
	}
	outcomes := a.sendDivided(ctx, mail)
	a.learn(ctx, outcomes)
	a.directSettle(outcomes, result)
	a.endQuota(ctx)
	return a.directNext(result)
}

// sendDivided makes as many calls as the upstream's limit of recipients asks for.
func (a *attempt) sendDivided(ctx context.Context, mail *upstream.Mail) (outcomes []upstream.Outcome) {
	most := a.lane.upstream.MaxRecipients
	if most == 0 || len(mail.To) <= most {
		return a.sendCounted(ctx, mail)
	}
	for to := range slices.Chunk(mail.To, most) {
		one := *mail
		one.To = to
		if len(outcomes) > 0 {
			if err := a.lane.gate.Admit(ctx); err != nil {
				outcomes = append(outcomes, offer.Repeat(upstream.Outcome{Err: err}, len(to))...)
				continue
			}
		}
		outcomes = append(outcomes, a.sendCounted(ctx, &one)...)
	}
	return outcomes
}

// directSettle sorts outcomes: what waits is divided by what is known of it.
func (a *attempt) directSettle(outcomes []upstream.Outcome, result *DirectResult) {
	now := a.now()
	for i, o := range outcomes {
		p, rcpts := a.progress(now, o), a.part.To[i:i+1]
		a.settleQuota(rcpts, &p, o.Err)
		if o.Err == nil {
			a.sent(rcpts, p, o)
			continue
		}
		a.add(a.waiting(rcpts, p, time.Time{}))
		if result.Err == nil {
			result.Err = o.Err
		}
	}
	a.writeJournal()
	result.Taken = append(result.Taken, a.done...)
	result.Rest = a.parts
}

// directNext returns the upstream that may cure a failure of the whole offer, "" for none.
func (a *attempt) directNext(result *DirectResult) string {
	if len(result.Rest) != 1 || len(a.done) > 0 {
		return ""
	}
	e := offer.Failure(result.Err)
	if e.Class != upstream.Account && e.Class != upstream.Unrepresentable && !e.Connect && !errors.Is(e, gate.ErrClosed) {
		return ""
	}
	rest := &result.Rest[0]
	rest.Progress.Passed = append(slices.Clone(rest.Progress.Passed), a.upstream())
	via := a.gen.cfg.Route(a.msg, a.body)(rest.To[0].Address).Via
	p := rest.Progress
	if next := a.gen.choose(via, &p, ""); next != "" && next != a.upstream() && len(p.Passed) > 0 {
		result.Err = nil
		return next
	}
	return ""
}
