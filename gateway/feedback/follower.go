// Package feedback follows what providers tell later of mail that they took: it asks their logs, and takes in what their
// webhooks bring. The history learns it, the operator's log has a line of it, and who sent mail that did not arrive is
// notified, once.
//
// From top to bottom: follower.go (what runs) → poll.go (asks one provider) → take.go (what was told goes into the store)
// → join.go (what waits for its record) → late.go (notifications) → status.go.
package feedback

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mailhatch/gateway/clock"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// Store is what a follower needs of the queue.
type Store interface {
	queue.Feedback
	Finished(ctx context.Context, id string) (*queue.Finished, error)
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Body(ctx context.Context, id string) (queue.Body, error)
}

// Source is an upstream whose provider tells later.
type Source struct {
	Name     string
	Feedback upstream.Feedback
}

// Late is mail that did not arrive, as far as it is known.
type Late struct {
	ID        string
	Envelope  envelope.Envelope
	Header    *mime.Message // nil: not known
	Size      int64
	Recipient string
}

// Config is what a follower follows. It is not changed after it was handed over.
type Config struct {
	Sources  []Source
	KeepSent time.Duration    // mail that is older is not asked for
	Hostname string           // in notifications
	Notify   func(*Late) bool // its sender is to be notified
}

// Door is how notifications go their way.
type Door struct {
	// Submit queues a notification of a sender, in one write with the removal of late bounces. The error wraps
	// queue.ErrReported where another one has been queued, and Refused is true of it where no later attempt helps.
	Submit  func(ctx context.Context, sender string, msg []byte, keys []string) (id string, err error)
	Refused func(error) bool
	Count   func(sender string)           // it got one
	After   func(sender string) time.Time // until then it gets no further one but in a digest; zero: there is room
}

// Tools are what a follower works with.
type Tools struct {
	Store   Store
	Journal *journal.Journal
	Clock   *clock.Clock
	Door    Door
	Busy    func(upstream string) bool // its mail waits for the rate, which polls would use up; nil: never

	// Alone reports whether, of the gateways that share the store, this one does some work, and goes on with it for so long;
	// nil: no other has the store open.
	Alone func(ctx context.Context, what string, d time.Duration) bool
}

// Follower follows. Its methods may be called at once from many goroutines.
type Follower struct {
	Tools
	config  atomic.Pointer[Config]
	changed chan struct{} // one token: there is another config
	waiting chan struct{} // one token: something waits for its record
	news    atomic.Bool   // it does since the last look
	late    chan struct{} // one token: there are late bounces

	mu     sync.Mutex
	states map[string]*state // by upstream
	queued int               // events that wait for their record
}

// New returns a follower that follows cfg once it runs.
func New(t Tools, cfg *Config) *Follower {
	f := &Follower{Tools: t, changed: make(chan struct{}, 1), waiting: make(chan struct{}, 1), late: make(chan struct{}, 1), states: map[string]*state{}}
	f.config.Store(cfg)
	return f
}

// Follow makes it follow another config.
func (f *Follower) Follow(cfg *Config) {
	f.config.Store(cfg)
	signal(f.changed)
}

// Run follows until ctx ends.
func (f *Follower) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { f.follow(ctx); return nil })
	group.Go(func() error { f.rejoin(ctx); return nil })
	group.Go(func() error { f.reportAll(ctx); return nil })
	return group.Wait()
}

// follow asks the providers of one config after the other.
func (f *Follower) follow(ctx context.Context) {
	for ctx.Err() == nil {
		cfg := f.config.Load()
		f.know(cfg)
		asking, stop := context.WithCancel(ctx)
		var polls sync.WaitGroup
		for _, s := range cfg.Sources {
			if how := s.Feedback.Listening(); how.Every > 0 {
				p := &poller{Follower: f, source: s, how: how, keep: cfg.KeepSent}
				polls.Go(func() { p.run(asking) })
			}
		}
		select {
		case <-f.changed:
		case <-ctx.Done():
		}
		stop()
		polls.Wait()
	}
}

// source returns the upstream of a name that is listened to.
func (f *Follower) source(name string) (Source, bool) {
	for _, s := range f.config.Load().Sources {
		if s.Name == name && !s.Feedback.Listening().Off() {
			return s, true
		}
	}
	return Source{}, false
}

// alone reports whether this gateway does some work.
func (f *Follower) alone(ctx context.Context, what string, d time.Duration) bool {
	return f.Alone == nil || f.Alone(ctx, what, d)
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// rest waits for a time or until woken; it reports whether ctx goes on.
func rest(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-wake:
	case <-timer.C:
	}
	return true
}
