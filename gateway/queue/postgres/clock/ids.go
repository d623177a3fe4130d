package clock

import (
	"math/rand/v2"
	"sync"
	"time"
)

// A queue id of this engine has the milliseconds of its making in the upper bits, as all have, then the slot of its process,
// of which no two that live have the same, then a count that begins by chance.
const (
	IDShift     = 21
	idCountBits = 11
	Slots       = 1 << (IDShift - idCountBits)
	idStep      = 16 // most that the next id of the same millisecond lies ahead
)

// IDs makes ids. It is used by many goroutines.
type IDs struct {
	slot int64
	mu   sync.Mutex
	last int64
}

// doubt is how far an id may lie ahead and count: the clock of its maker may be wrong.
const doubt = time.Minute

// NewIDs returns ids of a slot above floor, as far as that can be believed.
func NewIDs(slot int, floor int64) *IDs {
	floor = min(floor, time.Now().Add(doubt).UnixMilli()<<IDShift)
	return &IDs{slot: int64(slot) << idCountBits, last: floor}
}

// Next returns another id, which is greater than those before.
func (s *IDs) Next() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := time.Now().UnixMilli()<<IDShift | s.slot | rand.Int64N(1<<(idCountBits-1))
	if id <= s.last {
		const count = 1<<idCountBits - 1
		next := s.last&count + 1 + rand.Int64N(idStep)
		ms := s.last >> IDShift
		if next > count || s.last&^(1<<IDShift-1)|s.slot|next <= s.last {
			ms, next = ms+1, rand.Int64N(1<<(idCountBits-1))
		}
		id = ms<<IDShift | s.slot | next
	}
	s.last = id
	return id
}

// Slot returns the slot.
func (s *IDs) Slot() int64 { return s.slot >> idCountBits }
