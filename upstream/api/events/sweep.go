package events

import (
	"strings"
	"time"

	"mailhatch/upstream"
)

// Sweep is a stretch of a log that is read page by page. Stretches overlap: events enter a log late.
type Sweep struct {
	From, To time.Time
	Page     string // of the provider; "" at the beginning
	deep     time.Time
}

// How far stretches reach back behind the end of the one before: a little each time, and far now and then, so that what
// enters the log very late is met too without everything being read again and again.
const (
	overlap     = 3 * time.Minute
	deepEvery   = 30 * time.Minute
	deepOverlap = time.Hour
	staleAfter  = time.Hour // of a stretch that was not read to its end: tokens of pages do not live for ever
)

// recent is how old mail may be whose state each poll asks for, where states change in place; that of older mail is asked
// for now and then.
const recent = time.Hour

// sweepVersion is the first word of a cursor.
const sweepVersion = "1"

// Begin returns the stretch to read: the rest of the one that the cursor stands in, or the next. keeps is how long the
// provider's log reaches back.
func Begin(ask upstream.Ask, now time.Time, keeps time.Duration) Sweep {
	oldest := now.Add(-keeps)
	if ask.Oldest.After(oldest) {
		oldest = ask.Oldest.Add(-overlap) // clocks differ
	}
	s := Sweep{From: oldest, To: now, deep: now}
	words := strings.SplitN(string(ask.Since), " ", 5)
	if len(words) != 5 || words[0] != sweepVersion {
		return s
	}
	from, err1 := time.Parse(time.RFC3339, words[1])
	to, err2 := time.Parse(time.RFC3339, words[2])
	deep, err3 := time.Parse(time.RFC3339, words[3])
	if err1 != nil || err2 != nil || err3 != nil || to.After(now.Add(overlap)) {
		return s
	}
	if words[4] != "" {
		s.From, s.deep = from, deep
		if now.Sub(to) < staleAfter {
			s.To, s.Page = to, words[4]
		}
		return s
	}
	s.From, s.deep = to.Add(-overlap), deep
	if now.Sub(deep) >= deepEvery {
		s.From, s.deep = to.Add(-deepOverlap), now
	}
	if s.From.Before(oldest) {
		s.From = oldest
	}
	return s
}

// Next is the cursor behind a page; next is the provider's name for the page to come, "" where this was the last.
func (s Sweep) Next(next string) upstream.Cursor {
	form := func(t time.Time) string { return t.UTC().Format(time.RFC3339) }
	return upstream.Cursor(strings.Join([]string{sweepVersion, form(s.From), form(s.To), form(s.deep), next}, " "))
}

// Oldest is how far back a log is read that lists mail by the time at which it was sent: a little, and as far as a final
// event is missing now and then.
func (s Sweep) Oldest(ask upstream.Ask, now time.Time, keeps time.Duration) time.Time {
	oldest, kept := now.Add(-recent), now.Add(-keeps)
	if s.isDeep() {
		oldest = ask.Oldest
	}
	if oldest.Before(kept) {
		return kept
	}
	return oldest
}

// isDeep reports whether a stretch goes far back, as one now and then does.
func (s Sweep) isDeep() bool { return s.deep.Truncate(time.Second).Equal(s.To.Truncate(time.Second)) }
