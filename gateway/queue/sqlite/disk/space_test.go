package disk

import (
	"errors"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// TestReserve: nothing is promised that would touch the reserve, whatever was promised since the last look.
func TestReserve(t *testing.T) {
	const reserve = 1 << 20
	var free int64
	looks := 0
	s := &Space{reserve: reserve, extra: 2 << 10, look: func(string) (int64, error) { looks++; return free, nil }}
	full := func(n int) bool {
		err := s.Check(n)
		if err != nil && !errors.Is(err, queue.ErrFull) {
			t.Fatal(err)
		}
		return err != nil
	}
	free = 10 * reserve
	if full(1000) || full(2000) || looks != 1 {
		t.Errorf("plenty of space: %d looks", looks)
	}
	if full(7*reserve) || looks != 1 {
		t.Errorf("still enough: %d looks", looks)
	}
	s.used += reserve
	free = reserve + 5000 // others were quick
	if full(1000) || looks != 2 {
		t.Errorf("near the reserve it must look each time: %d looks", looks)
	}
	if !full(5000) {
		t.Error("5000 bytes touch the reserve")
	}
	free = 10 * reserve
	s.at = time.Time{}
	if full(0) {
		t.Error("space is there again")
	}
	free = reserve - 1
	if err := s.CheckNow(100 + s.extra); !errors.Is(err, queue.ErrFull) {
		t.Errorf("a commit must look for itself: %v", err)
	}
	if err := s.CheckNow(0); err != nil {
		t.Errorf("results of delivery may take of the reserve: %v", err)
	}
	s.look = func(string) (int64, error) { return 0, errors.New("no such device") }
	if err := s.CheckNow(100 + s.extra); err == nil || errors.Is(err, queue.ErrFull) {
		t.Errorf("got %v", err)
	}
}
