// Package budget bounds the memory of messages that are being read, judged and composed.
//
// Bodies are read in streams and hold next to nothing, whatever their size. What a message holds is its header,
// many times over: as fields, edited, decoded, as JSON.
package budget

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

// LightHeader is how many bytes a header has that is not weighed: far beyond real ones.
const LightHeader = 32 << 10

const (
	lightMessage = 1 << 20 // bytes of a message that is tried together with others after a crash
	weight       = 32      // bytes that each byte of a header can take, garbage included
)

// Memory is the memory that all large headers share. A nil one has no limit.
type Memory struct {
	bytes int64
	taken *semaphore.Weighted

	mu      sync.Mutex
	careful time.Time
}

// NewMemory returns a budget of that many bytes.
func NewMemory(bytes int64) *Memory {
	return &Memory{bytes: bytes, taken: semaphore.NewWeighted(bytes)}
}

// BeCareful has large messages go one at a time, with half the budget, for a while: after a crash whichever
// of them may have been the cause does not meet others.
func (m *Memory) BeCareful(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.careful = time.Now().Add(d)
}

func (m *Memory) isCareful() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return time.Now().Before(m.careful)
}

// Acquire waits for n bytes, as Weight returns them. The caller calls release when nothing of the message is
// held any more. Whoever has acquired does not acquire again before that. The error is that of ctx.
func (m *Memory) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if n == 0 {
		return func() {}, nil
	}
	if err := m.taken.Acquire(ctx, n); err != nil {
		return nil, err
	}
	return sync.OnceFunc(func() { m.taken.Release(n) }), nil
}

// Weight returns how much of the budget a message of size bytes takes, header bytes of them its header.
func (m *Memory) Weight(size, header int64) int64 {
	if m == nil {
		return 0
	}
	n := int64(0)
	if header > LightHeader {
		n = min(header*weight, m.bytes)
	}
	if m.isCareful() && (size > lightMessage || n > 0) {
		n = max(n, m.bytes/2+1) // no two of these fit
	}
	return n
}

// IsLight reports whether a message of that size needs no budget, whatever its header.
func IsLight(size int64) bool { return size <= LightHeader }
