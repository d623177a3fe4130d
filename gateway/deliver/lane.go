package deliver

import (
	"context"
	"sync"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const (
	leaseTime   = 20 * time.Minute
	attemptTime = 18 * time.Minute // below leaseTime: an attempt never outlives its lease
	restTime    = time.Minute      // a lease that rested longer is extended before it is used
)

// lane offers the mail of one upstream: one claimer, MaxConcurrent workers.
type lane struct {
	gen      *generation
	upstream *Upstream // Upstream.Upstream is nil in stray lanes: their mail is routed anew
	gate     *gate
	wake     chan struct{}
	jobs     chan job
}

// turn is what a part is claimed for.
type turn int

const (
	offer turn = iota
	trial      // of an upstream whose gate is probing
	sweep      // the gate is closed: only move it on or give it up
)

type job struct {
	lease queue.Lease
	at    time.Time // of the claim
	turn  turn
	done  func()
}

func newLane(g *generation, u *Upstream) *lane {
	return &lane{gen: g, upstream: u, gate: newGate(u, &g.cfg.Policy, g.rerouted, g.d.journal),
		wake: make(chan struct{}, 1), jobs: make(chan job, u.MaxConcurrent)}
}

// poke tells the lane that mail is due.
func (l *lane) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// run claims and works until ctx ends; then it gives back what it did not begin.
func (l *lane) run(ctx context.Context) {
	var workers sync.WaitGroup
	defer workers.Wait()
	defer close(l.jobs)
	for range l.upstream.MaxConcurrent {
		workers.Go(func() { l.work(ctx) })
	}
	var prober sync.WaitGroup
	defer prober.Wait()
	if l.upstream.Upstream != nil {
		prober.Go(func() { l.probe(ctx) })
	}
	for ctx.Err() == nil {
		n, t := l.allowance(ctx)
		if n > 0 {
			more, err := l.claim(ctx, n, t)
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

// allowance says how many parts may be claimed now, and what for.
func (l *lane) allowance(ctx context.Context) (n int, t turn) {
	batch := max(l.upstream.MaxConcurrent, 16)
	if l.upstream.Name == digestLane {
		batch = digestMax
	}
	switch l.gate.now() {
	case open:
		return l.gate.tokens(ctx, batch), offer
	case probing:
		return 1, trial
	}
	if l.gate.sweepDue() {
		return batch, sweep
	}
	return 0, sweep
}

// rest waits for due mail, for the gate, or a little.
func (l *lane) rest(ctx context.Context) {
	timer := time.NewTimer(dispatchEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-l.wake:
	case <-l.gate.changed:
	case <-timer.C:
	}
}

// claim takes up to n due parts to the workers and says whether to claim again at once: an offer when it
// got all it asked for, sweeps and trials until one finds nothing. Its error has been told.
func (l *lane) claim(ctx context.Context, n int, t turn) (more bool, err error) {
	leases, err := l.gen.d.queue.Claim(ctx, l.upstream.Name, n, leaseTime)
	if err != nil {
		if ctx.Err() == nil {
			l.gen.d.journal.InternalError("queue", err)
		}
		return false, err
	}
	switch {
	case t != sweep:
		l.gate.spend(len(leases))
	case len(leases) == 0:
		l.gate.swept()
	}
	at := time.Now()
	more = len(leases) == n || t != offer && len(leases) > 0
	if l.upstream.Name == digestLane {
		leases = l.digest(ctx, leases)
	}
	var wait sync.WaitGroup
	for _, lease := range leases {
		j := job{lease: lease, at: at, turn: t, done: func() {}}
		if t != offer {
			wait.Add(1)
			j.done = wait.Done
		}
		l.jobs <- j // workers empty the channel for as long as it is open
	}
	wait.Wait() // one probe at a time; a sweep goes batch by batch
	return more, nil
}

// work does jobs until the channel is closed.
func (l *lane) work(ctx context.Context) {
	for j := range l.jobs {
		l.do(ctx, j)
		j.done()
	}
}

func (l *lane) do(ctx context.Context, j job) {
	// A stop of ctx ends the claiming; a result is still written.
	write := context.WithoutCancel(ctx)
	if ctx.Err() != nil || (j.turn != sweep && l.upstream.Upstream != nil && l.gate.now() == closed) {
		if err := j.lease.Release(write); err != nil {
			l.gen.d.journal.InternalError("queue", err)
		}
		l.gate.sweepAgain()
		return
	}
	if time.Since(j.at) > restTime {
		if err := j.lease.Extend(write, leaseTime); err != nil {
			return // fenced: another has it
		}
	}
	l.attempt(write, j.lease, j.turn)
}

// unreadable puts a part off whose bytes cannot be read: it is our trouble, not the mail's, until it is
// too old.
func (l *lane) unreadable(ctx context.Context, lease queue.Lease, err error) {
	m := lease.Message()
	l.gen.d.journal.InternalError("queue", err)
	a := &attempt{lane: l, msg: m, part: m.Parts[0], start: time.Now()}
	p := a.part.Progress
	p.Attempts++
	p.Class, p.Error = "temporary", oneLine(err.Error())
	if a.tooOld() {
		a.fail(ctx, a.part.To, way{}, p)
	} else {
		next := time.Now().Add(l.gen.cfg.Policy.wait(p.Attempts))
		a.add(queue.Part{To: a.part.To, Lane: l.upstream.Name, State: envelope.Queued, NextAt: next, Progress: p})
		a.later(a.part.To, p, func(e attemptEvent) { e.Next = next; l.gen.d.journal.Deferred(e) })
	}
	a.finish(ctx, lease)
}
