package fleettest

import (
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

func testOccupy(t *testing.T, s Store) {
	a, b := s.pair(t)
	mustNot(t, a.Beat(t.Context(), queue.Gateway{}))
	mustNot(t, b.Beat(t.Context(), queue.Gateway{}))
	occupy := func(who string, f queue.Fleet, want, used, have int) {
		t.Helper()
		if n := must[int](t)(f.Occupy(t.Context(), "main", 10, want, used)); n != have {
			t.Errorf("%s wants %d, uses %d: it has %d, want %d", who, want, used, n, have)
		}
	}
	occupy("a", a, 6, 0, 6)
	occupy("b", b, 3, 0, 3)
	occupy("b", b, 4, 3, 4)
	occupy("a", a, 12, 6, 6) // there are no more
	occupy("a", a, 2, 1, 2)
	occupy("b", b, 8, 4, 8)
	occupy("b", b, 0, 0, 0)
	occupy("a", a, 20, 0, 10)
}

// testOccupyShares: who has all gives back what is another's share, but not what it uses.
func testOccupyShares(t *testing.T, s Store) {
	a, b := s.pair(t)
	mustNot(t, a.Beat(t.Context(), queue.Gateway{}))
	mustNot(t, b.Beat(t.Context(), queue.Gateway{}))
	occupy := func(f queue.Fleet, want, used int) int {
		t.Helper()
		return must[int](t)(f.Occupy(t.Context(), "main", 8, want, used))
	}
	steps := []struct {
		f                queue.Fleet
		used, want, have int
	}{
		{a, 0, 8, 8}, {b, 0, 8, 0}, {a, 8, 8, 8}, {b, 0, 8, 0}, {a, 5, 8, 5}, {b, 0, 8, 3}, {a, 2, 8, 4}, {b, 3, 8, 4}, {a, 4, 8, 4},
	}
	for i, step := range steps {
		if n := occupy(step.f, step.want, step.used); n != step.have {
			t.Errorf("step %d: %d places, want %d", i, n, step.have)
		}
	}
}

func testOccupyOfTheDead(t *testing.T, s Store) {
	const lease = 500 * time.Millisecond
	a, b := s.Open(t, t.Name(), "a", lease), s.Open(t, t.Name(), "b", lease)
	mustNot(t, a.Beat(t.Context(), queue.Gateway{}))
	must[int](t)(a.Occupy(t.Context(), "main", 4, 4, 4))
	until(t, func() bool {
		mustNot(t, b.Beat(t.Context(), queue.Gateway{}))
		list := gateways(t, b)
		return must[int](t)(b.Occupy(t.Context(), "main", 4, 4, 0)) == 4 && len(list) == 2 && !list[0].Alive && list[1].Alive
	})
}

// testOccupyTogether: together they never have more than there is.
func testOccupyTogether(t *testing.T, s Store) {
	const limit = 7
	var gateways []queue.Fleet
	for _, name := range []string{"a", "b", "c", "d"} {
		f := s.Open(t, t.Name(), name, long)
		mustNot(t, f.Beat(t.Context(), queue.Gateway{}))
		gateways = append(gateways, f)
	}
	have := make([]int, len(gateways))
	for round := range 5 {
		var wait sync.WaitGroup
		for i, f := range gateways {
			wait.Go(func() {
				n, err := f.Occupy(t.Context(), "main", limit, limit, have[i]/2)
				if err != nil {
					t.Error(err)
				}
				have[i] = n
			})
		}
		wait.Wait()
		sum := 0
		for _, n := range have {
			sum += n
		}
		if sum > limit {
			t.Errorf("round %d: %v are more than %d", round, have, limit)
		}
	}
}
