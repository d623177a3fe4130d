package sqlite

import (
	"fmt"
	"sync"
	"time"

	"mailhatch/gateway/queue"
)

// spaceAge is how long a look at the file system is believed while there is plenty of space.
const spaceAge = 200 * time.Millisecond

// space guards the reserve: new mail stops before the disk is full, so that delivery can go on.
type space struct {
	dir  string
	look func(dir string) (int64, error) // freeBytes

	mu      sync.Mutex
	reserve int64 // bytes; 0: no reserve
	at      time.Time
	free    int64
	used    int64 // bytes that were promised since then, roughly
}

// check returns an error that wraps queue.ErrFull when the reserve would be touched by n bytes more.
func (s *space) check(n int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserve <= 0 {
		return nil
	}
	near := s.free-s.used-int64(n)-s.reserve < s.reserve
	if near || time.Since(s.at) >= spaceAge {
		return s.checkNow(int64(n) + rowBytes)
	}
	s.used += int64(n) + rowBytes
	return s.verdict()
}

// checkGroup is check by a fresh look, for the bytes that the writer is about to commit.
func (s *space) checkGroup(group []*op) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	bytes := 0
	for _, o := range group {
		if o.mail {
			bytes += o.bytes + rowBytes
		}
	}
	if bytes == 0 || s.reserve <= 0 {
		return nil
	}
	return s.checkNow(int64(bytes))
}

func (s *space) checkNow(n int64) error {
	free, err := s.look(s.dir)
	if err != nil {
		return fmt.Errorf("queue: free space of %s: %w", s.dir, err)
	}
	s.at, s.free, s.used = time.Now(), free, n
	return s.verdict()
}

func (s *space) verdict() error {
	if s.free-s.used >= s.reserve {
		return nil
	}
	return fmt.Errorf("%w: %s has %d bytes left and %d are reserved", queue.ErrFull, s.dir, s.free, s.reserve)
}

// lacking returns how many bytes of the reserve are not free.
func (s *space) lacking() (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reserve <= 0 {
		return 0, nil
	}
	free, err := s.look(s.dir)
	return s.reserve - free, err
}

// SetReserve sets the free space in bytes below which new mail is refused; 0: none.
func (s *Store) SetReserve(bytes int64) {
	s.space.mu.Lock()
	s.space.reserve = bytes
	s.space.mu.Unlock()
	s.walSoft.Store(softLimit(bytes))
}
