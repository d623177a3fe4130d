// Package fleettest holds the suite that every queue.Fleet must pass, and a fleet in memory for those who use one.
package fleettest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// Store opens what a fleet shares.
type Store struct {
	// Open returns the store of this name as a gateway has it; the first Open of a name makes it. What is taken from a
	// gateway that gives no sign of life is free after lease.
	Open func(t *testing.T, store, gateway string, lease time.Duration) queue.Fleet
}

// long is a lease that does not end in a test.
const long = time.Hour

// Run checks that a fleet does what package queue says.
func Run(t *testing.T, s Store) {
	for _, c := range []struct {
		name string
		test func(*testing.T, Store)
	}{
		{"Beat", testBeat},
		{"Leave", testLeave},
		{"Take", testTake},
		{"TakeSeldom", testTakeSeldom},
		{"TakeTogether", testTakeTogether},
		{"Occupy", testOccupy},
		{"OccupyShares", testOccupyShares},
		{"OccupyOfTheDead", testOccupyOfTheDead},
		{"OccupyTogether", testOccupyTogether},
		{"Count", testCount},
		{"Lock", testLock},
		{"LockEnds", testLockEnds},
		{"Notes", testNotes},
		{"Replace", testReplace},
		{"Canceled", testCanceled},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, s) })
	}
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func mustNot(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func gateways(t *testing.T, f queue.Fleet) []queue.Gateway {
	t.Helper()
	return must[[]queue.Gateway](t)(f.Gateways(t.Context()))
}

func (s Store) pair(t *testing.T) (a, b queue.Fleet) {
	return s.Open(t, t.Name(), "a", long), s.Open(t, t.Name(), "b", long)
}

func testBeat(t *testing.T, s Store) {
	a, b := s.pair(t)
	since := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	mustNot(t, b.Beat(t.Context(), queue.Gateway{Version: "1.0", Since: since, Lanes: []string{"main"}}))
	mustNot(t, a.Beat(t.Context(), queue.Gateway{Version: "1.1", Since: since, Lanes: []string{"main", "bulk"}, Note: "n"}))
	list := gateways(t, a)
	if len(list) != 2 || list[0].Name != "a" || list[1].Name != "b" {
		t.Fatalf("got %+v", list)
	}
	g := list[0]
	if g.Version != "1.1" || !g.Since.Equal(since) || !g.Alive || !slices.Equal(g.Lanes, []string{"main", "bulk"}) || g.Note != "n" || g.Seen.IsZero() {
		t.Errorf("got %+v", g)
	}
	mustNot(t, a.Beat(t.Context(), queue.Gateway{Version: "1.2", Since: since}))
	mustNot(t, b.Beat(t.Context(), queue.Gateway{Version: "1.0"}))
	list = gateways(t, b)
	if len(list) != 2 || list[0].Version != "1.2" || len(list[0].Lanes) != 0 {
		t.Errorf("after another beat: %+v", list)
	}
}

func testLeave(t *testing.T, s Store) {
	a, b := s.pair(t)
	for _, f := range []queue.Fleet{a, b} {
		mustNot(t, f.Beat(t.Context(), queue.Gateway{}))
	}
	must[int](t)(a.Occupy(t.Context(), "main", 3, 3, 3))
	must[bool](t)(a.Lock(t.Context(), "probe", long))
	mustNot(t, a.Leave(t.Context()))
	if list := gateways(t, b); len(list) != 1 || list[0].Name != "b" {
		t.Errorf("it is still listed: %+v", list)
	}
	if n := must[int](t)(b.Occupy(t.Context(), "main", 3, 3, 0)); n != 3 {
		t.Errorf("%d of its places are free, want 3", n)
	}
	if !must[bool](t)(b.Lock(t.Context(), "probe", long)) {
		t.Error("its lock is not free")
	}
	mustNot(t, b.Leave(t.Context()))
	mustNot(t, b.Leave(t.Context()))
}

// testTake takes turns so far ahead that the time which the test itself takes does not matter.
func testTake(t *testing.T, s Store) {
	a, b := s.pair(t)
	const rate = 10
	if wait := must[time.Duration](t)(a.Take(t.Context(), "main", rate, 1000)); wait != 0 {
		t.Errorf("the first waits %v", wait)
	}
	wait := must[time.Duration](t)(b.Take(t.Context(), "main", rate, 10))
	if wait > 100*time.Second || wait < 50*time.Second {
		t.Errorf("after 1000 turns of %d/s the next waits %v", rate, wait)
	}
	if later := must[time.Duration](t)(a.Take(t.Context(), "main", rate, 1)); later > wait+time.Second || later <= wait-30*time.Second {
		t.Errorf("10 turns later: %v after %v", later, wait)
	}
	if wait := must[time.Duration](t)(a.Take(t.Context(), "bulk", rate, 1)); wait != 0 {
		t.Errorf("another name waits %v", wait)
	}
}

// testTakeSeldom: a rate of less than one a second has no second in which to save turns.
func testTakeSeldom(t *testing.T, s Store) {
	a, b := s.pair(t)
	if wait := must[time.Duration](t)(a.Take(t.Context(), "main", 1.0/3600, 1)); wait != 0 {
		t.Errorf("the first waits %v", wait)
	}
	if wait := must[time.Duration](t)(b.Take(t.Context(), "main", 1.0/3600, 1)); wait > time.Hour || wait < 30*time.Minute {
		t.Errorf("the second waits %v", wait)
	}
}

// testTakeTogether: no turn is given to two.
func testTakeTogether(t *testing.T, s Store) {
	a, b := s.pair(t)
	const each, rate = 20, 0.1
	var wait sync.WaitGroup
	for _, f := range []queue.Fleet{a, b} {
		wait.Go(func() {
			for range each {
				if _, err := f.Take(t.Context(), "main", rate, 1); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	next := must[time.Duration](t)(a.Take(t.Context(), "main", rate, 1))
	if next > 2*each*10*time.Second || next < (2*each-10)*10*time.Second {
		t.Errorf("after %d turns the next waits %v", 2*each, next)
	}
}

func testCount(t *testing.T, s Store) {
	a, b := s.pair(t)
	count := func(f queue.Fleet, n int, window time.Duration, want int) time.Time {
		t.Helper()
		got, end, err := f.Count(t.Context(), "bounce ann@example.com", n, window)
		mustNot(t, err)
		if got != want {
			t.Errorf("counted %d, want %d", got, want)
		}
		return end
	}
	count(a, 0, long, 0)
	end := count(a, 1, long, 1)
	if left := time.Until(end); left < long/2 || left > long+long/2 {
		t.Errorf("it ends in %v", left)
	}
	if again := count(b, 2, long, 3); !again.Equal(end) {
		t.Errorf("it ends at %v, then at %v", end, again)
	}
	count(a, 0, long, 3)
	if n, _, err := a.Count(t.Context(), "another", 1, time.Millisecond); n != 1 || err != nil {
		t.Error(n, err)
	}
	until(t, func() bool {
		n, _, err := b.Count(t.Context(), "another", 0, time.Millisecond)
		return err == nil && n == 0
	})
	if n, _, err := a.Count(t.Context(), "another", 1, long); n != 1 || err != nil {
		t.Error("it does not start anew:", n, err)
	}
}

func testLock(t *testing.T, s Store) {
	a, b := s.pair(t)
	lock := func(f queue.Fleet, name string, want bool) {
		t.Helper()
		if got := must[bool](t)(f.Lock(t.Context(), name, long)); got != want {
			t.Errorf("Lock of %s: %v, want %v", name, got, want)
		}
	}
	lock(a, "x", true)
	lock(b, "x", false)
	lock(b, "y", true)
	lock(a, "x", true)
	mustNot(t, b.Unlock(t.Context(), "x"))
	lock(b, "x", false)
	mustNot(t, a.Unlock(t.Context(), "x"))
	lock(b, "x", true)
	lock(a, "x", false)
}

func testLockEnds(t *testing.T, s Store) {
	a, b := s.pair(t)
	must[bool](t)(a.Lock(t.Context(), "x", time.Millisecond))
	until(t, func() bool { return must[bool](t)(b.Lock(t.Context(), "x", long)) })
	if must[bool](t)(a.Lock(t.Context(), "x", long)) {
		t.Error("who has lost a lock has it")
	}
}

func testNotes(t *testing.T, s Store) {
	a, b := s.pair(t)
	put := func(f queue.Fleet, name, value string) {
		t.Helper()
		mustNot(t, f.Put(t.Context(), name, []byte(value)))
	}
	put(a, "gate/main", "closed")
	put(a, "gate/100%_", "closed")
	put(b, "token/main", "secret\x00\xff")
	notes := must[[]queue.Note](t)(b.Notes(t.Context(), "gate/"))
	if len(notes) != 2 || notes[1].Name != "gate/main" || string(notes[1].Value) != "closed" || notes[1].By != "a" || notes[1].At.IsZero() {
		t.Fatalf("got %+v", notes)
	}
	put(b, "gate/main", "open")
	later := must[[]queue.Note](t)(a.Notes(t.Context(), "gate/main"))
	if len(later) != 1 || string(later[0].Value) != "open" || later[0].By != "b" || later[0].Version <= notes[1].Version {
		t.Errorf("got %+v", later)
	}
	if n := must[[]queue.Note](t)(a.Notes(t.Context(), "gate/100%_")); len(n) != 1 {
		t.Errorf("a prefix is not a pattern: %+v", n)
	}
	if n := must[[]queue.Note](t)(a.Notes(t.Context(), "gate_")); len(n) != 0 {
		t.Errorf("a prefix is not a pattern: %+v", n)
	}
	if n := must[[]queue.Note](t)(a.Notes(t.Context(), "")); len(n) != 3 || string(n[2].Value) != "secret\x00\xff" {
		t.Errorf("all: %+v", n)
	}
	put(a, "gate/main", "")
	if n := must[[]queue.Note](t)(b.Notes(t.Context(), "gate/main")); len(n) != 0 {
		t.Errorf("what was taken away is there: %+v", n)
	}
}

// testReplace: of several who replace what they have read one does.
func testReplace(t *testing.T, s Store) {
	a, b := s.pair(t)
	replace := func(f queue.Fleet, value string, version int64) int64 {
		t.Helper()
		return must[int64](t)(f.Replace(t.Context(), "token/x", []byte(value), version))
	}
	first := replace(a, "1", 0)
	if first == 0 || replace(b, "2", 0) != 0 || replace(b, "2", first+1) != 0 {
		t.Error("a note is there already")
	}
	second := replace(b, "2", first)
	if second <= first || replace(a, "3", first) != 0 {
		t.Errorf("after version %d comes %d, or the first one is replaced twice", first, second)
	}
	mustNot(t, a.Put(t.Context(), "token/x", []byte("4")))
	if replace(b, "5", second) != 0 {
		t.Error("it was put meanwhile")
	}
	notes := must[[]queue.Note](t)(b.Notes(t.Context(), "token/"))
	if len(notes) != 1 || string(notes[0].Value) != "4" || notes[0].Version <= second {
		t.Fatalf("got %+v", notes)
	}
	if now := replace(b, "5", notes[0].Version); now <= notes[0].Version {
		t.Errorf("after version %d comes %d", notes[0].Version, now)
	}
	var wait sync.WaitGroup
	won := make(chan string, 2)
	for name, f := range map[string]queue.Fleet{"a": a, "b": b} {
		wait.Go(func() {
			if now, err := f.Replace(t.Context(), "token/y", []byte(name), 0); err != nil {
				t.Error(err)
			} else if now != 0 {
				won <- name
			}
		})
	}
	wait.Wait()
	if n := len(won); n != 1 {
		t.Errorf("%d were the first", n)
	}
}

func testCanceled(t *testing.T, s Store) {
	f := s.Open(t, t.Name(), "a", long)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Gateways(ctx); err == nil {
		t.Error("Gateways")
	}
	if _, err := f.Take(ctx, "x", 1, 1); err == nil {
		t.Error("Take")
	}
	if _, err := f.Occupy(ctx, "x", 1, 1, 0); err == nil {
		t.Error("Occupy")
	}
	if _, _, err := f.Count(ctx, "x", 1, long); err == nil {
		t.Error("Count")
	}
	if _, err := f.Lock(ctx, "x", long); err == nil {
		t.Error("Lock")
	}
	if _, err := f.Notes(ctx, ""); err == nil {
		t.Error("Notes")
	}
	for _, version := range []int64{0, 1} {
		if _, err := f.Replace(ctx, "x", []byte("x"), version); err == nil {
			t.Error("Replace")
		}
	}
	for name, err := range map[string]error{"Beat": f.Beat(ctx, queue.Gateway{}), "Leave": f.Leave(ctx), "Unlock": f.Unlock(ctx, "x"), "Put": f.Put(ctx, "x", []byte("x"))} {
		if err == nil {
			t.Error(name)
		}
	}
}

// until waits for a condition that time alone brings about.
func until(t *testing.T, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("nothing happened within 30 s")
		}
	}
}
