package upkeep

import (
	"testing"
	"time"
)

func TestSlowest(t *testing.T) {
	at := time.Unix(6000, 0)
	var s Slowest
	s.Add(at, time.Second)
	s.Add(at, time.Millisecond)
	for after, want := range map[time.Duration]time.Duration{0: time.Second, time.Minute: time.Second, 2 * time.Minute: 0} {
		now := s.took
		minute := s.minute
		if got := s.Of(at.Add(after)); got != want {
			t.Errorf("%v later: %v, want %v", after, got, want)
		}
		s.took, s.minute = now, minute
	}
}
