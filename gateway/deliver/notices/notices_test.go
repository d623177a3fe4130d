package notices

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestNotices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := New()
		began := time.Now()
		for range Limit {
			if !n.Until("a@example.org").IsZero() {
				t.Fatal("full too early")
			}
			n.Count("a@example.org")
			time.Sleep(time.Second)
		}
		if !n.Until("a@example.org").Equal(began.Add(Window)) || !n.Until("b@example.org").IsZero() {
			t.Error("the count is not the sender's own")
		}
		time.Sleep(Window)
		if !n.Until("a@example.org").IsZero() {
			t.Error("the window does not end")
		}
		n.Count("b@example.org")
		if l := n.(*local); len(l.senders) != 1 {
			t.Error("old windows are kept")
		}
	})
}
