package gate

import (
	"context"
	"sync"

	"mailhatch/gateway/queue"
)

// Board is where it is kept which upstreams operators have paused; it is part of a queue.Operator.
type Board interface {
	Pause(ctx context.Context, upstream, by string) error
	Resume(ctx context.Context, upstream string) error
	Paused(ctx context.Context) (map[string]queue.Pause, error)
}

// Pauses makes gates follow a board. Gates come and go with the config; the zero value follows no board.
type Pauses struct {
	Board Board

	mu     sync.Mutex
	paused map[string]queue.Pause // as the board had it last
}

// elsewhere is who has paused or resumed an upstream where the board alone shows that.
const elsewhere = "another gateway"

// Of returns the pause of an upstream as it was known last; nil: it is not paused.
func (p *Pauses) Of(upstream string) *Pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.of(upstream)
}

func (p *Pauses) of(upstream string) *Pause {
	if q, ok := p.paused[upstream]; ok {
		return &Pause{By: q.By, At: q.At}
	}
	return nil
}

// Follow makes gates follow what the board has now.
func (p *Pauses) Follow(ctx context.Context, gates []*Gate) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.follow(ctx, gates, elsewhere)
}

// Pause has an upstream offered nothing until somebody resumes it. Its gate is among gates if the config has it.
func (p *Pauses) Pause(ctx context.Context, upstream, by string, gates []*Gate) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.Board.Pause(ctx, upstream, by); err != nil {
		return err
	}
	return p.follow(ctx, gates, by)
}

// Resume ends the pause of an upstream, if there is one.
func (p *Pauses) Resume(ctx context.Context, upstream, by string, gates []*Gate) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.Board.Resume(ctx, upstream); err != nil {
		return err
	}
	return p.follow(ctx, gates, by)
}

// follow reads the board. p.mu is held.
func (p *Pauses) follow(ctx context.Context, gates []*Gate, by string) error {
	if p.Board == nil {
		return nil
	}
	paused, err := p.Board.Paused(ctx)
	if err != nil {
		return err
	}
	p.paused = paused
	for _, g := range gates {
		if pause := p.of(g.settings.Name); pause != nil {
			g.Pause(*pause)
		} else {
			g.Resume(by)
		}
	}
	return nil
}
