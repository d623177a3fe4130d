package page

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/gateway/journal"
)

const (
	maxStreams = 32               // browsers that are kept informed at once
	gather     = time.Second      // what happens in it is told once
	streamLife = 10 * time.Minute // then a browser asks anew, so that a session that has ended ends its stream
	comfort    = 25 * time.Second // without news a comment shows that the connection lives
)

// live tells browsers that something happened. While nobody watches, an event costs one look at a counter.
type live struct {
	watched  atomic.Int32
	happened atomic.Int64 // events since the start
	accepted atomic.Int64 // messages
	changed  chan struct{}
	stopped  chan struct{}

	mu      sync.Mutex
	streams map[chan int64]bool
}

func newLive() *live {
	return &live{changed: make(chan struct{}, 1), stopped: make(chan struct{}), streams: map[chan int64]bool{}}
}

// Hear is a listener of the journal.
func (p *Page) Hear(e journal.Event) {
	if e.Name == "accepted" {
		p.live.accepted.Add(1)
	}
	p.live.happened.Add(1)
	if p.live.watched.Load() == 0 {
		return
	}
	select {
	case p.live.changed <- struct{}{}:
	default: // it is told already
	}
}

func (l *live) run(ctx context.Context) error {
	defer close(l.stopped)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
		}
		l.tell()
		select { // so that a busy gateway does not keep browsers busy
		case <-ctx.Done():
			return nil
		case <-time.After(gather):
		}
	}
}

func (l *live) tell() {
	n := l.accepted.Load()
	l.mu.Lock()
	defer l.mu.Unlock()
	for s := range l.streams {
		select {
		case s <- n:
		default: // it has not taken the last one yet, and will look then
		}
	}
}

// watch adds a stream; false when there are too many.
func (l *live) watch() (chan int64, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.streams) >= maxStreams {
		return nil, false
	}
	s := make(chan int64, 1)
	l.streams[s] = true
	l.watched.Store(int32(len(l.streams)))
	return s, true
}

func (l *live) leave(s chan int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.streams, s)
	l.watched.Store(int32(len(l.streams)))
}

// place is the address of the stream for a page that shows what has happened until now.
func (l *live) place() string {
	return fmt.Sprintf("/live?happened=%d&accepted=%d", l.happened.Load(), l.accepted.Load())
}

// stream is GET /live: an event for each second in which something happened, with how many messages came since the page
// was made that asks.
func (p *Page) stream(v *view) error {
	s, ok := p.live.watch()
	if !ok {
		return &refusal{http.StatusServiceUnavailable, "Too many browsers watch at once.", "Load the page again to see what is new."}
	}
	defer p.live.leave(s)
	control := http.NewResponseController(v.w)
	if err := control.SetWriteDeadline(time.Now().Add(streamLife + comfort)); err != nil {
		return err
	}
	v.w.Header().Set("Content-Type", "text/event-stream")
	v.w.Header().Set("Cache-Control", "no-store")
	q := v.r.URL.Query()
	happened, _ := strconv.ParseInt(q.Get("happened"), 10, 64)
	accepted, _ := strconv.ParseInt(q.Get("accepted"), 10, 64)
	fmt.Fprint(v.w, "retry: 3000\n\n")
	if p.live.happened.Load() != happened { // since the page was made
		select {
		case s <- p.live.accepted.Load():
		default:
		}
	}
	end, tick := time.NewTimer(streamLife), time.NewTicker(comfort)
	defer end.Stop()
	defer tick.Stop()
	for control.Flush() == nil {
		select {
		case <-v.ctx.Done():
			return nil
		case <-p.live.stopped:
			return nil
		case <-end.C:
			return nil
		case <-tick.C:
			fmt.Fprint(v.w, ":\n\n")
		case n := <-s:
			fmt.Fprintf(v.w, "data: %d\n\n", n-accepted)
		}
	}
	return nil
}
