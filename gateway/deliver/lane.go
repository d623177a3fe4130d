package deliver

import (
	"context"
	"errors"
	"sync"
	"time"

	"mailhatch/gateway/bounce"
	"mailhatch/gateway/budget"
	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

const (
	claimLeast = 16 // parts that are claimed at once, and more where MaxConcurrent is more
	// laneRest bounds how long a lane can stay unaware of due mail when a signal was missed.
	laneRest = 5 * time.Second
	// probeEvery is how often it is looked whether a gate that is not open may be tried.
	probeEvery = 250 * time.Millisecond
)

// run claims and works until ctx ends; then it gives back what it did not begin. The end of attempts cuts
// offers off that are under way.
func (l *lane) run(ctx, attempts context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(l.jobs)
	for range l.upstream.MaxConcurrent {
		workers.Go(func() {
			for j := range l.jobs {
				l.do(ctx, attempts, j)
				j.done()
			}
		})
	}
	var prober sync.WaitGroup
	defer prober.Wait()
	if l.upstream.Upstream != nil {
		prober.Go(func() { l.probe(ctx) })
	}
	for ctx.Err() == nil {
		n, purpose := l.allowance(ctx)
		if n > 0 {
			more, err := l.claim(ctx, attempts, n, purpose)
			if more {
				continue
			}
			if err == nil {
				// What came or fell due after this claim is seen by a look that begins after it, and the
				// poke of that look is kept for rest: no mail is forgotten.
				l.gen.recheck()
			}
		}
		l.rest(ctx)
	}
}

// allowance returns how many parts may be claimed now, and what for.
func (l *lane) allowance(ctx context.Context) (n int, p purpose) {
	if l.gen.unrecorded.Load() > 0 {
		return 0, toOffer
	}
	batch := max(l.upstream.MaxConcurrent, claimLeast)
	if l.upstream.Name == digestLane {
		batch = bounce.MaxDigest
	}
	switch l.gate.State() {
	case gate.Open:
		return l.gate.Tokens(ctx, batch), toOffer
	case gate.Probing:
		return 1, toProbe
	}
	if l.gate.SweepDue() {
		return batch, toSweep
	}
	return 0, toSweep
}

// rest waits for due mail, for the gate, or, where that is not open or results cannot be stored, a little. A lane without an
// upstream waits to be woken: another gateway may have begun to serve it.
func (l *lane) rest(ctx context.Context) {
	var enough <-chan time.Time
	if l.upstream.Upstream != nil && (l.gate.State() != gate.Open || l.gen.unrecorded.Load() > 0) {
		timer := time.NewTimer(laneRest)
		defer timer.Stop()
		enough = timer.C
	}
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-l.gate.Changed():
	case <-enough:
	}
}

// claim takes up to n due parts to the workers and reports whether to claim again at once: an offer when it
// got all it asked for, sweeps and probes until one finds nothing. Its error has been logged.
func (l *lane) claim(ctx, attempts context.Context, n int, p purpose) (more bool, err error) {
	leases, err := l.gen.queue.Claim(ctx, l.upstream.Name, n, leaseTime)
	if err != nil {
		if ctx.Err() == nil {
			l.gen.journal.InternalError("queue", err)
		}
		return false, err
	}
	switch {
	case p != toSweep:
		l.gate.Spend(ctx, len(leases))
	case len(leases) == 0:
		l.gate.Swept()
	}
	more = len(leases) == n || p != toOffer && len(leases) > 0
	if l.upstream.Name == digestLane {
		leases = l.digest(attempts, leases)
	}
	var wait sync.WaitGroup
	for _, lease := range leases {
		j := job{lease: lease, purpose: p, done: func() {}}
		if p != toOffer {
			wait.Add(1)
			j.done = wait.Done
		}
		l.jobs <- j // workers empty the channel for as long as it is open
	}
	wait.Wait() // one probe at a time; a sweep goes batch by batch
	return more, nil
}

// do works on one part, unless claiming has ended, or the gate has closed or the store begun to fail meanwhile.
func (l *lane) do(ctx, attempts context.Context, j job) {
	write := context.WithoutCancel(ctx)
	release := l.acquire(ctx, j.lease)
	defer release()
	if ctx.Err() != nil || l.gen.unrecorded.Load() > 0 || (j.purpose != toSweep && l.upstream.Upstream != nil && l.gate.State() == gate.Closed) {
		if err := j.lease.Release(write); err != nil {
			l.gen.journal.InternalError("queue", err)
		}
		l.gate.SweepAgain()
		return
	}
	if !l.renew(ctx, j.lease) {
		return
	}
	l.attempt(attempts, j.lease, j.purpose)
}

// renew makes sure, as late as it can be, that nobody else has a lease that waited for its worker: the machine may have
// slept, or the store been out of reach. Engines know most leases as good without a look at their files or database.
func (l *lane) renew(ctx context.Context, lease queue.Lease) (held bool) {
	extend := func(ctx context.Context) error { return lease.Extend(ctx, leaseTime) }
	err := extend(context.WithoutCancel(ctx))
	return err == nil || !isFinal(err) && l.persist(ctx, lease, extend)
}

// acquire waits, until ctx ends, for memory to take the message apart.
func (l *lane) acquire(ctx context.Context, lease queue.Lease) (release func()) {
	none := func() {}
	size := lease.Message().Size
	if budget.IsLight(size) {
		return none
	}
	body, err := lease.Body()
	if err != nil {
		return none // the attempt finds out
	}
	header, err := mime.HeaderSize(body)
	_ = body.Close()
	if err != nil {
		return none
	}
	if release, err = l.gen.memory.Acquire(ctx, l.gen.memory.Weight(size, header)); err != nil {
		return none
	}
	return release
}

// probe watches the gate of a lane: when its pause is over, it is tried again; when it opens, the
// whole backlog is due at once.
func (l *lane) probe(ctx context.Context) {
	was := gate.Open
	for {
		var again <-chan time.Time // while it is open, nothing but a turn is worth a look
		if l.gate.State() != gate.Open {
			again = time.After(probeEvery)
		}
		select {
		case <-ctx.Done():
			return
		case <-l.gate.Turned():
		case <-again:
		}
		now := l.gate.State()
		switch {
		case now == gate.Closed && l.gate.ProbeDue() && (l.gate.Reason() == gate.Quota || l.gate.MayProbe(ctx)):
			if l.gate.Reason() == gate.Quota {
				l.recount(ctx)
			} else if l.isReachable(ctx) {
				l.hasten(ctx)
				l.gate.TryProbe()
			}
		case now == gate.Open && was != gate.Open:
			l.hasten(ctx)
		case now == gate.Closed && was == gate.Open && l.upstream.Failover:
			l.hasten(ctx) // what was put off before it closed can go to another upstream
			l.gate.SweepAgain()
		}
		was = now
	}
}

// isReachable tries an upstream that was out of reach without spending a mail on it.
func (l *lane) isReachable(ctx context.Context) bool {
	checker, ok := l.upstream.Upstream.(upstream.Checker)
	if !ok || l.gate.Reason() != gate.Unreachable {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, gate.ProbeMax)
	defer cancel()
	began := time.Now()
	err := checker.Check(ctx)
	if e, ok := errors.AsType[*upstream.Error](err); err != nil && (ctx.Err() != nil || ok && e.Connect) {
		l.gate.Postpone(began, err)
		return false
	}
	return true // it answers; what it makes of mail, a mail will show
}

// hasten makes all mail of the lane due now.
func (l *lane) hasten(ctx context.Context) {
	l.gen.hasten(ctx, l.upstream.Name, time.Time{})
	l.poke()
}
