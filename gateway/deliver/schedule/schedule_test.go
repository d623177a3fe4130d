package schedule

import (
	"testing"
	"time"
)

func TestSchedule(t *testing.T) {
	s := Schedule{time.Second, time.Minute, 48 * time.Hour}
	for attempts, want := range map[int]time.Duration{-1: time.Second, 0: time.Second, 1: time.Second, 2: time.Minute, 3: 48 * time.Hour, 1000: 48 * time.Hour} {
		seen := map[time.Duration]bool{}
		for range 100 {
			got := s.After(attempts)
			if seen[got] = true; got < want-want/10 || got > want+want/10 {
				t.Errorf("after %d attempts: %v, want about %v", attempts, got, want)
			}
		}
		if len(seen) < 10 {
			t.Errorf("after %d attempts: %d different waits of 100", attempts, len(seen))
		}
	}
	if got := s.Longest(); got != 60*time.Hour {
		t.Errorf("the longest is %v", got)
	}
	if got := s[:1].Longest(); got != 30*time.Hour {
		t.Errorf("what a provider may ask for: %v", got)
	}
}
