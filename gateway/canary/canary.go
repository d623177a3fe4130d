// Package canary sends a small mail through each upstream now and then, and says where one stopped that does not arrive.
//
// From top to bottom: canary.go (what runs, and when canaries are sent) → judge.go (how far one came) → mail.go (what it is) →
// memory.go (what a restart does not forget) → settings.go.
package canary

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/gateway/clock"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
)

const (
	lookEvery  = 5 * time.Second
	leadTime   = 30 * time.Second // without a look before another gateway sends the canaries
	retryEvery = time.Minute      // after the queue has not taken one
	work       = "canaries"
)

// Store is what is needed of the queue.
type Store interface {
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Search(ctx context.Context, f queue.HistoryFilter) ([]queue.Record, error)
	Events(ctx context.Context, id string) ([]queue.Event, error)
	Delete(ctx context.Context, f queue.Filter, by string) (queue.Changed, error)
}

// Upstream is one that canaries go through.
type Upstream struct {
	Name     string
	Confirms bool // its provider says later what has arrived; otherwise that it takes a canary is all there is to know
}

// Config says which canaries are sent. It is not changed after it was handed over.
type Config struct {
	Every     time.Duration
	Within    time.Duration
	From, To  string // addresses
	Hostname  string
	Upstreams []Upstream
}

// Tools are what a Keeper works with.
type Tools struct {
	Store   Store
	Submit  func(ctx context.Context, m *Mail) (id string, err error)
	Why     func(ctx context.Context, m *queue.Message) (words string) // why one waits
	Excused func(upstream string) bool                                 // it takes no mail because an operator or a quota of the config says so
	Memory  Memory
	Alone   func(ctx context.Context, what string, d time.Duration) bool // see fleet.Fleet; nil: there is no other gateway
	Clock   *clock.Clock
	Journal *journal.Journal
}

// Keeper sends canaries and looks after them. Make one with New, run it with Run.
type Keeper struct {
	Tools
	config  atomic.Pointer[Config] // nil: no canaries are sent
	changed chan struct{}          // one token

	mu     sync.Mutex
	states map[string]State // by upstream
	known  bool             // states are those of now
	leads  bool             // this gateway is the one that sends
}

// New returns a keeper that follows a config; nil: no canaries are sent.
func New(tools Tools, cfg *Config) *Keeper {
	k := &Keeper{Tools: tools, changed: make(chan struct{}, 1)}
	k.config.Store(cfg)
	return k
}

// Follow makes it follow another config.
func (k *Keeper) Follow(cfg *Config) {
	k.mu.Lock()
	k.config.Store(cfg)
	k.known = false
	k.mu.Unlock()
	select {
	case k.changed <- struct{}{}:
	default:
	}
}

// Run sends and looks until ctx ends.
func (k *Keeper) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	failed := false
	for {
		err := k.round(ctx, k.config.Load())
		if err != nil && !failed && ctx.Err() == nil && !errors.Is(err, queue.ErrAway) { // which others report
			k.Journal.InternalError("canary", err) // once, until it works again
		}
		failed = err != nil
		select {
		case <-ctx.Done():
			return nil
		case <-k.changed:
		case <-tick.C:
		}
	}
}

// Failing returns what is wrong with the upstreams of the config, by name; known is false while nobody knows.
func (k *Keeper) Failing() (faults map[string]Fault, known bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	cfg := k.config.Load()
	if cfg == nil {
		return nil, true
	}
	faults = map[string]Fault{}
	for _, u := range cfg.Upstreams {
		if f := k.states[u.Name].Fault; f != nil {
			faults[u.Name] = *f
		}
	}
	return faults, k.known
}

// round looks after the canaries of all upstreams once, or at what the gateway knows that does.
func (k *Keeper) round(ctx context.Context, cfg *Config) error {
	if cfg == nil {
		return nil
	}
	leads := k.Alone == nil || k.Alone(ctx, work, leadTime)
	k.mu.Lock()
	states, fresh := k.states, k.known && k.leads && leads
	k.mu.Unlock()
	if !fresh {
		var err error
		if states, err = k.Memory.Load(ctx); err != nil {
			return err
		}
	}
	var failure error
	next := maps.Clone(states)
	if next == nil {
		next = map[string]State{}
	}
	if leads {
		failure = k.tend(ctx, cfg, next)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.config.Load() == cfg {
		k.states, k.leads, k.known = next, leads, failure == nil || k.known
	}
	return failure
}

// tend brings the states up to date. An upstream whose canary cannot be looked at keeps the others waiting for nothing.
func (k *Keeper) tend(ctx context.Context, cfg *Config, states map[string]State) (failure error) {
	for _, u := range cfg.Upstreams {
		s := states[u.Name]
		if err := k.see(ctx, cfg, u, &s); err != nil && failure == nil {
			failure = err
		}
		states[u.Name] = s
	}
	gone := func(name string) bool {
		return !slices.ContainsFunc(cfg.Upstreams, func(u Upstream) bool { return u.Name == name })
	}
	for name, s := range states {
		if !gone(name) {
			continue
		}
		err := k.clear(ctx, s.ID, "") // it would go by the routes, or wait for ever
		if err == nil {
			err = k.Memory.Save(ctx, name, State{})
		}
		if err != nil {
			return err
		}
		delete(states, name)
	}
	return failure
}

// see looks at the canary of an upstream, and sends the next one when it is due.
func (k *Keeper) see(ctx context.Context, cfg *Config, u Upstream, s *State) error {
	now, before := k.Clock.Now(), *s
	excused := k.Excused(u.Name)
	waits := false
	if s.ID != "" && !s.Ended {
		f, err := k.fate(ctx, s.ID, u)
		if err != nil {
			return err
		}
		waits = f.waits
		s.judge(f, cfg.Within, now, excused)
	}
	if !waits && !excused && s.due(cfg.Every, now) {
		if err := k.send(ctx, cfg, u, s, now); err != nil {
			return err
		}
	}
	if *s == before {
		return nil
	}
	k.tell(u.Name, &before, s, now)
	return k.Memory.Save(ctx, u.Name, *s)
}

// send sends a canary. That it is about to is on record before: after a crash there is one too few, not one too many.
func (k *Keeper) send(ctx context.Context, cfg *Config, u Upstream, s *State, now time.Time) error {
	next := *s
	next.ID, next.At, next.Ended, next.Arrived = "", now, false, false
	err := k.Memory.Save(ctx, u.Name, next)
	if err == nil {
		next.ID, err = k.Submit(ctx, cfg.mail(u.Name, now))
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		next.ID = ""
		if next.Tried.IsZero() {
			next.Tried = now
		}
		*s = next
		if now.Sub(s.Tried) >= cfg.Within {
			s.fail(StageQueue, err.Error(), s.Tried)
		}
		return nil
	}
	next.Tried = time.Time{}
	old := s.ID
	*s = next
	return k.clear(ctx, old, envelope.Failed)
}

// clear takes what is left of a canary out of the queue.
func (k *Keeper) clear(ctx context.Context, id string, state envelope.State) error {
	if id == "" {
		return nil
	}
	_, err := k.Store.Delete(ctx, queue.Filter{IDs: []string{id}, State: state}, "canary")
	return err
}

// tell writes what has changed into the journal.
func (k *Keeper) tell(upstream string, before, now *State, at time.Time) {
	switch was, is := before.Fault, now.Fault; {
	case is != nil && (was == nil || was.Stage != is.Stage):
		k.Journal.CanaryFailed(upstream, is.ID, string(is.Stage), is.Words, is.Since)
	case was != nil && is == nil:
		k.Journal.CanaryBack(upstream, now.ID, at.Sub(was.Since))
	}
	if now.Arrived && !before.Arrived {
		k.Journal.CanaryArrived(upstream, at.Sub(now.At))
	}
}
