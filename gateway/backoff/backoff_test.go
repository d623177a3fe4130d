package backoff

import (
	"fmt"
	"testing"
	"time"
)

// clock is a time that only the test moves.
type clock struct{ time.Time }

func (c *clock) pass(d time.Duration) { c.Time = c.Add(d) }

func newGuard() (*Guard, *clock) {
	c := &clock{time.Unix(1e9, 0)}
	return New(time.Second, func() time.Time { return c.Time }), c
}

// guess tries a wrong password for some time, as fast as the guard lets, and returns how often.
func (g *Guard) guess(c *clock, during time.Duration, login func(n int) (user, source string)) (n int) {
	for end := c.Add(during); c.Before(end); n++ {
		user, source := login(n)
		if w := g.Wait(user, source); w > 0 {
			c.pass(w)
		}
		g.Failed(user, source)
	}
	return n
}

func TestGuesses(t *testing.T) {
	for _, tc := range []struct {
		name  string
		most  int
		login func(n int) (user, source string)
	}{
		{"one user from one address", 130, func(int) (string, string) { return "ann", "192.0.2.1" }},
		{"many users from one address", 730, func(n int) (string, string) { return fmt.Sprint(n), "192.0.2.1" }},
		{"one user from many addresses", 1810, func(n int) (string, string) { return "ann", fmt.Sprint(n) }},
	} {
		g, c := newGuard()
		if n := g.guess(c, time.Hour, tc.login); n > tc.most {
			t.Errorf("%s: %d guesses an hour, want at most %d", tc.name, n, tc.most)
		}
	}
}

func TestDelaysGrowAndPass(t *testing.T) {
	g, c := newGuard()
	for i, want := range []int{1, 2, 4, 8, 16, 30, 30} {
		g.Failed("ann", "home")
		if d := g.Wait("ann", "home"); d != time.Duration(want)*time.Second {
			t.Errorf("after %d failures: %v, want %d s", i+1, d, want)
		}
	}
	c.pass(30 * time.Second)
	if d := g.Wait("ann", "home"); d != 0 {
		t.Errorf("after the delay: %v", d)
	}
	c.pass(forgetFailures)
	g.Failed("ann", "home")
	if d := g.Wait("ann", "home"); d != time.Second {
		t.Errorf("failures are not forgotten: %v", d)
	}
	g.Succeeded("ann", "home")
	if d := g.Wait("ann", "home"); d != 0 {
		t.Errorf("after a success: %v", d)
	}
}

// Whatever is guessed elsewhere or beside her, the owner waits two units at most.
func TestOwnerIsNotLockedOut(t *testing.T) {
	for name, tc := range map[string]struct {
		proven bool
		login  func(n int) (user, source string)
		most   time.Duration
	}{
		"from elsewhere":                     {false, func(int) (string, string) { return "ann", "evil" }, 2 * time.Second},
		"from everywhere":                    {false, func(n int) (string, string) { return "ann", fmt.Sprint(n) }, 2 * time.Second},
		"from everywhere, at home":           {true, func(n int) (string, string) { return "ann", fmt.Sprint(n) }, 0},
		"others from her address":            {true, func(n int) (string, string) { return fmt.Sprint(n), "home" }, 0},
		"others from her address, she's new": {false, func(n int) (string, string) { return fmt.Sprint(n), "home" }, 5 * time.Second},
		"her name from her address":          {true, func(int) (string, string) { return "ann", "home" }, 2 * time.Second},
	} {
		g, c := newGuard()
		if tc.proven {
			g.Succeeded("ann", "home")
		}
		g.guess(c, time.Hour, tc.login)
		if d := g.Wait("ann", "home"); d > tc.most {
			t.Errorf("%s: she waits %v, want %v at most", name, d, tc.most)
		}
	}
}

// However many names are tried, memory is bounded, and neither a guesser nor a proven login is forgotten for it.
func TestBoundedMemory(t *testing.T) {
	g, _ := newGuard()
	g.Succeeded("ann", "home")
	for range 20 {
		g.Failed("bob", "evil")
	}
	for i := range 5 * maxRecords {
		g.Failed(fmt.Sprint(i), "evil")
	}
	if n := len(g.records); n > maxRecords {
		t.Errorf("%d records", n)
	}
	if g.Wait("new", "evil") == 0 || g.Wait("bob", "evil") == 0 {
		t.Error("the guesser is forgotten")
	}
	g.Failed("ann", "home")
	if d := g.Wait("ann", "home"); d > time.Second {
		t.Errorf("the proven login is forgotten: %v", d)
	}
}
