package gate

import (
	"context"
	"time"

	"golang.org/x/time/rate"
)

// Limits bound the offers to one upstream: so many in a time, and so many at once.
type Limits interface {
	// Tokens returns for how many offers mail may be claimed now, at most want, waiting for the first. 0: ctx has ended.
	Tokens(ctx context.Context, want int) int
	// Spend counts n offers for which mail was claimed. Where others count too, it waits for their turn, until ctx ends.
	Spend(ctx context.Context, n int)
	// Wait counts one offer and waits for its turn, unless that comes after the deadline of ctx.
	Wait(ctx context.Context) error
	// Begin waits for one of the places for offers at once; End gives it back.
	Begin(ctx context.Context) error
	End()
	// DomainTurn takes the next turn of the recipients of a domain and returns how long it has to wait. After an error it has none.
	DomainTurn(ctx context.Context, domain string) (wait time.Duration, err error)
	// Next returns when the rate allows the next offer; zero: now.
	Next() time.Time
}

// ownLimits are those of one process.
type ownLimits struct {
	limiter *rate.Limiter // nil: no limit
	domains *domains      // nil: no limit
	places  chan struct{} // one token for each offer under way
}

func newOwnLimits(perSecond, perDomain float64, maxConcurrent int) *ownLimits {
	l := &ownLimits{places: make(chan struct{}, maxConcurrent)}
	if perDomain > 0 {
		l.domains = newDomains(perDomain)
	}
	if perSecond > 0 {
		l.limiter = rate.NewLimiter(rate.Limit(perSecond), max(1, min(int(perSecond), maxConcurrent)))
	}
	return l
}

func (l *ownLimits) Tokens(ctx context.Context, want int) int {
	if l.limiter == nil {
		return want
	}
	// One claim at a time: a token spent on an empty queue would be lost.
	for l.limiter.Tokens() < 1 {
		wait := time.Duration((1 - l.limiter.Tokens()) / float64(l.limiter.Limit()) * float64(time.Second))
		select {
		case <-ctx.Done():
			return 0
		case <-time.After(max(wait, time.Millisecond)):
		}
	}
	return 1
}

func (l *ownLimits) Spend(_ context.Context, n int) {
	if l.limiter != nil {
		l.limiter.ReserveN(time.Now(), n) // direct mail may have been quicker: then later offers wait longer
	}
}

func (l *ownLimits) Wait(ctx context.Context) error {
	if l.limiter == nil {
		return nil
	}
	return l.limiter.Wait(ctx)
}

func (l *ownLimits) DomainTurn(_ context.Context, domain string) (time.Duration, error) {
	if l.domains == nil {
		return 0, nil
	}
	return l.domains.take(domain, time.Now()), nil
}

func (l *ownLimits) Begin(ctx context.Context) error {
	select {
	case l.places <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (l *ownLimits) End() { <-l.places }

func (l *ownLimits) Next() time.Time {
	if l.limiter == nil {
		return time.Time{}
	}
	lack := 1 - l.limiter.Tokens()
	if lack <= 0 {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(lack / float64(l.limiter.Limit()) * float64(time.Second)))
}
