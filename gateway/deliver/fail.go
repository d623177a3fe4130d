package deliver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/upstream"
)

// isExpired reports whether the message is older than max_age. That ends its delivery only where an attempt was made
// since, by itself or by others at the same gate.
func (a *attempt) isExpired() bool { return a.overdue() > 0 }

// overdue returns for how long the message has been older than max_age.
func (a *attempt) overdue() time.Duration {
	born := a.msg.Envelope.Received
	if renewed := a.part.Progress.Renewed; renewed.After(born) {
		born = renewed
	}
	return a.now().Sub(born) - a.gen.cfg.Policy.MaxAge
}

// whyClosed is what there is to say of a message that was never offered.
func (a *attempt) whyClosed() string {
	const closed = "none; the upstream was closed"
	if err := a.lane.gate.Refusal(); err != nil {
		return closed + ": " + envelope.ErrorText(err)
	}
	return closed
}

// fail gives recipients up: by on_failure they are bounced and kept, kept, or dropped.
func (a *attempt) fail(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress) {
	last := p.Error
	if a.isExpired() && p.Class != upstream.Permanent.String() {
		p.Error = "given up after " + a.gen.cfg.Policy.MaxAge.String() + ". Last error: " + cmp.Or(last, a.whyClosed())
	}
	p.Uncertain = false
	policy := cmp.Or(dest.decision.OnFailure, a.gen.cfg.Policy.OnFailure)
	if policy == "discard" {
		a.record(rcpts, envelope.Failed, p, "")
		a.log(rcpts, p, a.gen.journal.Failed)
		return
	}
	if policy != "keep" {
		// The digest comes first: to compose a notification of each refusal takes as many readings of the message.
		if until := a.digestAt(); !until.IsZero() && a.report(bounce.Failed, rcpts, p).IsDue() {
			a.deferToDigest(rcpts, p, until)
			return
		}
		msg, err := a.compose(bounce.Failed, rcpts, p)
		id, err := a.submit(ctx, msg, err)
		if err != nil && !errors.Is(err, ErrRefused) {
			p.Error = last // it is not final yet
			a.add(a.waiting(rcpts, p, a.now().Add(bounceRetry)))
			return
		}
		if id != "" {
			a.gen.bounces.Count(a.msg.Envelope.From)
			a.log(rcpts, p, func(e journal.Attempt) { a.gen.journal.Bounced(e, id) })
		}
	}
	a.failed(rcpts, p)
}

// failed keeps recipients as failed.
func (a *attempt) failed(rcpts []envelope.Recipient, p envelope.Progress) {
	a.add(queue.Part{To: rcpts, Lane: a.upstream(), State: envelope.Failed, Progress: p})
	a.event(rcpts, p, queue.Event{Kind: queue.EventFailed})
	a.log(rcpts, p, a.gen.journal.Failed)
}

// digestAt returns when the sender's next digest is due that failures wait for; zero: they are bounced one
// by one. So are those of senders beyond ASCII, to whom only a report can be addressed without SMTPUTF8.
func (a *attempt) digestAt() time.Time {
	sender := a.msg.Envelope.From
	if strings.ContainsFunc(sender, func(r rune) bool { return r >= 0x7f || r < ' ' }) {
		return time.Time{}
	}
	until := a.gen.bounces.Until(sender)
	if until.IsZero() {
		return until
	}
	return a.now().Add(time.Until(until))
}

// deferToDigest keeps recipients whose failure is reported in the sender's next digest. Until then they
// are queued, so that a crash loses none of it. Those who want no notification are done.
func (a *attempt) deferToDigest(rcpts []envelope.Recipient, p envelope.Progress, until time.Time) {
	for i, r := range rcpts {
		one := rcpts[i : i+1]
		if len(r.Notify) > 0 && !slices.Contains(r.Notify, "FAILURE") {
			a.failed(one, p)
			continue
		}
		waiting := p
		waiting.InDigest = true
		a.add(queue.Part{To: one, Lane: digestLane, State: envelope.Queued, NextAt: until, Progress: waiting})
		a.event(one, p, queue.Event{Kind: queue.EventFailed, Next: until})
		a.log(one, p, func(e journal.Attempt) { e.Next = until; a.gen.journal.Deferred(e) })
	}
}

// unrepresentable gives up recipients whose message no upstream of the route can carry; when the config has
// none of these upstreams (it changed) they wait.
func (a *attempt) unrepresentable(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress) {
	if slices.ContainsFunc(dest.decision.Via, func(name string) bool { return a.gen.lanes[name] != nil }) {
		p.Class = cmp.Or(p.Class, upstream.Unrepresentable.String())
		a.fail(ctx, rcpts, dest, p)
		return
	}
	p.Error, p.Class = "the config has none of the upstreams that the route names", upstream.Account.String()
	a.park(ctx, rcpts, dest, p)
}

// refused handles recipients that the routes refuse. A rule is the operator's decision and final. For want
// of any rule they wait for a better config, unless they never had one: then acceptance would have refused
// them, had the message no other recipients.
func (a *attempt) refused(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress) {
	if dest.unrouted && (a.upstream() != "" || p.Released) {
		p.Status, p.Enhanced, p.Class, p.Error = 0, "", upstream.Account.String(), "no route matches"
		a.park(ctx, rcpts, dest, p)
		return
	}
	r := dest.decision.Reply
	p.Status, p.Enhanced, p.Error = r.Code, r.Status(), r.Text
	p.Class = upstream.Permanent.String()
	a.fail(ctx, rcpts, dest, p)
}

// refusal is the destination of recipients that no route has a say about.
func refusal(code int, enhanced, text string) destination {
	status, _ := envelope.ParseStatus(enhanced)
	return destination{action: route.Reject, decision: route.Decision{Action: route.Reject,
		Reply: envelope.Reply{Code: code, Enhanced: status, Text: text}}}
}

// park keeps recipients waiting without an upstream.
func (a *attempt) park(ctx context.Context, rcpts []envelope.Recipient, dest destination, p envelope.Progress) {
	if a.isExpired() {
		a.fail(ctx, rcpts, dest, p)
		return
	}
	a.deferred(a.waiting(rcpts, p, a.now().Add(a.gen.cfg.Policy.Retry.After(p.Attempts+1))))
}
