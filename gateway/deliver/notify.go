package deliver

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// ErrRefused is wrapped by the errors of Submit that no later attempt cures.
var ErrRefused = errors.New("the notification is refused")

// bounceRetry is the wait after a bounce could not be stored: until it is, the failure is not final.
const bounceRetry = 5 * time.Minute

// compose returns a notification of the sender; nil when none is due.
func (a *attempt) compose(action bounce.Action, rcpts []envelope.Recipient, p envelope.Progress) ([]byte, error) {
	return a.report(action, rcpts, p).Message()
}

// report returns what a notification of the sender would be about.
func (a *attempt) report(action bounce.Action, rcpts []envelope.Recipient, p envelope.Progress) *bounce.Report {
	env := a.msg.Envelope
	r := &bounce.Report{Action: action, ID: a.msg.ID, Hostname: a.gen.cfg.Policy.Hostname, At: a.now(),
		Until: env.Received.Add(a.gen.cfg.Policy.MaxAge), Envelope: env, Original: a.body}
	l := a.gen.lanes[p.Upstream]
	smtp := p.Status >= 400 && l != nil && l.upstream.SMTP
	for _, rcpt := range rcpts {
		r.Fates = append(r.Fates, bounce.Fate{Recipient: rcpt, Status: p.Enhanced, Upstream: p.Upstream, Text: p.Error,
			Code: p.Status, SMTP: smtp, Last: p.LastAttempt})
	}
	return r
}

// submit accepts what compose returned and logs errors. The id is "" when no notification is due.
func (a *attempt) submit(ctx context.Context, msg []byte, err error) (id string, _ error) {
	if err == nil && msg != nil {
		id, err = a.gen.submit(context.WithoutCancel(ctx), a.msg.Envelope.From, msg)
	}
	if err != nil {
		a.gen.journal.InternalError("bounce", err)
	}
	return id, err
}

// relayed notifies senders who asked for it (NOTIFY=SUCCESS, RFC 3461 5.2.2) that the mail went where no
// further notification comes from. It is not worth a second delivery: an error is only logged.
func (a *attempt) relayed(ctx context.Context, rcpts []envelope.Recipient, p envelope.Progress) {
	if slices.ContainsFunc(rcpts, func(r envelope.Recipient) bool { return len(r.Notify) > 0 }) {
		msg, err := a.compose(bounce.Relayed, rcpts, p)
		_, _ = a.submit(ctx, msg, err)
	}
}

// warn notifies the sender when a part has waited for long, once for each time of the policy; of several that have
// passed, for the last. Where the sender got many such notifications lately, it is left to a later attempt.
func (a *attempt) warn(ctx context.Context, part *queue.Part) {
	policy, sender := &a.gen.cfg.Policy, a.msg.Envelope.From
	age := a.now().Sub(a.msg.Envelope.Received)
	due := 0
	for due < len(policy.WarnAfter) && age >= policy.WarnAfter[due] {
		due++
	}
	if due <= part.Progress.WarnedTimes() || !a.gen.delays.Until(sender).IsZero() {
		return
	}
	p := part.Progress
	if err := a.lane.gate.Refusal(); p.Error == "" && err != nil {
		p.Error = envelope.ErrorText(err)
	}
	p.Error = cmp.Or(p.Error, "it could not be offered yet")
	msg, err := a.compose(bounce.Delayed, part.To, p)
	id, err := a.submit(ctx, msg, err)
	if err != nil && !errors.Is(err, ErrRefused) {
		return
	}
	if id != "" {
		a.gen.delays.Count(sender)
	}
	part.Progress.Warned, part.Progress.Warnings = true, due
}

// Notified counts a notification that a sender got of mail which others have given up.
func (d *Deliverer) Notified(sender string) { d.bounces.Count(sender) }

// NotifyAfter returns until when a sender gets no further notification but in a digest; zero: there is room for one.
func (d *Deliverer) NotifyAfter(sender string) time.Time { return d.bounces.Until(sender) }
