package gate

import (
	"fmt"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/quota"
	"mailhatch/upstream"
)

// quotas are the windows of the calendar in which recipients were counted last.
type quotas struct {
	windows []queue.Window
	used    []int // recipients of each
}

// isOver reports whether one of the windows has ended, or not begun because the clock was put back.
func (q *quotas) isOver(now time.Time) bool {
	for _, w := range q.windows {
		if now.Before(w.From) || !now.Before(w.Until) {
			return true
		}
	}
	return false
}

// Left is what is left of a quota.
type Left struct {
	Limit quota.Limit
	Left  int // recipients
	Until time.Time
}

// Windows returns the time of day and the windows of the upstream's quotas in which it lies; nil: it has none.
func (g *Gate) Windows() (now time.Time, list []queue.Window) {
	now = g.settings.Now()
	for _, l := range g.settings.Quota {
		from, until := l.Window(now, g.settings.QuotaZone)
		list = append(list, queue.Window{From: from, Until: until, Count: l.Count})
	}
	return now, list
}

// Counted takes in how many recipients the upstream has taken in windows of now. The gate is closed while one of them is
// used up. It reports whether that ended.
func (g *Gate) Counted(windows []queue.Window, used []int) (reopened bool) {
	g.mu.Lock()
	g.quotas = quotas{windows, used}
	var until time.Time
	var err error
	for i, w := range windows {
		if used[i] >= w.Count && w.Until.After(until) {
			until, err = w.Until, fmt.Errorf("its quota of %s is used up until %s", g.settings.Quota[i], w.Until.Format(time.RFC3339))
		}
	}
	closed := g.state == Closed
	switch {
	case !closed && !until.IsZero():
		g.mu.Unlock()
		g.close(Quota, err, until.Sub(g.settings.Now()))
	case closed && g.reason == Quota && until.IsZero():
		g.state = Probing // what ends here is no failure: the next mail is not one to try it with
		g.mu.Unlock()
		g.succeed()
		return true
	case closed && g.reason == Quota: // it goes on by another of its quotas
		g.until, g.lastErr = time.Now().Add(until.Sub(g.settings.Now())), err
		g.mu.Unlock()
	default:
		g.mu.Unlock()
	}
	return false
}

// QuotaEnd returns when a gate that is closed for its quota opens again; zero: it is not.
func (g *Gate) QuotaEnd() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.pause != nil || g.state != Closed || g.reason != Quota {
		return time.Time{}
	}
	return g.until
}

// QuotaError is why recipients are not offered for whom a quota has no room.
func (g *Gate) QuotaError() error {
	if err := g.Refusal(); err != nil {
		return err
	}
	return &upstream.Error{Class: upstream.Throttled, Err: fmt.Errorf("%w (%s)", ErrClosed, Quota)}
}

// left returns what is left of each quota. g.mu is held.
func (g *Gate) left() (list []Left) {
	_, windows := g.Windows()
	for i, w := range windows {
		l := Left{Limit: g.settings.Quota[i], Left: w.Count, Until: w.Until}
		if i < len(g.quotas.windows) && g.quotas.windows[i].From.Equal(w.From) {
			l.Left = max(w.Count-g.quotas.used[i], 0)
		}
		list = append(list, l)
	}
	return list
}
