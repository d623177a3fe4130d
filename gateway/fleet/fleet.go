// Package fleet makes what each of the gateways that share a queue finds out hold for all of them: how upstreams are and
// when they are to be tried again, their rates and places, what senders were notified of, who lives.
//
// A gateway asks the store once a second for what others have said, and says what is new; how much mail there is does not
// matter. Turns of a rate are taken some at a time.
package fleet

import (
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/gateway/deliver/gate"
	"mailhatch/gateway/queue"
)

const (
	// pollEvery is how often the others are listened to: what one gateway knows all know within two seconds.
	pollEvery = time.Second
	beatMost  = 5 * time.Second // between two signs of life
	callTime  = 5 * time.Second // most for a call that nobody waits for
	leaveTime = 2 * time.Second

	gateNotes = "gate/" // notes with the state of an upstream
	probeLock = "probe/"
	workLock  = "work/"
)

// Config is what a Fleet needs.
type Config struct {
	Store  queue.Fleet
	Name   string        // of this gateway
	Lease  time.Duration // see queue.Settings
	About  func() queue.Gateway
	Gates  func() []*gate.Gate // those of now
	Follow func(context.Context)
	Report func(error) // that the store could not be asked
}

// Fleet is a gateway's view of all of them. Make one with New, run it with Run.
type Fleet struct {
	cfg  Config
	wake chan struct{} // one token: there is something to tell

	mu     sync.Mutex
	news   map[string]gate.News // to be told, by upstream
	heard  map[string]int64     // versions of notes
	shares map[string]*share    // by upstream
	beaten time.Time            // the last sign of life that the store has
	away   error                // why the store could not be asked the last time; nil: it was
}

// New returns a fleet whose store is not asked yet.
func New(cfg Config) *Fleet {
	return &Fleet{cfg: cfg, wake: make(chan struct{}, 1), news: map[string]gate.News{}, heard: map[string]int64{}, shares: map[string]*share{}}
}

// Run tells and listens until ctx ends, then leaves. It outlives delivery: what ends last is told too.
func (f *Fleet) Run(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	failed := false
	for ctx.Err() == nil {
		err := f.round(ctx)
		if err != nil && !failed && ctx.Err() == nil {
			f.cfg.Report(err) // once, until it works again
		}
		failed = err != nil
		f.mu.Lock()
		f.away = err
		f.mu.Unlock()
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-f.cfg.Store.Heard():
		case <-f.wake:
			if failed { // no quicker than the ticker
				<-tick.C
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer cancel()
	if f.tell(last) == nil {
		_ = f.cfg.Store.Leave(last) // else its lease ends
	}
	return nil
}

// round is what is done once a second, and when there is something to tell.
func (f *Fleet) round(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	if f.beatDue() {
		if err := f.beat(ctx); err != nil {
			return err
		}
	}
	if err := f.tell(ctx); err != nil {
		return err
	}
	if err := f.listen(ctx); err != nil {
		return err
	}
	f.cfg.Follow(ctx)
	f.mu.Lock()
	shares := slices.Collect(maps.Values(f.shares))
	f.mu.Unlock()
	for _, s := range shares {
		if err := s.settle(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (f *Fleet) beatDue() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.beaten) >= min(beatMost, f.cfg.Lease/4)
}

func (f *Fleet) beat(ctx context.Context) error {
	began := time.Now()
	if err := f.cfg.Store.Beat(ctx, f.cfg.About()); err != nil {
		return err
	}
	f.mu.Lock()
	f.beaten = began
	f.mu.Unlock()
	return nil
}

// lives reports whether the others know that this gateway does, and leave it what it has.
func (f *Fleet) lives() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return time.Since(f.beaten) < f.cfg.Lease
}

// Tell implements gate.Peers.
func (f *Fleet) Tell(upstream string, n gate.News) {
	f.mu.Lock()
	f.news[upstream] = n
	f.mu.Unlock()
	signal(f.wake)
}

func signal(token chan<- struct{}) {
	select {
	case token <- struct{}{}:
	default:
	}
}

// tell writes what gates have found out. What cannot be written is kept, unless there is newer by then.
func (f *Fleet) tell(ctx context.Context) error {
	f.mu.Lock()
	news := f.news
	f.news = map[string]gate.News{}
	f.mu.Unlock()
	for _, upstream := range slices.Sorted(maps.Keys(news)) {
		value, err := json.Marshal(news[upstream])
		if err == nil {
			err = f.cfg.Store.Put(ctx, gateNotes+upstream, value)
		}
		if err == nil {
			delete(news, upstream)
			continue
		}
		f.mu.Lock()
		for name, n := range news {
			if _, newer := f.news[name]; !newer {
				f.news[name] = n
			}
		}
		f.mu.Unlock()
		return err
	}
	return nil
}

// listen lets the gates hear what others have said since the last time.
func (f *Fleet) listen(ctx context.Context) error {
	notes, err := f.cfg.Store.Notes(ctx, gateNotes)
	if err != nil {
		return err
	}
	gates := map[string]*gate.Gate{}
	for _, g := range f.cfg.Gates() {
		gates[g.Name()] = g
	}
	for _, note := range notes {
		name := strings.TrimPrefix(note.Name, gateNotes)
		f.mu.Lock()
		known := f.heard[name] >= note.Version
		_, telling := f.news[name] // this gateway knows better
		if g := gates[name]; g != nil && !telling {
			f.heard[name] = note.Version
		}
		f.mu.Unlock()
		var n gate.News
		if g := gates[name]; g != nil && !known && !telling && note.By != f.cfg.Name && json.Unmarshal(note.Value, &n) == nil {
			g.Hear(n)
		}
	}
	return nil
}

// MayProbe implements gate.Peers: who may tells the others.
func (f *Fleet) MayProbe(ctx context.Context, upstream string) bool {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	may, err := f.cfg.Store.Lock(ctx, probeLock+upstream, gate.ProbeTime())
	if err != nil || !may {
		return false
	}
	f.Tell(upstream, gate.News{State: gate.Probing, Reason: gate.Unreachable})
	return true
}

// Alone reports whether this gateway, and no other, does some work for all of them: it is the one that does it already, or
// nobody has done it for that long.
func (f *Fleet) Alone(ctx context.Context, what string, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	may, err := f.cfg.Store.Lock(ctx, workLock+what, d)
	return err == nil && may
}

// Away returns why the store could not be asked lately; nil: it was.
func (f *Fleet) Away() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.away
}

// Name returns that of this gateway.
func (f *Fleet) Name() string { return f.cfg.Name }

// Gateways returns those that share the queue.
func (f *Fleet) Gateways(ctx context.Context) ([]queue.Gateway, error) {
	return f.cfg.Store.Gateways(ctx)
}
