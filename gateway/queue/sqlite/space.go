package sqlite

import (
	"fmt"
	"sync"
	"time"

	"mailhatch/gateway/queue"
)

// spaceAge is how long a look at the file system is believed.
const spaceAge = 200 * time.Millisecond

// space guards the reserve: new mail stops before the disk is full, so that delivery can go on.
type space struct {
	dir     string
	reserve int64 // bytes; 0: no reserve

	mu   sync.Mutex
	at   time.Time
	free int64
}

// check returns an error that wraps queue.ErrFull when the reserve is touched.
func (s *space) check() error {
	if s.reserve <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.at) >= spaceAge {
		free, err := freeBytes(s.dir)
		if err != nil {
			return fmt.Errorf("queue: free space of %s: %w", s.dir, err)
		}
		s.at, s.free = now, free
	}
	if s.free < s.reserve {
		return fmt.Errorf("%w: %s has %d bytes left and %d are reserved", queue.ErrFull, s.dir, s.free, s.reserve)
	}
	return nil
}
