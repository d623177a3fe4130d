package disk

import (
	"fmt"
	"sync"
	"time"

	"mailhatch/gateway/queue"
)

// spaceAge is how long a look at the file system is believed while there is plenty of space.
const spaceAge = 200 * time.Millisecond

// Space guards the reserve: new mail stops before the disk is full, so that delivery can go on.
type Space struct {
	dir   string
	extra int64                           // bytes that are written beside each body
	look  func(dir string) (int64, error) // freeBytes

	mu      sync.Mutex
	reserve int64 // bytes; 0: no reserve
	at      time.Time
	free    int64
	used    int64 // bytes that were promised since then, roughly
}

// NewSpace returns the space of the file system of dir, without a reserve. extra is how many bytes are written
// beside each body, roughly.
func NewSpace(dir string, extra int64) *Space {
	return &Space{dir: dir, extra: extra, look: freeBytes}
}

// SetReserve sets the free space in bytes that is kept; 0: none.
func (s *Space) SetReserve(bytes int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserve = bytes
}

// Check returns an error that wraps queue.ErrFull when the reserve would be touched by a body of n bytes more.
func (s *Space) Check(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserve <= 0 {
		return nil
	}
	near := s.free-s.used-int64(n)-s.reserve < s.reserve
	if near || time.Since(s.at) >= spaceAge {
		return s.checkNow(int64(n) + s.extra)
	}
	s.used += int64(n) + s.extra
	return s.verdict()
}

// CheckNow is Check by a fresh look, for all the bytes that are about to be committed; 0 bytes are always allowed.
func (s *Space) CheckNow(bytes int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes == 0 || s.reserve <= 0 {
		return nil
	}
	return s.checkNow(bytes)
}

func (s *Space) checkNow(n int64) error {
	free, err := s.look(s.dir)
	if err != nil {
		return fmt.Errorf("queue: free space of %s: %w", s.dir, err)
	}
	s.at, s.free, s.used = time.Now(), free, n
	return s.verdict()
}

func (s *Space) verdict() error {
	if s.free-s.used >= s.reserve {
		return nil
	}
	return fmt.Errorf("%w: %s has %d bytes left and %d are reserved", queue.ErrFull, s.dir, s.free, s.reserve)
}

// Lacking returns how many bytes of the reserve are not free.
func (s *Space) Lacking() (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserve <= 0 {
		return 0, nil
	}
	free, err := s.look(s.dir)
	return s.reserve - free, err
}
