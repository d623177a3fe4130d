package sqlite

import (
	"fmt"
	"sync"
	"time"

	"mailhatch/gateway/queue"
)

// A look at the file system is believed for spaceAge, or until a spaceShare-th of the reserve has
// been written since.
const (
	spaceAge   = 200 * time.Millisecond
	spaceShare = 8
)

// space guards the reserve: new mail stops before the disk is full, so that delivery can go on.
type space struct {
	dir     string
	reserve int64 // bytes; 0: no reserve

	mu   sync.Mutex
	at   time.Time
	free int64
	used int64 // bytes that went to disk since then, roughly
}

// check returns an error that wraps queue.ErrFull when the reserve is touched. n bytes are about to
// be written.
func (s *space) check(n int) error {
	if s.reserve <= 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.used += int64(n) + rowBytes
	if now := time.Now(); now.Sub(s.at) >= spaceAge || s.used > s.reserve/spaceShare {
		free, err := freeBytes(s.dir)
		if err != nil {
			return fmt.Errorf("queue: free space of %s: %w", s.dir, err)
		}
		s.at, s.free, s.used = now, free, 0
	}
	if s.free < s.reserve {
		return fmt.Errorf("%w: %s has %d bytes left and %d are reserved", queue.ErrFull, s.dir, s.free, s.reserve)
	}
	return nil
}
