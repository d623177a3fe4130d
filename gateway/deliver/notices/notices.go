// Package notices counts the notifications that senders get, so that nobody gets very many.
package notices

import (
	"sync"
	"time"
)

// A sender gets Limit notifications one by one within a Window, which begins with the first.
const (
	Limit  = 20
	Window = 10 * time.Minute
)

// Notices counts the notifications that senders got lately.
type Notices interface {
	// Count notes a notification of a sender.
	Count(sender string)
	// Until returns until when a sender gets no further notification; zero: there is room for one.
	Until(sender string) time.Time
}

// local is the Notices of one process.
type local struct {
	mu      sync.Mutex
	senders map[string]window
}

type window struct {
	end time.Time
	n   int
}

// New returns the Notices of a process that shares its queue with no other.
func New() Notices { return &local{senders: map[string]window{}} }

func (l *local) Count(sender string) {
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
		w = window{end: now.Add(Window)}
	}
	w.n++
	l.senders[sender] = w
}

func (l *local) Until(sender string) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	w := l.senders[sender]
	if w.n < Limit || time.Now().After(w.end) {
		return time.Time{}
	}
	return w.end
}
