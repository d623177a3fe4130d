package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/upstream"
)

// send calls the upstream; a panic of its code is an outcome of that mail, not the end of the program.
func send(ctx context.Context, u upstream.Upstream, m *upstream.Mail) (out []upstream.Outcome) {
	defer func() {
		if r := recover(); r != nil {
			err := &upstream.Error{Class: upstream.Uncertain, Err: fmt.Errorf("the upstream's code panicked: %v", r)}
			out = []upstream.Outcome{{Err: err}}
		}
	}()
	out = u.Send(ctx, m)
	if len(out) == 0 {
		out = []upstream.Outcome{{Err: errors.New("the upstream gave no outcome")}}
	}
	return out
}

var errSenderBlocked = errors.New("the account may not send with this From")

// failure gives the classified form of an outcome's error; nil for success.
func failure(err error) *upstream.Error {
	if err == nil {
		return nil
	}
	var e *upstream.Error
	if errors.As(err, &e) {
		return e
	}
	return &upstream.Error{Class: upstream.Temporary, Err: err}
}

func className(err error) string {
	if e := failure(err); e != nil {
		return e.Class.String()
	}
	return "sent"
}

// worstOf gives what the gate should learn from: nil when any recipient was taken.
func worstOf(outcomes []upstream.Outcome) error {
	var worst error
	for _, o := range outcomes {
		if o.Err == nil {
			return nil
		}
		if worst == nil || failure(o.Err).Class == upstream.Throttled || failure(o.Err).Class == upstream.Account {
			worst = o.Err
		}
	}
	return worst
}

// settle turns outcomes into records of what is final and parts of what waits.
func (a *attempt) settle(ctx context.Context, to []envelope.Recipient, ways []way, outcomes []upstream.Outcome) {
	now := time.Now()
	for _, group := range groups(outcomes, ways) {
		rcpts := make([]envelope.Recipient, len(group))
		for i, n := range group {
			rcpts[i] = to[n]
		}
		o, w := outcomes[group[0]], ways[group[0]]
		p := a.progress(now, o)
		e := failure(o.Err)
		if e == nil {
			a.sent(rcpts, p, o.ID)
			continue
		}
		switch e.Class {
		case upstream.Permanent:
			a.fail(ctx, rcpts, w, p)
		case upstream.Unrepresentable:
			p.Unfit = append(slices.Clone(p.Unfit), a.lane.upstream.Name)
			a.elsewhere(ctx, rcpts, w, p)
		case upstream.Uncertain:
			a.uncertain(ctx, rcpts, w, p)
		case upstream.Account:
			if e.Sender {
				a.lane.gate.blockSender(a.from, a.lane.gen.cfg.Policy.wait(p.Tries))
				p.Passed = append(slices.Clone(p.Passed), a.lane.upstream.Name)
			}
			a.retry(ctx, rcpts, w, p, e.RetryAfter)
		case upstream.Throttled:
			a.retry(ctx, rcpts, w, p, e.RetryAfter)
		default:
			if p.Tries >= cmp.Or(w.decision.FailoverAfter, a.lane.gen.cfg.Policy.FailoverAfter) {
				p.Passed = append(slices.Clone(p.Passed), a.lane.upstream.Name)
			}
			a.retry(ctx, rcpts, w, p, e.RetryAfter)
		}
	}
}

// groups lists the indexes of outcomes that are alike and whose recipients are treated alike.
func groups(outcomes []upstream.Outcome, ways []way) [][]int {
	type key struct {
		id, err, onFailure string
		rule               int
	}
	index := map[key]int{}
	var all [][]int
	for i := range ways {
		k := key{id: outcomes[i].ID, onFailure: ways[i].decision.OnFailure, rule: ways[i].decision.Rule}
		if outcomes[i].Err != nil {
			e := failure(outcomes[i].Err)
			k.err = fmt.Sprint(e.Class, e.Status, e.Code, outcomes[i].Err)
			// The provider's words may name the recipient; only final failures need telling apart.
			if e.Class != upstream.Permanent {
				k.err = fmt.Sprint(e.Class, e.Status)
				k.rule = 0
			}
		}
		n, ok := index[k]
		if !ok {
			n = len(all)
			index[k] = n
			all = append(all, nil)
		}
		all[n] = append(all[n], i)
	}
	return all
}

// progress is the part's progress after one more offer.
func (a *attempt) progress(now time.Time, o upstream.Outcome) envelope.Progress {
	p := a.part.Progress
	p.Attempts++
	p.LastAttempt = now
	if p.FirstAttempt.IsZero() {
		p.FirstAttempt = a.start
	}
	if name := a.lane.upstream.Name; p.Upstream != name {
		p.Upstream, p.Since, p.Tries = name, a.start, 0
	}
	p.Tries++
	p.Uncertain, p.Class, p.Status, p.Enhanced, p.Error = false, "", 0, "", ""
	if e := failure(o.Err); e != nil {
		p.Class, p.Status, p.Error = e.Class.String(), e.Status, oneLine(o.Err.Error())
		if looksEnhanced(e.Code) {
			p.Enhanced = e.Code
		}
		// Once uncertain, a recipient stays so until an answer settles it.
		p.Uncertain = e.Class == upstream.Uncertain || (a.part.Progress.Uncertain && e.Class != upstream.Permanent)
	}
	return p
}

func looksEnhanced(code string) bool {
	parts := strings.Split(code, ".")
	return len(parts) == 3 && (parts[0] == "4" || parts[0] == "5")
}

const maxWords = 1000 // bytes of a provider's words that are kept

func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > maxWords {
		s = strings.ToValidUTF8(s[:maxWords], "") + "…"
	}
	return s
}

// uncertain keeps recipients at this upstream: their mail may be there already.
func (a *attempt) uncertain(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	policy := &a.lane.gen.cfg.Policy
	keyed, ok := a.lane.upstream.Upstream.(upstream.Idempotent)
	safe := ok && time.Since(p.Since) < keyed.KeyValidity()
	switch {
	case safe || policy.OnUncertain == "retry":
	case policy.OnUncertain == "failover":
		p.Passed = append(slices.Clone(p.Passed), a.lane.upstream.Name)
		p.Uncertain = false
	default:
		a.add(queue.Part{To: rcpts, Lane: a.lane.upstream.Name, State: envelope.Held, Progress: p})
		a.later(rcpts, p, a.lane.gen.d.journal.Held)
		return
	}
	a.retry(ctx, rcpts, w, p, 0)
}

// elsewhere sends recipients to the next upstream that can carry the message, or gives them up.
func (a *attempt) elsewhere(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	if a.lane.gen.choose(w.decision.Via, &p) == "" {
		a.fail(ctx, rcpts, w, p)
		return
	}
	a.retry(ctx, rcpts, w, p, 0)
}

// retry puts recipients into the lane of their next upstream: at once when that is another one, else
// by the schedule and not before after.
func (a *attempt) retry(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress, after time.Duration) {
	g := a.lane.gen
	if a.tooOld() {
		a.fail(ctx, rcpts, w, p)
		return
	}
	next := a.lane.upstream.Name
	if !p.Uncertain && w.action == route.Deliver {
		next = cmp.Or(g.choose(w.decision.Via, &p), next)
	}
	part := queue.Part{To: rcpts, Lane: next, State: envelope.Queued, Progress: p}
	if next != a.lane.upstream.Name && !slices.Contains(a.part.Progress.Passed, next) {
		a.add(part)
		a.later(rcpts, p, func(e attemptEvent) { g.d.journal.Failover(e, next) })
		return
	}
	part.NextAt = time.Now().Add(max(g.cfg.Policy.wait(p.Attempts), after))
	a.warn(ctx, &part)
	a.add(part)
	a.later(rcpts, p, func(e attemptEvent) { e.Next = part.NextAt; g.d.journal.Deferred(e) })
}

// waitFor puts recipients off without an offer.
func (a *attempt) waitFor(rcpts []envelope.Recipient, until time.Time) {
	a.add(queue.Part{To: rcpts, Lane: a.lane.upstream.Name, State: envelope.Queued, NextAt: until, Progress: a.part.Progress})
}

func (a *attempt) tooOld() bool {
	born := a.msg.Envelope.Received
	if renewed := a.part.Progress.Renewed; renewed.After(born) {
		born = renewed
	}
	return time.Since(born) > a.lane.gen.cfg.Policy.MaxAge
}
