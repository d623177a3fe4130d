package deliver

import (
	"context"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/identity"
	"mailhatch/gateway/route"
	"mailhatch/gateway/suppression"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// destination is where a recipient goes.
type destination struct {
	action   route.Action
	upstream string // Deliver; "" when no upstream can carry the message
	decision route.Decision
	unrouted bool // no rule matches now: the config's fault, not the mail's
}

// follow replaces recipients that an operator has released by those that aliases name now, once: mail that came
// before its alias was written goes where that says. Who has the message already, or waits for it, does
// not get it again; nobody is replaced who may have it.
func (a *attempt) follow(ctx context.Context) {
	p := &a.part.Progress
	if !p.Released || p.Followed || p.Uncertain || a.gen.cfg.Aliases == nil {
		return
	}
	p.Followed = true
	had := map[string]bool{}
	for _, r := range a.msg.Envelope.To {
		had[mime.AddressKey(r.Address)] = true
	}
	for _, r := range a.part.To {
		delete(had, mime.AddressKey(r.Address)) // it is about them
	}
	given := a.part.To
	a.part.To, a.instead = nil, []envelope.Recipient{}
	for _, r := range given {
		reached, ended := a.gen.cfg.Aliases([]envelope.Recipient{r})
		isNew := false
		for _, to := range reached {
			if key := mime.AddressKey(to.Address); !had[key] {
				had[key], isNew = true, true
				a.part.To = append(a.part.To, to)
				a.instead = append(a.instead, to)
			}
		}
		for i := range ended {
			isNew = true
			a.instead = append(a.instead, ended[i].Recipient)
			a.end(ctx, &ended[i])
		}
		if !isNew {
			p := *p
			p.Error = "its alias leads to recipients that the message has already"
			a.instead = append(a.instead, r)
			a.record([]envelope.Recipient{r}, envelope.Discarded, p, "")
			a.log([]envelope.Recipient{r}, p, a.gen.journal.Discarded)
		}
	}
}

// end settles a recipient whose alias leads to no address.
func (a *attempt) end(ctx context.Context, e *identity.Ending) {
	p, rcpts := a.part.Progress, []envelope.Recipient{e.Recipient}
	switch e.State {
	case envelope.Discarded:
		p.Error = e.Why
		a.record(rcpts, envelope.Discarded, p, "")
		a.log(rcpts, p, a.gen.journal.Discarded)
	case envelope.Held:
		p.Released, p.Followed, p.Error = false, false, e.Why
		a.held(rcpts, p)
	default:
		r := e.Reply()
		a.refused(ctx, rcpts, refusal(r.Code, r.Status(), r.Text), p)
	}
}

// find returns the destination of a recipient by its decision and its progress. probe names the upstream
// that the mail was claimed for to try its gate, "" for none.
func (g *generation) find(d route.Decision, p *envelope.Progress, probe string) destination {
	dest := destination{action: d.Action, decision: d, unrouted: d.Rule < 0}
	l := g.lanes[p.Upstream]
	if p.Uncertain && (g.cfg.Policy.OnUncertain != "failover" || l != nil && l.tracer(p) != nil) {
		// It may have been taken: no rule and no failover sends it elsewhere.
		switch {
		case l != nil && (p.Released || !l.mayDouble(p)):
			dest.action, dest.upstream, dest.unrouted = route.Deliver, p.Upstream, false
			return dest
		case !p.Released:
			dest.action, dest.unrouted = route.Hold, false
			return dest
		}
	}
	if p.Moved != "" && g.lanes[p.Moved] != nil && !slices.Contains(p.Unfit, p.Moved) {
		dest.action, dest.unrouted = route.Deliver, false
		dest.decision.Action, dest.decision.Via = route.Deliver, []string{p.Moved}
	}
	if dest.action == route.Deliver {
		dest.upstream = g.choose(dest.decision.Via, p, probe)
	}
	return dest
}

// mayDouble reports whether on_uncertain forbids another offer: its provider would not recognise it as a
// repeated one, and cannot be asked.
func (l *lane) mayDouble(p *envelope.Progress) bool {
	keyed := l.keyValidity()
	return l.tracer(p) == nil && l.gen.cfg.Policy.OnUncertain == "hold" && (keyed == 0 || l.gen.cfg.Clock.Since(p.Since) >= keyed)
}

// keyValidity returns for how long the upstream's provider recognises a repeated offer; 0: it does not.
func (l *lane) keyValidity() time.Duration {
	if keyed, ok := l.upstream.Upstream.(upstream.Idempotent); ok {
		return keyed.KeyValidity()
	}
	return 0
}

// choose returns the first upstream of via that can carry the message, was not passed and is usable;
// if none is usable the first to wait for; if all were passed the round begins anew.
func (g *generation) choose(via []string, p *envelope.Progress, probe string) string {
	fit := make([]string, 0, len(via))
	for _, name := range via {
		if g.lanes[name] != nil && !slices.Contains(p.Unfit, name) {
			fit = append(fit, name)
		}
	}
	if len(fit) == 0 {
		return ""
	}
	fresh := slices.DeleteFunc(slices.Clone(fit), func(name string) bool { return slices.Contains(p.Passed, name) })
	if len(fresh) == 0 {
		fresh = fit
		p.Passed = nil
	}
	for _, list := range [][]string{fresh, fit} {
		for _, name := range list {
			if name == probe || g.lanes[name].gate.Usable() {
				return name
			}
		}
	}
	return fresh[0]
}

// suppressed returns the replies to recipients of the part that are on the list of suppressed addresses. Where it cannot be
// read, nothing can be finished either.
func (a *attempt) suppressed(ctx context.Context) map[string]*envelope.Reply {
	replies, err := suppression.Refusals(ctx, a.gen.cfg.Suppressed, a.msg.Envelope.From, addresses(a.part.To)...)
	if err != nil && ctx.Err() == nil {
		a.gen.journal.InternalError("queue", err)
	}
	return replies
}

// unless returns the destination of a recipient who gets no mail, for which reply is not nil: it is refused, unless a rule
// sends regardless or it may have the mail already.
func (d destination) unless(reply *envelope.Reply, p *envelope.Progress) destination {
	if reply == nil || d.action != route.Deliver || d.decision.Regardless || p.Uncertain {
		return d
	}
	d.action, d.unrouted, d.decision.Action, d.decision.Reply = route.Reject, false, route.Reject, *reply
	return d
}
