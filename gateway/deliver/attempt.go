package deliver

import (
	"context"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// attempt is the work on one leased part.
type attempt struct {
	lane  *lane
	msg   *queue.Message
	part  queue.Part // as it was leased
	body  *mime.Message
	from  string // domain of From as this upstream sees it
	start time.Time
	turn  turn

	done  []queue.Record
	parts []queue.Part
	after []func() // journal lines, written once the result is stored
}

// attempt routes the leased part anew, offers what belongs to this lane, and records the result.
func (l *lane) attempt(ctx context.Context, lease queue.Lease, t turn) {
	body, err := lease.Body()
	if err != nil {
		l.unreadable(ctx, lease, err)
		return
	}
	defer body.Close() //nolint:errcheck // read only
	msg, err := mime.Parse(body)
	if err != nil {
		l.unreadable(ctx, lease, err)
		return
	}
	m := lease.Message()
	a := &attempt{lane: l, msg: m, part: m.Parts[0], body: msg, start: time.Now(), turn: t}
	offer, ways := a.sort(ctx)
	if len(offer) > 0 {
		a.offer(ctx, offer, ways)
	}
	a.finish(ctx, lease)
}

// sort settles all recipients but those that this lane offers now, and gives these with their ways.
func (a *attempt) sort(ctx context.Context) (offer []envelope.Recipient, ways []way) {
	g := a.lane.gen
	probe := ""
	if a.turn == trial {
		probe = a.lane.upstream.Name
	}
	for _, rcpt := range a.part.To {
		p := a.part.Progress
		w := g.find(g.cfg.Route(a.msg, a.body, rcpt.Address), &p, probe)
		rcpts := []envelope.Recipient{rcpt}
		switch {
		case w.action == route.Deliver && w.upstream == "":
			a.unfit(ctx, rcpts, w, p)
		case w.action == route.Deliver && w.upstream == a.lane.upstream.Name:
			switch {
			case a.turn == sweep && a.tooOld():
				a.fail(ctx, rcpts, w, p)
			case a.turn == sweep:
				a.add(queue.Part{To: rcpts, Lane: w.upstream, State: envelope.Queued, NextAt: time.Now().Add(spread(a.lane.gate.sweep)), Progress: p})
			default:
				offer, ways = append(offer, rcpt), append(ways, w)
			}
		case w.action == route.Deliver:
			a.add(queue.Part{To: rcpts, Lane: w.upstream, State: envelope.Queued, Progress: p})
			a.later(rcpts, p, func(e attemptEvent) { g.d.journal.Failover(e, w.upstream) })
		case w.action == route.Discard:
			a.done = append(a.done, a.record(rcpt, envelope.Discarded, p))
			a.later(rcpts, p, g.d.journal.Discarded)
		case w.action == route.Hold:
			a.add(queue.Part{To: rcpts, Lane: a.part.Lane, State: envelope.Held, Progress: p})
			a.later(rcpts, p, g.d.journal.Held)
		default:
			a.refused(ctx, rcpts, w, p)
		}
	}
	for i := range a.parts { // what waits here without an offer is late all the same
		if p := &a.parts[i]; p.Lane == a.lane.upstream.Name && p.State == envelope.Queued {
			a.warn(ctx, p)
		}
	}
	return offer, ways
}

// offer sends to the recipients of this lane and settles each outcome.
func (a *attempt) offer(ctx context.Context, to []envelope.Recipient, ways []way) {
	l := a.lane
	mail, err := a.mail(to)
	if err == nil && mail == nil { // the account may not use this From yet
		a.blocked(to, ways)
		return
	}
	var outcomes []upstream.Outcome
	if err != nil {
		outcomes = []upstream.Outcome{{Err: err}}
	} else {
		call, cancel := context.WithTimeout(l.gen.attempts, attemptTime)
		outcomes = l.send(call, mail)
		cancel()
	}
	for len(outcomes) < len(to) {
		outcomes = append(outcomes, upstream.Outcome{Err: outcomes[0].Err})
	}
	took := time.Since(a.start)
	worst := worstOf(outcomes)
	l.gate.learn(a.msg.ID, worst)
	l.gate.pause(outcomes)
	l.gen.d.journal.Offered(l.upstream.Name, className(worst), took)
	a.settle(ctx, to, ways, outcomes)
}

// send makes one call when the upstream has a place for it.
func (l *lane) send(ctx context.Context, mail *upstream.Mail) []upstream.Outcome {
	if err := l.gate.begin(ctx); err != nil {
		return []upstream.Outcome{{Err: err}}
	}
	defer l.gate.end()
	return send(ctx, l.upstream.Upstream, mail)
}

// mail makes the upstream's view of the message; nil when its From is blocked at this upstream.
func (a *attempt) mail(to []envelope.Recipient) (*upstream.Mail, error) {
	l := a.lane
	msg, from := a.body, a.msg.Envelope.From
	if l.upstream.Rewrite != nil {
		newFrom, edits := l.upstream.Rewrite(from, msg)
		if len(edits) > 0 {
			edited, err := msg.With(edits...)
			if err != nil {
				return nil, err
			}
			msg = edited
		}
		from = newFrom
	}
	a.from = fromDomain(msg)
	if !l.gate.blocked(a.from).IsZero() {
		return nil, nil
	}
	return NewMail(a.msg.ID, &a.msg.Envelope, from, to, msg), nil
}

// NewMail copies what an upstream needs of an envelope.
func NewMail(id string, env *envelope.Envelope, from string, to []envelope.Recipient, msg *mime.Message) *upstream.Mail {
	m := &upstream.Mail{ID: id, From: from, Ret: env.Ret, EnvID: env.EnvID, EightBit: env.Body == "8BITMIME",
		UTF8: env.UTF8, Message: msg, To: make([]upstream.Recipient, len(to))}
	for i, r := range to {
		m.To[i] = upstream.Recipient{Address: r.Address, Notify: r.Notify, ORcpt: r.ORcpt}
	}
	return m
}

func fromDomain(m *mime.Message) string {
	if len(m.From) == 0 {
		return ""
	}
	addr := m.From[0].Addr
	return strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:])
}
