package deliver

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Waits between two tries to write to a store that fails.
const (
	writeFirst = 100 * time.Millisecond
	writeMax   = 5 * time.Second
)

// attempt is the work on one leased part, and its result.
type attempt struct {
	gen     *generation
	lane    *lane
	msg     *queue.Message
	leased  []envelope.Recipient
	part    queue.Part    // as it was leased, or with those who stand for its recipients now
	body    *mime.Message // nil when it cannot be read
	from    string        // the From that this upstream sees
	start   time.Time     // to measure from
	began   time.Time     // the time of day
	purpose purpose
	fresh   map[string]bool // recipients of an interrupted offer to whom it was not made: they wait for another

	done    []queue.Record
	parts   []queue.Part
	instead []envelope.Recipient
	quota   queue.Settlement
	events  []queue.Event
	after   []func() // journal lines, written once the result is stored
}

func newAttempt(l *lane, m *queue.Message, part queue.Part, body *mime.Message) *attempt {
	a := &attempt{gen: l.gen, lane: l, msg: m, leased: part.To, part: part, body: body, start: time.Now(), began: l.gen.cfg.Clock.Now()}
	a.part.Interrupted = false
	if part.Interrupted && part.Lane != "" && part.Lane != digestLane {
		a.part.Progress = a.progress(a.now(), upstream.Outcome{Err: errInterrupted})
		if !a.part.NextAt.IsZero() && a.part.NextAt.Before(a.part.Progress.Since) {
			a.part.Progress.Since = a.part.NextAt // the offer came after that: keys count from there
		}
	}
	return a
}

var errInterrupted = &upstream.Error{Class: upstream.Uncertain, Err: errors.New("mailhatch ended while an offer may have been under way")}

// now returns the time of day.
func (a *attempt) now() time.Time { return a.gen.cfg.Clock.Now() }

// upstream returns the name of the upstream that the lane is for.
func (a *attempt) upstream() string { return a.lane.upstream.Name }

// add puts recipients into the result. Those that wait for the same thing stay together: their next
// offer is one call with one key.
func (a *attempt) add(p queue.Part) {
	for i := range a.parts {
		q := &a.parts[i]
		if q.Lane == p.Lane && q.State == p.State && q.Progress.Error == p.Progress.Error && !a.staysAlone(&p) && reflect.DeepEqual(q.Progress, p.Progress) {
			q.To = append(q.To, p.To...)
			return
		}
	}
	p.To = slices.Clone(p.To)
	a.parts = append(a.parts, p)
}

// staysAlone reports whether a part is a call of an API of its own: with more recipients its key would be
// another.
func (a *attempt) staysAlone(p *queue.Part) bool {
	return p.Progress.Uncertain && p.Lane == a.upstream() && a.purpose != toSweep && a.lane.keyValidity() > 0
}

// log keeps a journal line until the result is stored.
func (a *attempt) log(rcpts []envelope.Recipient, p envelope.Progress, write func(journal.Attempt)) {
	name := a.upstream()
	if name == digestLane {
		name = p.Upstream
	}
	e := journal.Attempt{ID: a.msg.ID, MessageID: a.msg.Header.MessageID, From: a.msg.Envelope.From, To: addresses(rcpts),
		Upstream: name, Attempts: p.Attempts, Took: time.Since(a.start), Age: a.now().Sub(a.msg.Envelope.Received),
		Class: p.Class, Status: p.Status, Error: p.Error, Canary: a.msg.Envelope.Client.Listener == envelope.CanaryListener}
	a.after = append(a.after, func() { write(e) })
}

func addresses(rcpts []envelope.Recipient) []string {
	list := make([]string, len(rcpts))
	for i, r := range rcpts {
		list[i] = r.Address
	}
	return list
}

// event puts what happened to recipients into the result, beside what e says already.
func (a *attempt) event(rcpts []envelope.Recipient, p envelope.Progress, e queue.Event) {
	e.At, e.Upstream, e.Words, e.Attempts = a.now(), a.upstream(), p.Error, p.Attempts
	if e.Upstream == digestLane {
		e.Upstream = p.Upstream
	}
	if len(rcpts) < len(a.msg.Envelope.To) {
		e.To = addresses(rcpts)
	}
	a.events = append(a.events, e)
}

// record ends the delivery of recipients.
func (a *attempt) record(rcpts []envelope.Recipient, s envelope.State, p envelope.Progress, providerID string) {
	for _, r := range rcpts {
		a.done = append(a.done, queue.Record{Recipient: r, State: s, At: a.now(), Upstream: p.Upstream, Error: p.Error,
			Attempts: p.Attempts, ProviderID: providerID})
	}
}

// sent records recipients that the upstream took.
func (a *attempt) sent(rcpts []envelope.Recipient, p envelope.Progress, o upstream.Outcome) {
	a.record(rcpts, envelope.Sent, p, o.ID)
	a.log(rcpts, p, func(e journal.Attempt) { e.ProviderID, e.Note = o.ID, o.Note; a.gen.journal.Sent(e) })
}

// waiting returns recipients as a part that is queued in this lane.
func (a *attempt) waiting(rcpts []envelope.Recipient, p envelope.Progress, next time.Time) queue.Part {
	return queue.Part{To: rcpts, Lane: a.upstream(), State: envelope.Queued, NextAt: next, Progress: p}
}

// deferred leaves a part queued and reports it.
func (a *attempt) deferred(part queue.Part) {
	a.add(part)
	kind := queue.EventDeferred
	if part.Progress.Uncertain {
		kind = queue.EventUncertain
	}
	a.event(part.To, part.Progress, queue.Event{Kind: kind, Next: part.NextAt})
	a.log(part.To, part.Progress, func(e journal.Attempt) { e.Next = part.NextAt; a.gen.journal.Deferred(e) })
}

// failover puts recipients into the lane of another upstream, due at once.
func (a *attempt) failover(rcpts []envelope.Recipient, p envelope.Progress, next string) {
	a.add(queue.Part{To: rcpts, Lane: next, State: envelope.Queued, Progress: p})
	a.passedOn(rcpts, p, next)
}

// reroute does it where this upstream is not asked at all. An error of one that was asked before is not told as this one's.
func (a *attempt) reroute(rcpts []envelope.Recipient, p envelope.Progress, next string) {
	a.add(queue.Part{To: rcpts, Lane: next, State: envelope.Queued, Progress: p})
	if p.Upstream != a.upstream() {
		p.Class, p.Status, p.Error = "", 0, ""
	}
	a.passedOn(rcpts, p, next)
}

// passedOn reports that recipients go to another upstream.
func (a *attempt) passedOn(rcpts []envelope.Recipient, p envelope.Progress, next string) {
	a.event(rcpts, p, queue.Event{Kind: queue.EventFailover, Lane: next})
	a.log(rcpts, p, func(e journal.Attempt) { a.gen.journal.Failover(e, next) })
}

// held leaves recipients to an operator.
func (a *attempt) held(rcpts []envelope.Recipient, p envelope.Progress) {
	a.add(queue.Part{To: rcpts, Lane: a.upstream(), State: envelope.Held, Progress: p})
	e := queue.Event{Kind: queue.EventHeld}
	if p.Hold != nil {
		e.Rule = p.Hold.Rule
	}
	a.event(rcpts, p, e)
	a.log(rcpts, p, a.gen.journal.Held)
}

// finish stores the result and writes the journal. What was sent must be known before it could be sent
// again: the store is asked until it takes the result or ctx ends, and meanwhile no lane offers anything new.
func (a *attempt) finish(ctx context.Context, lease queue.Lease) {
	r := queue.Result{Done: a.done, Parts: a.parts, Instead: a.instead, Quota: a.quota, Events: a.events}
	if err := r.Check(&a.part); err != nil { // a fault of the program, which no repetition cures
		a.gen.journal.InternalError("queue", err)
		r, a.after = a.unsettled(err), nil
	}
	if a.lane.persist(ctx, lease, func(ctx context.Context) error { return lease.Finish(ctx, r) }) {
		a.writeJournal()
		if len(r.Quota.Back) > 0 {
			a.lane.recount(ctx)
		}
	}
}

// unsettled is the result of a part of which nobody knows what became of it: a person has to look.
func (a *attempt) unsettled(err error) queue.Result {
	p := a.part.Progress
	p.Uncertain, p.Upstream, p.Class, p.Error = true, a.upstream(), upstream.Uncertain.String(), envelope.ErrorText(err)
	return queue.Result{Parts: []queue.Part{{To: a.leased, Lane: a.part.Lane, State: envelope.Held, Progress: p}}}
}

// persist makes a write of the lease until it is stored, which it reports, or cannot be any more.
func (l *lane) persist(ctx context.Context, lease queue.Lease, write func(context.Context) error) (stored bool) {
	durable := context.WithoutCancel(ctx)
	failing := false
	defer func() {
		if failing && l.gen.unrecorded.Add(-1) == 0 {
			l.gen.pokeAll()
		}
	}()
	for wait := writeFirst; ; wait = min(2*wait, writeMax) {
		err := write(durable)
		if err == nil {
			return true
		}
		l.gen.journal.InternalError("queue", err)
		if isFinal(err) {
			return false
		}
		if !failing {
			failing = true
			l.gen.unrecorded.Add(1)
		}
		select {
		case <-ctx.Done(): // the drain is over
			return false
		case <-time.After(wait):
		}
		if err := lease.Extend(durable, leaseTime); isFinal(err) {
			return false
		}
	}
}

func (a *attempt) writeJournal() {
	for _, write := range a.after {
		write()
	}
}

// isFinal reports whether no repetition can cure an error of the store.
func isFinal(err error) bool {
	return errors.Is(err, queue.ErrFenced) || errors.Is(err, queue.ErrBroken) || errors.Is(err, queue.ErrClosed)
}
