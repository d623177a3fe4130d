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

type job struct {
	lease queue.Lease
	at    time.Time // of the claim
	sweep bool      // the gate is closed: only move it on
	done  func()
}

func newLane(g *generation, u *Upstream) *lane {
	return &lane{gen: g, upstream: u, gate: newGate(u, g.cfg.Policy.Retry, g.rerouted, g.d.journal),
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
		if n, sweep := l.allowance(ctx); n == 0 || !l.claim(ctx, n, sweep) {
			l.rest(ctx)
		}
	}
}

// allowance says how many parts may be claimed now, and whether only to move them to other upstreams.
func (l *lane) allowance(ctx context.Context) (n int, sweep bool) {
	batch := max(l.upstream.MaxConcurrent, 16)
	switch l.gate.now() {
	case open:
		return l.gate.tokens(ctx, batch), false
	case probing:
		return 1, false
	}
	if l.gate.sweepDue() {
		return batch, true
	}
	return 0, false
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

// claim takes up to n due parts to the workers and says whether there were any.
func (l *lane) claim(ctx context.Context, n int, sweep bool) bool {
	leases, err := l.gen.d.queue.Claim(ctx, l.upstream.Name, n, leaseTime)
	if err != nil {
		if ctx.Err() == nil {
			l.gen.d.journal.Trouble("queue", err)
		}
		return false
	}
	if sweep && len(leases) == 0 {
		l.gate.swept()
	}
	if !sweep {
		l.gate.spend(len(leases))
	}
	at := time.Now()
	probe := !sweep && len(leases) == 1 && l.gate.now() == probing
	var wait sync.WaitGroup
	for _, lease := range leases {
		j := job{lease: lease, at: at, sweep: sweep, done: func() {}}
		if probe || sweep {
			wait.Add(1)
			j.done = wait.Done
		}
		l.jobs <- j // workers empty the channel for as long as it is open
	}
	wait.Wait() // one probe at a time; a sweep goes batch by batch
	return len(leases) > 0
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
	if ctx.Err() != nil || (!j.sweep && l.upstream.Upstream != nil && l.gate.now() == closed) {
		if err := j.lease.Release(write); err != nil {
			l.gen.d.journal.Trouble("queue", err)
		}
		return
	}
	if time.Since(j.at) > restTime {
		if err := j.lease.Extend(write, leaseTime); err != nil {
			return // fenced: another has it
		}
	}
	l.attempt(write, j.lease, j.sweep)
}

// unreadable puts a part off whose bytes cannot be read: it is our trouble, not the mail's.
func (l *lane) unreadable(ctx context.Context, lease queue.Lease, err error) {
	m := lease.Message()
	l.gen.d.journal.Trouble("queue", err)
	part := m.Parts[0]
	part.Progress.Error, part.Progress.Class = err.Error(), "temporary"
	part.NextAt = time.Now().Add(l.gen.cfg.Policy.wait(part.Progress.Attempts))
	part.State = envelope.Queued
	if err := lease.Finish(ctx, queue.Result{Parts: []queue.Part{part}}); err != nil {
		l.gen.d.journal.Trouble("queue", err)
	}
}
