package feedback

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"mailhatch/gateway/deliver/schedule"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
)

const (
	firstMost  = 2 * time.Second  // until the first poll
	failMost   = time.Hour        // between two polls of which none succeeds
	scopeLeast = 10 * time.Minute // after the key was found to lack a right
	busyMost   = 10               // polls that give way to mail, one after the other
	pollTime   = 2 * time.Minute  // for one page
	pagesMost  = 1000             // of one poll; the rest comes with the next
)

// poller asks the log of one provider, again and again.
type poller struct {
	*Follower
	source Source
	how    upstream.Listening
	keep   time.Duration

	failures int
	busy     int
}

// run polls until ctx ends. The first poll comes soon, but not of all upstreams at once.
func (p *poller) run(ctx context.Context) {
	wait := time.Duration(rand.Float64() * float64(min(p.how.Every, firstMost)))
	for {
		p.planned(p.source.Name, p.Clock.Now().Add(wait))
		if !rest(ctx, wait, nil) {
			return
		}
		wait = p.once(ctx)
	}
}

// once polls, if there is what to ask for, and returns when to do it again.
func (p *poller) once(ctx context.Context) time.Duration {
	every := schedule.Spread(p.how.Every)
	oldest, err := p.Store.Awaited(ctx, p.source.Name, p.Clock.Now().Add(-p.keep))
	if err == nil && oldest.IsZero() {
		oldest, err = p.uncertain(ctx)
	}
	if err != nil {
		if ctx.Err() == nil {
			p.Journal.InternalError("feedback", err)
		}
		return every
	}
	if oldest.IsZero() {
		p.idle(p.source.Name)
		return every
	}
	if !p.alone(ctx, "poll "+p.source.Name, 2*p.how.Every+pollTime) {
		return every
	}
	if p.Busy != nil && p.busy < busyMost && p.Busy(p.source.Name) {
		p.busy++
		return every / 4
	}
	p.busy = 0
	err = p.pages(ctx, oldest)
	if ctx.Err() != nil {
		return every
	}
	p.Journal.Polled(p.source.Name, err)
	if err == nil {
		p.failures = 0
		if since, was := p.succeeded(p.source.Name); was {
			p.Journal.EventsBack(p.source.Name, time.Since(since))
		}
		return every
	}
	p.failures++
	wait := p.pause(err)
	next := p.Clock.Now().Add(wait)
	if p.failed(p.source.Name, err) { // each trouble is told once
		p.Journal.EventsFailed(p.source.Name, err, next)
	}
	return wait
}

// uncertainLook is how many messages of an upstream are looked at for one whose outcome is not known.
const uncertainLook = 1000

// uncertain returns when the oldest mail was offered of which only the provider knows whether it took it, as far back as
// what it tells is kept for that; zero: there is none.
func (p *poller) uncertain(ctx context.Context) (oldest time.Time, err error) {
	since := p.Clock.Now().Add(-queue.JoinTime)
	for _, state := range []envelope.State{envelope.Queued, envelope.Held} {
		list, err := p.Store.List(ctx, queue.Filter{Lane: p.source.Name, State: state}, queue.Page{Limit: uncertainLook})
		if err != nil {
			return time.Time{}, err
		}
		for i := range list {
			for _, part := range list[i].Parts {
				at := part.Progress.Since
				if part.Progress.Uncertain && part.Progress.Upstream == p.source.Name && part.Progress.LastAttempt.After(since) && (oldest.IsZero() || at.Before(oldest)) {
					oldest = at
				}
			}
		}
	}
	return oldest, nil
}

// pause is how long to wait after a failure: ever longer, as long as the provider asks for, and long where only an
// operator can help.
func (p *poller) pause(err error) time.Duration {
	wait := schedule.Spread(min(p.how.Every<<min(p.failures, 16), max(failMost, p.how.Every)))
	var scope *upstream.ScopeError
	if errors.As(err, &scope) {
		wait = max(wait, scopeLeast)
	}
	var e *upstream.Error
	if errors.As(err, &e) {
		wait = max(wait, e.RetryAfter)
	}
	return wait
}

// pages reads what is new, page by page.
func (p *poller) pages(ctx context.Context, oldest time.Time) error {
	cursor, err := p.Store.Cursor(ctx, p.source.Name)
	if err != nil {
		return err
	}
	for n := 1; ; n++ {
		b, err := p.page(ctx, upstream.Ask{Since: upstream.Cursor(cursor), Oldest: oldest})
		if err != nil {
			return err
		}
		if _, err := p.take(ctx, p.source.Name, &b); err != nil {
			return fmt.Errorf("what the provider told was not kept: %w", err)
		}
		if !b.More || n == pagesMost || string(b.Next) == cursor {
			return nil
		}
		cursor = string(b.Next)
		if !rest(ctx, p.how.Pace, nil) {
			return ctx.Err()
		}
	}
}

func (p *poller) page(ctx context.Context, ask upstream.Ask) (b upstream.Batch, err error) {
	ctx, cancel := context.WithTimeout(ctx, pollTime)
	defer cancel()
	return p.source.Feedback.Poll(ctx, ask)
}

// told returns an event as the store has it.
func told(e *upstream.Event, now time.Time) queue.Told {
	at := e.At
	if at.IsZero() || at.After(now) {
		at = now
	}
	return queue.Told{ID: e.QueueID, ProviderID: e.ProviderID, Recipient: e.Recipient, Kind: queue.EventKind(e.Kind.String()), At: at,
		Words: e.Words, Status: e.Status, RemoteMTA: e.RemoteMTA, Key: e.Key, Unsigned: e.Unsigned}
}
