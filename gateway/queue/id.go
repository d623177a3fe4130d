package queue

import (
	"math/rand/v2"
	"strings"
	"sync"
	"time"
)

// A queue id is a 63-bit number: the milliseconds of its making in the upper 42 bits, chance in the
// lower 21. Its text is 13 letters and digits of Crockford's base 32, so that texts sort as numbers do.
const (
	idAlphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	idLen      = 13
	idRandBits = 21
	idStep     = 64 // most that the next id of the same millisecond lies ahead
)

// IDs makes queue ids that rise strictly, also when the clock goes back.
type IDs struct {
	mu   sync.Mutex
	last int64
}

// NewIDs returns ids above floor, the highest one ever seen in the store.
func NewIDs(floor int64) *IDs { return &IDs{last: floor} }

// Next returns another id.
func (s *IDs) Next() int64 {
	id := time.Now().UnixMilli()<<idRandBits | rand.Int64N(1<<idRandBits)
	s.mu.Lock()
	defer s.mu.Unlock()
	if id <= s.last {
		id = s.last + 1 + rand.Int64N(idStep)
	}
	s.last = id
	return id
}

// FormatID returns the text of an id.
func FormatID(id int64) string {
	var b [idLen]byte
	for i := idLen - 1; i >= 0; i-- {
		b[i] = idAlphabet[id&31]
		id >>= 5
	}
	return string(b[:])
}

// ParseID reads the text of an id in either case and reports whether it is one.
func ParseID(s string) (int64, bool) {
	if len(s) != idLen {
		return 0, false
	}
	var id int64
	for _, c := range []byte(strings.ToUpper(s)) {
		d := strings.IndexByte(idAlphabet, c)
		if d < 0 || id>>58 != 0 {
			return 0, false
		}
		id = id<<5 | int64(d)
	}
	return id, true
}
