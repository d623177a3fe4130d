package deliver

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
		if name := g.choose(via, &envelope.Progress{}, ""); name != "" {
			return name
		}
	}
	return via[0]
}

const startWait = 3 * time.Second

// Direct offers a part once, to its lane and on failure along its route, and waits for the outcome.
func (d *Deliverer) Direct(ctx context.Context, m *queue.Message, msg *mime.Message, part queue.Part) DirectResult {
	select {
	case <-d.running: // sessions may be a little earlier than delivery
	case <-ctx.Done():
	case <-time.After(startWait):
	}
	g := d.enter()
	if g != nil {
		defer g.inUse.RUnlock()
	}
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

// enter gives the generation of now and keeps its upstreams open until inUse is unlocked; nil: delivery
// does not run.
func (d *Deliverer) enter() *generation {
	for {
		g := d.current.Load()
		if g == nil {
			return nil
		}
		g.inUse.RLock()
		if !g.over {
			return g
		}
		g.inUse.RUnlock()
		if d.current.Load() == g {
			return nil
		}
	}
}

// directOnce makes one offer and names the upstream to try next, "" for none.
func (d *Deliverer) directOnce(ctx context.Context, g *generation, m *queue.Message, msg *mime.Message, part queue.Part, result *DirectResult) string {
	l := g.lanes[part.Lane]
	a := &attempt{lane: l, msg: m, part: part, body: msg, start: time.Now()}
	mail, err := a.mail(part.To)
	if err == nil && mail == nil {
		err = &upstream.Error{Class: upstream.Account, Err: errSenderBlocked}
	}
	if err != nil {
		result.Rest, result.Err = []queue.Part{part}, err
		return ""
	}
	if err := l.gate.admit(ctx); err != nil {
		result.Rest, result.Err = []queue.Part{part}, err
		return a.directNext(result)
	}
	outcomes := l.send(ctx, mail)
	for len(outcomes) < len(part.To) {
		outcomes = append(outcomes, upstream.Outcome{Err: outcomes[0].Err})
	}
	worst := worstOf(outcomes)
	l.gate.learn(m.ID, worst)
	l.gate.pause(outcomes)
	d.journal.Offered(part.Lane, className(worst), time.Since(a.start))
	a.directSettle(outcomes, result)
	return a.directNext(result)
}

// directSettle sorts outcomes: what waits stays apart by what is known of it.
func (a *attempt) directSettle(outcomes []upstream.Outcome, result *DirectResult) {
	now := time.Now()
	for i, o := range outcomes {
		p := a.progress(now, o)
		if o.Err == nil {
			a.sent(a.part.To[i:i+1], p, o.ID)
			continue
		}
		a.add(queue.Part{To: a.part.To[i : i+1], Lane: a.part.Lane, State: envelope.Queued, Progress: p})
		if result.Err == nil {
			result.Err = o.Err
		}
	}
	for _, write := range a.after {
		write()
	}
	result.Taken = append(result.Taken, a.done...)
	result.Rest = a.parts
}

// directNext names the upstream that may cure a failure of the whole offer, "" for none.
func (a *attempt) directNext(result *DirectResult) string {
	if len(result.Rest) != 1 || len(a.done) > 0 {
		return ""
	}
	e := failure(result.Err)
	if e.Class != upstream.Account && e.Class != upstream.Unrepresentable && !e.Connect && !errors.Is(e, errClosed) {
		return ""
	}
	g := a.lane.gen
	rest := &result.Rest[0]
	rest.Progress.Passed = append(slices.Clone(rest.Progress.Passed), a.lane.upstream.Name)
	via := g.cfg.Route(a.msg, a.body, rest.To[0].Address).Via
	p := rest.Progress
	if next := g.choose(via, &p, ""); next != "" && next != a.lane.upstream.Name && len(p.Passed) > 0 {
		result.Err = nil
		return next
	}
	return ""
}

var (
	errClosed = errors.New("the upstream is closed")
	errBusy   = errors.New("the upstream is busy with other mail")
)

// refusal says why nothing may be offered now; nil when it may.
func (g *gate) refusal() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.state != closed {
		return nil
	}
	return &upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("%w (%s): %w", errClosed, g.reason, g.lastErr)}
}

// admit waits until the rate allows one more offer, but not beyond the deadline of ctx.
func (g *gate) admit(ctx context.Context) error {
	if err := g.refusal(); err != nil {
		return err
	}
	if !g.awaitQuiet(ctx) {
		return &upstream.Error{Class: upstream.Throttled, Err: errLimitUsedUp}
	}
	if g.limiter != nil {
		if err := g.limiter.Wait(ctx); err != nil {
			return &upstream.Error{Class: upstream.Throttled, Err: fmt.Errorf("%w, up to its rate: %w", errBusy, err)}
		}
	}
	return g.refusal() // it may have closed meanwhile
}
