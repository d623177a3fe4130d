package accept

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/gateway/suppression"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// parts sorts recipients by where they go. When none can be taken the refusal is a *envelope.Reply; when
// some cannot, they are taken all the same and bounced.
func (a *Acceptor) parts(ctx context.Context, in *incoming) (parts []queue.Part, refusal error) {
	asked, refused := len(in.ended), 0 // of the recipients that the client named
	for i := range in.ended {
		if e := &in.ended[i]; e.State == envelope.Failed {
			refused++
			refusal = e.Reply()
		}
	}
	ri := route.NewInput(in.id, &in.env, in.msg, in.size)
	in.decisions = make([]route.Decision, len(in.env.To))
	for i, rcpt := range in.env.To {
		ri.To = rcpt.Address
		in.decisions[i] = in.cfg.Routes.Decide(ri)
	}
	suppressed := a.suppressed(ctx, in)
	for i, rcpt := range in.env.To {
		d := in.decisions[i]
		in.cfg.Routes.Accepted(&d)
		part := queue.Part{State: envelope.Queued, To: []envelope.Recipient{rcpt}}
		var err error
		gone := suppressed[rcpt.Address]
		switch {
		case gone != nil:
			err = gone // delivery finds it on the list as well
		case d.Action == route.Reject:
			err = &d.Reply
		case d.Action == route.Hold:
			part.State, part.Progress.Hold = envelope.Held, &envelope.Hold{Rule: d.Name}
		case d.Action == route.Deliver:
			part.Lane, part.Progress.Unfit, err = a.lane(in, d.Via)
		}
		if !in.copies[mime.AddressKey(rcpt.Address)] {
			asked++
			if err != nil {
				refused++
				refusal = err
			}
		}
		i := slices.IndexFunc(parts, func(p queue.Part) bool {
			return p.Lane == part.Lane && p.State == part.State && reflect.DeepEqual(p.Progress, part.Progress)
		})
		if i < 0 {
			parts = append(parts, part)
			continue
		}
		parts[i].To = append(parts[i].To, rcpt)
	}
	if refused == asked {
		return parts, refusal
	}
	return parts, nil
}

// suppressed returns the replies to recipients that get no mail though a route takes it.
func (a *Acceptor) suppressed(ctx context.Context, in *incoming) map[string]*envelope.Reply {
	var to []string
	for i, d := range in.decisions {
		if (d.Action == route.Deliver || d.Action == route.Hold) && !d.Regardless {
			to = append(to, in.env.To[i].Address)
		}
	}
	return a.refusals(ctx, in.env.From, to...)
}

// refusals asks the list of suppressed addresses. Where it cannot be read, delivery will ask again.
func (a *Acceptor) refusals(ctx context.Context, from string, to ...string) map[string]*envelope.Reply {
	replies, err := suppression.Refusals(ctx, a.Suppressed, from, to...)
	if err != nil && ctx.Err() == nil {
		a.Journal.InternalError("queue", err)
	}
	return replies
}

// lane returns the upstream that should have the message: the first of via that can carry it and is
// not closed; unfit lists those that cannot. When none can carry it, the reason is the reply.
func (a *Acceptor) lane(in *incoming, via []string) (name string, unfit []string, err error) {
	fit := make([]string, 0, len(via))
	var reason error
	for _, name := range via {
		u := in.cfg.Upstream(name)
		if u == nil {
			continue
		}
		if p, ok := u.Upstream.(upstream.Preflighter); ok {
			if err := in.preflight(u, p); err != nil {
				reason = err
				unfit = append(unfit, name)
				continue
			}
		}
		fit = append(fit, name)
	}
	if len(fit) == 0 {
		return "", nil, reason
	}
	return a.Deliverer.Choose(fit), unfit, nil
}

// preflight asks an upstream once for all recipients that routes name it for: to look at the message takes as
// long as to send it, and what is refused is refused for them all (see upstream.Preflighter).
func (in *incoming) preflight(u *config.Upstream, p upstream.Preflighter) error {
	refusal, known := in.refusals[u.Name]
	if known {
		return refusal
	}
	var to []envelope.Recipient
	for i, d := range in.decisions {
		if d.Action == route.Deliver && slices.Contains(d.Via, u.Name) {
			to = append(to, in.env.To[i])
		}
	}
	refusal = in.judge(u, p, to)
	if in.refusals == nil {
		in.refusals = map[string]error{}
	}
	in.refusals[u.Name] = refusal
	return refusal
}

// judge returns the reply for a message that the upstream cannot carry.
func (in *incoming) judge(u *config.Upstream, p upstream.Preflighter, to []envelope.Recipient) error {
	if e := preflight(u, p, in.id, &in.env, in.msg, to); e != nil {
		return preflightReply(e)
	}
	return nil
}

// Unfit returns why an upstream cannot carry a message to these recipients, nil where it can or nobody knows. Delivery
// goes on to the next of the route then.
func Unfit(u *config.Upstream, id string, env *envelope.Envelope, msg *mime.Message, to []envelope.Recipient) error {
	if p, ok := u.Upstream.(upstream.Preflighter); ok {
		if e := preflight(u, p, id, env, msg, to); e != nil {
			return e.Err
		}
	}
	return nil
}

// preflight returns why an upstream cannot carry a message, its rewrite_from applied; any other failure is left to
// delivery.
func preflight(u *config.Upstream, p upstream.Preflighter, id string, env *envelope.Envelope, msg *mime.Message, to []envelope.Recipient) *upstream.Error {
	from, edits := u.Departure(id, env, msg)
	if len(edits) > 0 {
		edited, err := msg.With(edits...)
		if err != nil {
			return nil // the store fails, not the message
		}
		msg = edited
	}
	err := p.Preflight(offer.NewMail(id, env, from, to, msg))
	var e *upstream.Error
	if errors.As(err, &e) && (e.Class == upstream.Unrepresentable || e.Class == upstream.Permanent) {
		return e
	}
	return nil
}

func preflightReply(e *upstream.Error) error {
	r := &envelope.Reply{Code: 554, Enhanced: [3]int{5, 6, 1}, Text: fmt.Sprint(e.Err)}
	if c, ok := envelope.ParseStatus(e.Code); ok && c[0] == 5 {
		r.Enhanced = c
	}
	if r.Enhanced == [3]int{5, 3, 4} {
		r.Code = 552
	}
	return r
}
