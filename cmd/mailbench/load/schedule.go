package load

import (
	"sync/atomic"
	"time"
)

// Schedule hands out the numbers of the messages and, in an open loop, when each is due.
type Schedule struct {
	Start time.Time
	limit int64         // numbers to hand out; 0: any
	until time.Duration // 0: for ever
	gap   time.Duration // between two messages; 0: closed loop
	next  atomic.Int64
}

func NewSchedule(l Load) *Schedule {
	s := &Schedule{Start: time.Now(), limit: int64(l.Messages), until: l.Duration}
	if l.Rate > 0 {
		s.gap = time.Duration(float64(time.Second) / l.Rate)
	}
	return s
}

// Take returns the next number and when its message is due, or false when the load is over.
func (s *Schedule) Take() (n int64, due time.Time, ok bool) {
	n = s.next.Add(1)
	due = time.Now()
	if s.gap > 0 {
		due = s.Start.Add(time.Duration(n-1) * s.gap)
	}
	over := s.limit > 0 && n > s.limit || s.until > 0 && due.Sub(s.Start) >= s.until
	return n, due, !over
}
