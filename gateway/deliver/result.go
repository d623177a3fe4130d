package deliver

import (
	"cmp"
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

type attemptEvent = journal.Attempt

const (
	finishFirst = 100 * time.Millisecond
	finishMax   = 5 * time.Second
	finishTries = 8 // of a store that fails for another reason than want of space
)

// finish stores the result and writes the journal. What was sent must be known before it could be sent
// again: a store without space is asked for as long as it takes, and its worker sends nothing else.
func (a *attempt) finish(ctx context.Context, lease queue.Lease) {
	r := queue.Result{Done: a.done, Parts: a.parts}
	wait := finishFirst
	for try := 1; ; try++ {
		err := lease.Finish(ctx, r)
		if err == nil {
			break
		}
		a.lane.gen.d.journal.InternalError("queue", err)
		if lost(err) || (try >= finishTries && !errors.Is(err, queue.ErrFull)) {
			return
		}
		select {
		case <-a.lane.gen.attempts.Done(): // the drain is over
			return
		case <-time.After(wait):
		}
		wait = min(2*wait, finishMax)
		if err := lease.Extend(ctx, leaseTime); err != nil {
			return
		}
	}
	for _, f := range a.after {
		f()
	}
}

// lost tells errors that no repetition mends.
func lost(err error) bool {
	return errors.Is(err, queue.ErrFenced) || errors.Is(err, queue.ErrBroken) || errors.Is(err, queue.ErrClosed)
}

// add puts recipients into the result. Those that wait for the same thing stay together: their next
// offer is one call with one key.
func (a *attempt) add(p queue.Part) {
	for i := range a.parts {
		q := &a.parts[i]
		if q.Lane == p.Lane && q.State == p.State && !a.alone(&p) && reflect.DeepEqual(q.Progress, p.Progress) {
			q.To = append(q.To, p.To...)
			return
		}
	}
	p.To = slices.Clone(p.To)
	a.parts = append(a.parts, p)
}

// alone says that a part is a call of an API of its own: with more recipients its key would be another.
func (a *attempt) alone(p *queue.Part) bool {
	return p.Progress.Uncertain && p.Lane == a.lane.upstream.Name && a.turn != sweep && a.lane.validity() > 0
}

// later keeps a journal line until the result is stored.
func (a *attempt) later(rcpts []envelope.Recipient, p envelope.Progress, write func(attemptEvent)) {
	name := a.lane.upstream.Name
	if name == digestLane {
		name = p.Upstream
	}
	e := attemptEvent{ID: a.msg.ID, MessageID: a.msg.Header.MessageID, From: a.msg.Envelope.From, To: addresses(rcpts),
		Upstream: name, Attempts: p.Attempts, Took: time.Since(a.start), Age: time.Since(a.msg.Envelope.Received),
		Class: p.Class, Status: p.Status, Error: p.Error}
	a.after = append(a.after, func() { write(e) })
}

func addresses(rcpts []envelope.Recipient) []string {
	list := make([]string, len(rcpts))
	for i, r := range rcpts {
		list[i] = r.Address
	}
	return list
}

func (a *attempt) record(rcpt envelope.Recipient, s envelope.State, p envelope.Progress) queue.Record {
	return queue.Record{Recipient: rcpt, State: s, At: time.Now(), Upstream: p.Upstream, Error: p.Error, Attempts: p.Attempts}
}

// sent ends the story of recipients that the upstream took.
func (a *attempt) sent(rcpts []envelope.Recipient, p envelope.Progress, providerID string) {
	for _, r := range rcpts {
		rec := a.record(r, envelope.Sent, p)
		rec.ProviderID = providerID
		a.done = append(a.done, rec)
	}
	a.later(rcpts, p, func(e attemptEvent) { e.ProviderID = providerID; a.lane.gen.d.journal.Sent(e) })
}

// relayed tells senders who asked for it (NOTIFY=SUCCESS, RFC 3461 5.2.2) that the mail went where no
// further notification comes from. Being told is not worth a second delivery: failure is only noted.
func (a *attempt) relayed(ctx context.Context, rcpts []envelope.Recipient, p envelope.Progress) {
	asked := func(r envelope.Recipient) bool { return len(r.Notify) > 0 }
	if !slices.ContainsFunc(rcpts, asked) {
		return
	}
	if _, err := a.report(ctx, bounce.Relayed, rcpts, p); err != nil {
		a.lane.gen.d.journal.InternalError("bounce", err)
	}
}

// unfit gives recipients up whose message no upstream of the route can carry; with no upstream there
// at all (the config changed) they wait.
func (a *attempt) unfit(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	for _, name := range w.decision.Via {
		if a.lane.gen.lanes[name] != nil {
			p.Class = cmp.Or(p.Class, "unrepresentable")
			a.fail(ctx, rcpts, w, p)
			return
		}
	}
	p.Error, p.Class = "the config has none of the upstreams that the route names", "account"
	a.park(ctx, rcpts, w, p)
}

// refused treats recipients that the routes refuse. A rule is the operator's word and final. For want of
// any rule they wait for a mended config, unless they never had one: then acceptance would have
// refused them, had the message no other recipients.
func (a *attempt) refused(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	r := w.decision.Reply
	p.Status, p.Enhanced, p.Error = r.Code, r.Status(), r.Text
	if w.ours && (a.lane.upstream.Name != "" || p.Released) {
		p.Status, p.Enhanced, p.Class, p.Error = 0, "", "account", "no route matches"
		a.park(ctx, rcpts, w, p)
		return
	}
	p.Class = "permanent"
	a.fail(ctx, rcpts, w, p)
}

// park keeps recipients waiting without an upstream.
func (a *attempt) park(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	if a.tooOld() {
		a.fail(ctx, rcpts, w, p)
		return
	}
	next := time.Now().Add(a.lane.gen.cfg.Policy.wait(p.Attempts + 1))
	a.add(queue.Part{To: rcpts, Lane: a.lane.upstream.Name, State: envelope.Queued, NextAt: next, Progress: p})
	a.later(rcpts, p, func(e attemptEvent) { e.Next = next; a.lane.gen.d.journal.Deferred(e) })
}

// bounceRetry is the wait after a bounce could not be stored: until it is, the failure is not final.
const bounceRetry = 5 * time.Minute

// fail gives recipients up: by on_failure they are bounced and kept, kept, or dropped.
func (a *attempt) fail(ctx context.Context, rcpts []envelope.Recipient, w way, p envelope.Progress) {
	j := a.lane.gen.d.journal
	if a.tooOld() && p.Class != "permanent" && !strings.HasPrefix(p.Error, "given up after ") {
		p.Error = "given up after " + a.lane.gen.cfg.Policy.MaxAge.String() + ". Last error: " + cmp.Or(p.Error, "none; the upstream was closed")
	}
	p.Uncertain = false
	policy := cmp.Or(w.decision.OnFailure, a.lane.gen.cfg.Policy.OnFailure)
	if policy == "discard" {
		for _, r := range rcpts {
			a.done = append(a.done, a.record(r, envelope.Failed, p))
		}
		a.later(rcpts, p, j.Failed)
		return
	}
	part := queue.Part{To: rcpts, Lane: a.lane.upstream.Name, State: envelope.Failed, Progress: p}
	if policy != "keep" {
		msg, err := a.compose(bounce.Failed, rcpts, p)
		if until := a.lane.gen.d.told.full(a.msg.Envelope.From); msg != nil && !until.IsZero() {
			a.owe(rcpts, p, until)
			return
		}
		id, err := a.submit(ctx, msg, err)
		if err != nil {
			j.InternalError("bounce", err)
		}
		if err != nil && !errors.Is(err, ErrRefused) {
			part.State, part.NextAt = envelope.Queued, time.Now().Add(bounceRetry)
			a.add(part)
			return
		}
		if id != "" {
			a.lane.gen.d.told.count(a.msg.Envelope.From)
			a.later(rcpts, p, func(e attemptEvent) { j.Bounced(e, id) })
		}
	}
	a.add(part)
	a.later(rcpts, p, j.Failed)
}

// report composes a notification and hands it to the door that all mail comes in by. The id is ""
// when none is due.
func (a *attempt) report(ctx context.Context, action bounce.Action, rcpts []envelope.Recipient, p envelope.Progress) (string, error) {
	msg, err := a.compose(action, rcpts, p)
	return a.submit(ctx, msg, err)
}

// compose gives nil when no notification is due.
func (a *attempt) compose(action bounce.Action, rcpts []envelope.Recipient, p envelope.Progress) ([]byte, error) {
	g := a.lane.gen
	env := a.msg.Envelope
	r := &bounce.Report{Action: action, ID: a.msg.ID, Hostname: g.cfg.Policy.Hostname, At: time.Now(),
		Until: env.Received.Add(g.cfg.Policy.MaxAge), Envelope: env, Original: a.body}
	spoken := g.lanes[p.Upstream] != nil && g.lanes[p.Upstream].upstream.SMTP
	for _, rcpt := range rcpts {
		r.Fates = append(r.Fates, bounce.Fate{Recipient: rcpt, Status: p.Enhanced, Upstream: p.Upstream, Words: p.Error,
			Code: p.Status, SMTP: p.Status >= 400 && spoken, Last: p.LastAttempt})
	}
	return r.Message()
}

func (a *attempt) submit(ctx context.Context, msg []byte, err error) (string, error) {
	if err != nil || msg == nil {
		return "", err
	}
	return a.lane.gen.d.submit(ctx, a.msg.Envelope.From, msg)
}
