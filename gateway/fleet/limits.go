package fleet

import (
	"context"
	"errors"
	"sync"
	"time"

	"mailhatch/gateway/deliver"
	"mailhatch/gateway/deliver/gate"
)

const (
	turnsTime  = 250 * time.Millisecond // so much of a rate is taken at once
	turnKept   = time.Second            // for so long a turn that was taken can be used
	askAgain   = 250 * time.Millisecond // between two questions for a place
	retryAfter = time.Second            // after the store could not be asked
)

var errTurn = errors.New("the turn that the rate allows comes too late")

// limits are those of an upstream under one config of this gateway: its own places beside what the fleet shares.
type limits struct {
	*share
	own     chan struct{} // one token for each offer under way
	domains *domains      // nil: no limit
}

// share is what this gateway has of an upstream's limits, over reloads: offers of the config before hold places too.
type share struct {
	fleet  *Fleet
	name   string
	change chan struct{} // one token: there may be a place
	asking sync.Mutex    // one question for places at a time

	mu       sync.Mutex
	rate     float64 // offers a second of all gateways; 0: no limit
	batch    int     // turns that are taken at once
	together int     // offers at once of all gateways; 0: no limit
	turns    int     // taken and not used
	turnAt   time.Time
	have     int // places
	used     int
	waiting  int
	askedAt  time.Time
}

// Limits implements deliver.Fleet.
func (f *Fleet) Limits(u *deliver.Upstream) gate.Limits {
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.shares[u.Name]
	if s == nil {
		s = &share{fleet: f, name: u.Name, change: make(chan struct{}, 1)}
		f.shares[u.Name] = s
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.rate != u.Rate {
		s.turns = 0
	}
	s.rate, s.together = u.Rate, u.Together
	s.batch = max(1, min(int(u.Rate*turnsTime.Seconds()), u.MaxConcurrent))
	l := &limits{share: s, own: make(chan struct{}, u.MaxConcurrent)}
	if u.RatePerDomain > 0 {
		l.domains = newDomains(f.cfg.Store, u)
	}
	return l
}

// Tokens implements gate.Limits. Turns are taken once there is mail for them; until then one mail may be claimed.
func (l *limits) Tokens(ctx context.Context, want int) int {
	free, ok := l.awaitPlace(ctx, want)
	if !ok {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate > 0 {
		free = min(free, max(1, l.ready()))
	}
	return free
}

// ready returns how many turns are left that can be used now. s.mu is held.
func (s *share) ready() int {
	if now := time.Now(); now.Before(s.turnAt) || now.Sub(s.turnAt) > turnKept {
		return 0
	}
	return s.turns
}

// Spend implements gate.Limits.
func (l *limits) Spend(ctx context.Context, n int) {
	for n > 0 && ctx.Err() == nil {
		wait, taken, err := l.take(ctx, n)
		if err != nil {
			wait = retryAfter // nothing may be offered that the store has not allowed
		}
		sleep(ctx, wait)
		n -= taken
	}
}

// Wait implements gate.Limits.
func (l *limits) Wait(ctx context.Context) error {
	wait, _, err := l.take(ctx, 1)
	if err != nil {
		return err
	}
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < wait {
		return errTurn
	}
	sleep(ctx, wait)
	return ctx.Err()
}

func sleep(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// take takes up to n turns, of those that were taken before or else some at once, and returns when the first is due.
func (s *share) take(ctx context.Context, n int) (wait time.Duration, taken int, err error) {
	s.mu.Lock()
	perSecond, batch, ready := s.rate, s.batch, s.ready()
	if perSecond == 0 {
		s.mu.Unlock()
		return 0, n, nil
	}
	if ready > 0 {
		taken = min(n, ready)
		s.turns -= taken
		s.mu.Unlock()
		return 0, taken, nil
	}
	s.mu.Unlock()
	batch = max(n, batch)
	wait, err = s.fleet.cfg.Store.Take(ctx, s.name, perSecond, batch)
	if err != nil {
		return 0, 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turns, s.turnAt = batch-n, time.Now().Add(wait)
	return wait, n, nil
}

// Next implements gate.Limits.
func (l *limits) Next() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.rate == 0 || time.Now().After(l.turnAt) {
		return time.Time{}
	}
	return l.turnAt
}

// Begin implements gate.Limits.
func (l *limits) Begin(ctx context.Context) error {
	select {
	case l.own <- struct{}{}:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	if err := l.occupy(ctx); err != nil {
		<-l.own
		return err
	}
	return nil
}

// occupy waits for one of the places of the fleet.
func (s *share) occupy(ctx context.Context) error {
	if _, ok := s.awaitPlace(ctx, 1); !ok {
		return context.Cause(ctx)
	}
	for {
		s.mu.Lock()
		if s.together == 0 || s.used < s.have && s.fleet.lives() {
			s.used++
			s.mu.Unlock()
			return nil
		}
		s.mu.Unlock()
		if _, ok := s.awaitPlace(ctx, 1); !ok {
			return context.Cause(ctx)
		}
	}
}

// End implements gate.Limits.
func (l *limits) End() {
	l.mu.Lock()
	l.used--
	l.mu.Unlock()
	signal(l.change)
	<-l.own
}

// awaitPlace waits until this gateway has a free place, asking for one, and returns how many there are, at most want.
func (s *share) awaitPlace(ctx context.Context, want int) (free int, ok bool) {
	s.mu.Lock()
	if s.together == 0 {
		s.mu.Unlock()
		return want, ctx.Err() == nil
	}
	s.waiting += want
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.waiting -= want
		s.mu.Unlock()
	}()
	for ctx.Err() == nil {
		s.mu.Lock()
		free := s.have - s.used
		s.mu.Unlock()
		if free > 0 && s.fleet.lives() {
			return min(want, free), true
		}
		if s.mayAsk() {
			if err := s.settle(ctx); err == nil {
				continue
			}
		}
		select {
		case <-ctx.Done():
		case <-s.change:
		case <-time.After(askAgain):
		}
	}
	return 0, false
}

// mayAsk reports whether it is time to ask the store for more places.
func (s *share) mayAsk() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.askedAt) < askAgain {
		return false
	}
	s.askedAt = time.Now()
	return true
}

// settle tells the store how many places are wanted: more, or those that others may have. Meanwhile no place is taken
// that it might give to others.
func (s *share) settle(ctx context.Context) error {
	s.asking.Lock()
	defer s.asking.Unlock()
	s.mu.Lock()
	limit, used := s.together, s.used
	want := min(used+s.waiting, limit)
	if limit == 0 || want == 0 && s.have == 0 {
		s.mu.Unlock()
		return nil
	}
	s.have = used
	s.mu.Unlock()
	have, err := s.fleet.cfg.Store.Occupy(ctx, s.name, limit, want, used)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.have = have
	s.mu.Unlock()
	signal(s.change)
	return nil
}
