package deliver

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/glob"
	"mailhatch/mime"
	"mailhatch/upstream"
)

var errSenderBlocked = errors.New("the account may not send with this From")

// NewMail copies what an upstream needs of an envelope.
func NewMail(id string, env *envelope.Envelope, from string, to []envelope.Recipient, msg *mime.Message) *upstream.Mail {
	m := &upstream.Mail{ID: id, From: from, Ret: env.Ret, EnvID: env.EnvID, EightBit: env.Body == "8BITMIME",
		UTF8: env.UTF8, Own: env.Own, Message: msg, To: make([]upstream.Recipient, len(to))}
	for i, r := range to {
		m.To[i] = upstream.Recipient{Address: r.Address, Notify: r.Notify, ORcpt: r.ORcpt}
	}
	return m
}

// fromDomain returns the domain of the first From address in lower case.
func fromDomain(m *mime.Message) string {
	if len(m.From) == 0 {
		return ""
	}
	return domainOf(m.From[0].Addr)
}

// domainOf returns the domain of an address in lower case.
func domainOf(addr string) string { return strings.ToLower(addr[strings.LastIndexByte(addr, '@')+1:]) }

// send returns the outcome of each recipient of one call. A panic of the upstream's code is an outcome of
// that mail, not the end of the program.
func send(ctx context.Context, u upstream.Upstream, m *upstream.Mail) (out []upstream.Outcome) {
	defer func() {
		if r := recover(); r != nil {
			err := &upstream.Error{Class: upstream.Uncertain, Err: fmt.Errorf("the upstream's code panicked: %v", r)}
			out = repeat(upstream.Outcome{Err: err}, len(m.To))
		}
	}()
	out = u.Send(ctx, m)
	if len(out) == 0 {
		out = []upstream.Outcome{{Err: errors.New("the upstream returned no outcome")}}
	}
	return append(out, repeat(upstream.Outcome{Err: out[0].Err}, len(m.To)-len(out))...)
}

// throttled makes Throttled what the operator knows by its words to mean that we are too fast (throttle_on),
// whatever it would mean otherwise. What may have been taken stays uncertain.
func throttled(outcomes []upstream.Outcome, patterns []string) []upstream.Outcome {
	if len(patterns) == 0 {
		return outcomes
	}
	known := map[*upstream.Error]*upstream.Error{} // recipients of one call share its error
	for i, o := range outcomes {
		e := failure(o.Err)
		if e == nil || e.Class == upstream.Uncertain || e.Class == upstream.Throttled {
			continue
		}
		text := strings.ToLower(envelope.ErrorText(e))
		if !slices.ContainsFunc(patterns, func(p string) bool { return glob.Match(strings.ToLower(p), text) }) {
			continue
		}
		if known[e] == nil {
			known[e] = &upstream.Error{Class: upstream.Throttled, Status: e.Status, Code: e.Code, RetryAfter: e.RetryAfter, Err: e.Err}
		}
		outcomes[i].Err = known[e]
	}
	return outcomes
}

func repeat(o upstream.Outcome, n int) []upstream.Outcome {
	return slices.Repeat([]upstream.Outcome{o}, max(n, 0))
}

// failure returns the classified form of an outcome's error; nil for success.
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

// worstOf returns what the gate should learn from: nil when any recipient was taken, unless an API that
// needed several calls answered a later one with 429.
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

// tracer returns whom the lane asks what became of an offer whose outcome is unknown, once its provider would not know
// a repeated one; nil: nobody.
func (l *lane) tracer(p *envelope.Progress) upstream.Tracer {
	t, ok := l.upstream.Upstream.(upstream.Tracer)
	if keyed := l.keyValidity(); !ok || !p.Uncertain || p.Upstream != l.upstream.Name || p.Changed || keyed > 0 && l.gen.cfg.Clock.Since(p.Since) < keyed {
		return nil
	}
	return t
}

const (
	traceMargin   = 2 * time.Minute // for clocks that differ: an offer is looked for from so long before it
	tracePatience = time.Hour       // after the last offer, in which a log that does not answer is asked again
	traceFirst    = 30 * time.Second
)

// noteTraced is what the operator reads of a mail whose reply was lost.
const noteTraced = "the reply was lost; the provider's log has it"

// trace asks the provider what became of an offer before there is another one. It settles who is there already, puts
// off those of whom the log may tell later, and returns those to offer.
func (a *attempt) trace(ctx context.Context, mail *upstream.Mail, to []envelope.Recipient, dests []destination) (offer []envelope.Recipient, offerDests []destination) {
	p := &a.part.Progress
	tracer := a.lane.tracer(p)
	if tracer == nil {
		return to, dests
	}
	call, cancel := context.WithTimeout(ctx, attemptTime)
	traced, err := tracer.Trace(call, mail, p.Since.Add(-traceMargin))
	cancel()
	since := a.now().Sub(p.LastAttempt)
	if err == nil && len(traced) != len(to) {
		err = errors.New("the upstream's code did not tell of each recipient")
	}
	if err != nil {
		return a.untraced(ctx, to, dests, since, err)
	}
	var there []envelope.Recipient
	var thereDests []destination
	var outcomes []upstream.Outcome
	for i, found := range traced {
		switch {
		case found.Found:
			there, thereDests = append(there, to[i]), append(thereDests, dests[i])
			outcomes = append(outcomes, upstream.Outcome{ID: found.ID, Note: noteTraced})
		case since < tracer.TraceDelay():
			a.later(to[i:i+1], *p, min(max(traceFirst, since/2), tracer.TraceDelay()-since))
		default:
			offer, offerDests = append(offer, to[i]), append(offerDests, dests[i])
		}
	}
	if len(there) > 0 {
		a.settle(ctx, there, thereDests, outcomes)
	}
	return offer, offerDests
}

// later puts recipients off without an offer, for the log may tell of them then.
func (a *attempt) later(rcpts []envelope.Recipient, p envelope.Progress, wait time.Duration) {
	a.add(a.waiting(rcpts, p, a.now().Add(wait)))
}

// untraced deals with recipients of whom the provider's log cannot be asked: again for a while where that may pass,
// else on_uncertain decides.
func (a *attempt) untraced(ctx context.Context, to []envelope.Recipient, dests []destination, since time.Duration, err error) ([]envelope.Recipient, []destination) {
	p := a.part.Progress
	e := failure(err)
	passes := e.Class == upstream.Throttled || e.Class == upstream.Temporary && (e.Status == 0 || e.Status >= 500)
	if passes && since < tracePatience || ctx.Err() != nil {
		a.later(to, p, max(traceFirst, since/2, e.RetryAfter))
		return nil, nil
	}
	policy := a.gen.cfg.Policy.OnUncertain
	if policy == "retry" || p.Released {
		return to, dests
	}
	p.Error = "nobody knows whether it was taken, and the provider's log cannot be asked: " + envelope.ErrorText(err)
	if policy == "hold" {
		a.held(to, p)
		return nil, nil
	}
	p.Passed, p.Uncertain = append(slices.Clone(p.Passed), a.upstream()), false
	for i := range to {
		a.retry(ctx, to[i:i+1], dests[i], p, 0)
	}
	return nil, nil
}
