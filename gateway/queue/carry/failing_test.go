package carry

import (
	"context"
	"errors"
	"slices"
	"testing"

	"mailhatch/gateway/queue"
)

var errFails = errors.New("it fails")

// failing counts the calls of the stores of a copy, of which one fails.
type failing struct {
	queue.Reader
	left int
}

func (f *failing) call() error {
	if f.left--; f.left == 0 {
		return errFails
	}
	return nil
}

func (f *failing) List(ctx context.Context, filter queue.Filter, p queue.Page) ([]queue.Message, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.List(ctx, filter, p)
}

func (f *failing) Body(ctx context.Context, id string) (queue.Body, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.Body(ctx, id)
}

func (f *failing) Search(ctx context.Context, filter queue.HistoryFilter) ([]queue.Record, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.Search(ctx, filter)
}

func (f *failing) Events(ctx context.Context, id string) ([]queue.Event, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.Events(ctx, id)
}

func (f *failing) Finished(ctx context.Context, id string) (*queue.Finished, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.Finished(ctx, id)
}

func (f *failing) Paused(ctx context.Context) (map[string]queue.Pause, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.Paused(ctx)
}

func (f *failing) Suppressions(ctx context.Context, filter queue.SuppressionFilter) ([]queue.Suppression, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.Suppressions(ctx, filter)
}

func (f *failing) LateBounces(ctx context.Context, after string, most int) ([]queue.LateBounce, error) {
	if err := f.call(); err != nil {
		return nil, err
	}
	return f.Reader.LateBounces(ctx, after, most)
}

func (f *failing) Health(ctx context.Context) (queue.Health, error) {
	if err := f.call(); err != nil {
		return queue.Health{}, err
	}
	return f.Reader.Health(ctx)
}

// changed is the other store, whose changes are calls too.
type changed struct {
	queue.Engine
	calls *failing
}

func (s changed) Import(ctx context.Context, m *queue.Imported) (bool, error) {
	if err := s.calls.call(); err != nil {
		return false, err
	}
	return s.Engine.Import(ctx, m)
}

func (s changed) Apply(ctx context.Context, n queue.News) (queue.Applied, error) {
	if err := s.calls.call(); err != nil {
		return queue.Applied{}, err
	}
	return s.Engine.Apply(ctx, n)
}

func (s changed) Suppress(ctx context.Context, list ...queue.Suppression) (int, error) {
	if err := s.calls.call(); err != nil {
		return 0, err
	}
	return s.Engine.Suppress(ctx, list...)
}

func (s changed) Pause(ctx context.Context, lane, by string) error {
	if err := s.calls.call(); err != nil {
		return err
	}
	return s.Engine.Pause(ctx, lane, by)
}

// TestFailsAnywhere: a copy ends with the error of whichever call fails, and the next goes on.
func TestFailsAnywhere(t *testing.T) {
	old := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	other := &store{"sqlite", queue.Settings{Dir: t.TempDir()}}
	old.fill(t, 12)
	source := old.read(t)
	want := story(t, source)
	target, stop := other.open(t)
	for n := 1; ; n++ {
		f := &failing{Reader: source, left: n}
		_, err := Copy(t.Context(), f, changed{target, f}, nil)
		if err == nil {
			break
		}
		if !errors.Is(err, errFails) {
			t.Fatalf("call %d: %v", n, err)
		}
	}
	stop()
	if got := story(t, other.read(t)); !slices.Equal(got, want) {
		t.Errorf("there are %d lines, want %d, or they differ", len(got), len(want))
	}
}
