package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
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

// worstOf gives what the gate should learn from: nil when any recipient was taken, unless an API that
// needed several calls said 429 to a later one.
func worstOf(outcomes []upstream.Outcome) error {
	var worst error
	taken := false
	for _, o := range outcomes {
		e := failure(o.Err)
		switch {
		case e == nil:
			taken = true
		case e.Class == upstream.Throttled && e.Status == http.StatusTooManyRequests:
			return o.Err
		case worst == nil || e.Class == upstream.Throttled || e.Class == upstream.Account:
			worst = o.Err
		}
	}
	if taken {
		return nil
	}
	return worst
}

// settle turns outcomes into records of what is final and parts of what waits.
func (a *attempt) settle(ctx context.Context, to []envelope.Recipient, ways []way, outcomes []upstream.Outcome) {
	now := time.Now()
	for _, group := range a.groups(outcomes, ways) {
		rcpts := make([]envelope.Recipient, len(group))
		for i, n := range group {
			rcpts[i] = to[n]
		}
		o, w := outcomes[group[0]], ways[group[0]]
		p := a.progress(now, o)
		e := failure(o.Err)
		if e == nil {
			a.sent(rcpts, p, o.ID)
			if !o.Notifies {
				a.relayed(ctx, rcpts, p)
			}
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
func (a *attempt) groups(outcomes []upstream.Outcome, ways []way) [][]int {
	type key struct {
		id, err, onFailure string
		rule               int
		call               *upstream.Error
		notify             bool
	}
	index := map[key]int{}
	var all [][]int
	for i := range ways {
		k := key{id: outcomes[i].ID, onFailure: ways[i].decision.OnFailure, rule: ways[i].decision.Rule, notify: outcomes[i].Notifies}
		if e := failure(outcomes[i].Err); e != nil {
			k.err = fmt.Sprint(e.Class, e.Status)
			switch {
			case e.Class == upstream.Permanent: // the provider's words may name the recipient
				k.err = fmt.Sprint(e.Class, e.Status, e.Code, outcomes[i].Err)
			case a.keyed(e):
				// Recipients of one call share its error, and stay together whatever rules they come by:
				// only the same recipients have the same key.
				k = key{call: e}
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
	wasUncertain := p.Uncertain && p.Upstream == a.lane.upstream.Name
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
		p.Uncertain = e.Class == upstream.Uncertain || (wasUncertain && e.Class != upstream.Permanent)
	}
	return p
}

// keyed says that the next offer must be known to the provider for a repetition of this one.
func (a *attempt) keyed(e *upstream.Error) bool {
	uncertain := e.Class == upstream.Uncertain || a.part.Progress.Uncertain
	return uncertain && a.lane.validity() > 0
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
	valid := a.lane.validity()
	switch {
	case valid > 0 && time.Since(p.Since) < valid:
	case a.lane.gen.cfg.Policy.OnUncertain == "failover":
		p.Passed = append(slices.Clone(p.Passed), a.lane.upstream.Name)
		p.Uncertain = false
	case a.lane.doubles(&p):
		a.add(queue.Part{To: rcpts, Lane: a.lane.upstream.Name, State: envelope.Held, Progress: p})
		a.later(rcpts, p, a.lane.gen.d.journal.Held)
		return
	}
	a.retry(ctx, rcpts, w, p, 0)
}

// elsewhere sends recipients to the next upstream that can carry the message, or gives them up.
func (a *attempt) elsewhere(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	if a.lane.gen.choose(w.decision.Via, &p, "") == "" {
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
		next = cmp.Or(g.choose(w.decision.Via, &p, ""), next)
	}
	part := queue.Part{To: rcpts, Lane: next, State: envelope.Queued, Progress: p}
	if next != a.lane.upstream.Name && !slices.Contains(a.part.Progress.Passed, next) {
		a.add(part)
		a.later(rcpts, p, func(e attemptEvent) { g.d.journal.Failover(e, next) })
		return
	}
	if part.NextAt = time.Now().Add(max(g.cfg.Policy.wait(p.Attempts), after)); g.attempts.Err() != nil {
		part.NextAt = time.Time{} // our own stop cut it off: the next start goes on at once
	}
	a.warn(ctx, &part)
	a.add(part)
	a.later(rcpts, p, func(e attemptEvent) { e.Next = part.NextAt; g.d.journal.Deferred(e) })
}

// blocked puts recipients off without an offer, for the account may not use their From yet, or gives them
// to another upstream.
func (a *attempt) blocked(rcpts []envelope.Recipient, ways []way) {
	g, name := a.lane.gen, a.lane.upstream.Name
	until := a.lane.gate.blocked(a.from)
	for i := range rcpts {
		rcpt := rcpts[i : i+1]
		p := a.part.Progress
		p.Class, p.Error = upstream.Account.String(), errSenderBlocked.Error()
		passed := p
		passed.Passed = append(slices.Clone(p.Passed), name)
		next := name
		if !p.Uncertain {
			next = cmp.Or(g.choose(ways[i].decision.Via, &passed, ""), name)
		}
		if next != name && passed.Passed != nil { // nil: all were passed and the round begins anew
			a.add(queue.Part{To: rcpt, Lane: next, State: envelope.Queued, Progress: passed})
			a.later(rcpt, p, func(e attemptEvent) { g.d.journal.Failover(e, next) })
			continue
		}
		a.add(queue.Part{To: rcpt, Lane: name, State: envelope.Queued, NextAt: until, Progress: p})
	}
}

func (a *attempt) tooOld() bool {
	born := a.msg.Envelope.Received
	if renewed := a.part.Progress.Renewed; renewed.After(born) {
		born = renewed
	}
	return time.Since(born) > a.lane.gen.cfg.Policy.MaxAge
}
