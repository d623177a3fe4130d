package deliver

import (
	"context"
	"time"

	"mailhatch/gateway/envelope"
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

// Choose gives the first of the named upstreams that is not closed; all closed: the first.
func (d *Deliverer) Choose(via []string) string {
	if g := d.current.Load(); g != nil {
		if name := g.choose(via, &envelope.Progress{}); name != "" {
			return name
		}
	}
	return via[0]
}

// Direct offers a part once, to its lane and on failure along its route, and waits for the outcome.
func (d *Deliverer) Direct(ctx context.Context, m *queue.Message, msg *mime.Message, part queue.Part) DirectResult {
	g := d.current.Load()
	var result DirectResult
	for range len(d.config.Load().Upstreams) {
		if g == nil || g.lanes[part.Lane] == nil || len(part.To) == 0 {
			break
		}
		next := d.directOnce(ctx, g, m, msg, part, &result)
		if next == "" || ctx.Err() != nil {
			return result
		}
		part, result.Rest = result.Rest[0], nil
		part.Lane = next
	}
	if len(result.Rest) == 0 && len(result.Taken) == 0 {
		result.Rest = []queue.Part{part}
		result.Err = &upstream.Error{Err: context.DeadlineExceeded}
	}
	return result
}

// directOnce makes one offer and names the upstream to try next, "" for none.
func (d *Deliverer) directOnce(ctx context.Context, g *generation, m *queue.Message, msg *mime.Message, part queue.Part, result *DirectResult) string {
	l := g.lanes[part.Lane]
	a := &attempt{lane: l, msg: m, part: part, body: msg, start: time.Now()}
	mail, err := a.mail(part.To)
	if err != nil || mail == nil {
		result.Rest, result.Err = []queue.Part{part}, &upstream.Error{Class: upstream.Account, Err: errSenderBlocked}
		return ""
	}
	l.gate.spend(1)
	l.gate.begin()
	outcomes := send(ctx, l.upstream.Upstream, mail)
	l.gate.end()
	for len(outcomes) < len(part.To) {
		outcomes = append(outcomes, upstream.Outcome{Err: outcomes[0].Err})
	}
	worst := worstOf(outcomes)
	l.gate.learn(m.ID, worst)
	d.journal.Offered(part.Lane, className(worst), time.Since(a.start))
	return a.directSettle(outcomes, result)
}

// directSettle sorts outcomes; a failure of the whole offer that the next upstream may cure names it.
func (a *attempt) directSettle(outcomes []upstream.Outcome, result *DirectResult) string {
	rest := a.part
	rest.To = nil
	for i, o := range outcomes {
		if o.Err == nil {
			p := a.progress(time.Now(), o)
			a.sent(a.part.To[i:i+1], p, o.ID)
			continue
		}
		rest.To = append(rest.To, a.part.To[i])
		rest.Progress = a.progress(time.Now(), o)
		if result.Err == nil {
			result.Err = o.Err
		}
	}
	for _, write := range a.after {
		write()
	}
	result.Taken = append(result.Taken, a.done...)
	if len(rest.To) == 0 {
		result.Err = nil
		return ""
	}
	result.Rest = []queue.Part{rest}
	e := failure(result.Err)
	if len(a.done) > 0 || (e.Class != upstream.Account && e.Class != upstream.Unrepresentable && !e.Connect) {
		return ""
	}
	g := a.lane.gen
	rest.Progress.Passed = append(rest.Progress.Passed, a.lane.upstream.Name)
	result.Rest[0] = rest
	via := g.cfg.Route(a.msg, a.body, rest.To[0].Address).Via
	p := rest.Progress
	if next := g.choose(via, &p); next != a.lane.upstream.Name && len(p.Passed) > 0 {
		result.Err = nil
		return next
	}
	return ""
}
