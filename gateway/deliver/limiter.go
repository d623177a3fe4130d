package deliver

import (
	"sync"
	"time"
)

const (
	bounceLimit  = 20 // notifications to one sender within bounceWindow
	bounceWindow = 10 * time.Minute
)

// bounceLimiter counts the notifications that senders got lately.
type bounceLimiter struct {
	mu      sync.Mutex
	senders map[string]window
}

type window struct {
	end time.Time // counted from the first notification
	n   int
}

func newBounceLimiter() *bounceLimiter { return &bounceLimiter{senders: map[string]window{}} }

// count notes a notification of a sender.
func (l *bounceLimiter) count(sender string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	w := l.senders[sender]
	if now.After(w.end) {
		for name, old := range l.senders {
			if now.After(old.end) {
				delete(l.senders, name)
			}
		}
		w = window{end: now.Add(bounceWindow)}
	}
	w.n++
	l.senders[sender] = w
}

// until returns until when a sender gets no further notification; zero: there is room for one.
func (l *bounceLimiter) until(sender string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.senders[sender]
	if w.n < bounceLimit || time.Now().After(w.end) {
		return time.Time{}
	}
	return w.end
}
