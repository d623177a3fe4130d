package oauth

import (
	"context"
	"time"
)

const (
	loginEvery = time.Minute // between two looks for a login
	longestAsk = 15 * time.Minute
)

// Run renews the token at 80 % of its life until ctx ends, also while no mail flows: Microsoft forgets a refresh token
// that was not used for 90 days,
// https://learn.microsoft.com/en-us/entra/identity-platform/refresh-tokens#token-lifetime
func (s *Source) Run(ctx context.Context) error {
	s.keepUp(true)
	defer s.keepUp(false)
	var askAt time.Time
	failures := 0
	for {
		s.look(ctx)
		if !s.isFresh(s.get(ctx)) && !s.now().Before(askAt) {
			s.renewOnce(ctx)
		}
		wait := s.store.every() // at most: the machine may have slept, or others have changed it
		if t := s.get(ctx); s.isFresh(t) {
			failures, askAt = 0, time.Time{}
			wait = min(wait, t.renewal().Sub(s.now()))
		} else if now := s.now(); !now.Before(askAt) {
			askAt = now.Add(s.nextAsk(failures))
			failures++
			wait = min(wait, askAt.Sub(now))
		}
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.renewed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// nextAsk is how long Run waits after so many renewals that failed, ever longer. Without a login it only looks for one.
func (s *Source) nextAsk(failures int) time.Duration {
	longest := longestAsk
	if s.NeedsLogin() {
		longest = loginEvery
	}
	return min(pause<<min(failures, 10), longest)
}

func (s *Source) keepUp(kept bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.kept = kept
}

// renewOnce tries to renew the token; what came of it is in the source.
func (s *Source) renewOnce(ctx context.Context) {
	select {
	case s.busy <- struct{}{}:
		defer func() { <-s.busy }()
		_, _ = s.renew(ctx)
	case <-ctx.Done():
	}
}
