package queue

import (
	"testing"
	"time"
)

// TestEndedBy: a delivery shows that a mailbox is there again, and not that somebody takes a complaint back.
func TestEndedBy(t *testing.T) {
	at := time.Now()
	for _, c := range []struct {
		reason SuppressionReason
		after  time.Duration
		want   bool
	}{
		{ReasonBounced, time.Second, true}, {ReasonBounced, 0, false}, {ReasonBounced, -time.Second, false}, {ReasonSuppressed, time.Second, true},
		{ReasonComplained, time.Hour, false}, {ReasonUnsubscribed, time.Hour, false}, {ReasonManual, time.Hour, false},
	} {
		s := Suppression{Reason: c.reason, At: at}
		if got := s.EndedBy(at.Add(c.after)); got != c.want {
			t.Errorf("%s, delivered %v later: ended %v, want %v", c.reason, c.after, got, c.want)
		}
	}
}
