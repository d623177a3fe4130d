package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"mailhatch/gateway/queue"
)

// Fleet is the gateways that share a queue. What is about the queue or an upstream is told once for all of them: each
// receiver has one gateway that tells it, and others go on with what it knew when it dies.
type Fleet struct {
	Name  string // of this gateway
	Store queue.Fleet
	Alone func(ctx context.Context, what string, d time.Duration) bool // see fleet.Fleet
}

const (
	toldNotes = "alert/told/" // notes with what a receiver was told
	seenNotes = "alert/seen/" // notes with what the journal of a gateway told
	fleetTime = 5 * time.Second
	leadTime  = 30 * time.Second // without a sign of life before another gateway tells a receiver
)

// scope is which alerts a receiver is about.
type scope int

const (
	all     scope = iota // there is one gateway
	ofOne                // of several: this one
	ofFleet              // what they have in common
)

// has reports whether an alert is within the scope.
func (s scope) has(a *Alert) bool {
	own := slices.Contains([]string{Disk, Maildrop, InternalError}, a.Event) || a.Event == Expiring && strings.HasPrefix(a.Subject, "listener ")
	return s == all || own == (s == ofOne)
}

// any reports whether alerts on these events may be within the scope.
func (s scope) any(events []string) bool {
	return slices.ContainsFunc(events, func(event string) bool {
		return event == Expiring || s.has(&Alert{Event: event})
	})
}

// countsAll reports whether what the journals of all gateways tell matters for these events.
func countsAll(events []string) bool {
	return slices.Contains(events, Failed) || slices.Contains(events, Silent)
}

// common is what a receiver that one gateway tells for all has in the store.
type common struct {
	fleet   *Fleet
	leads   bool   // this gateway tells it, and knows what it was told
	version int64  // of what was told
	saved   []byte // likewise
	others  []seen // by the other gateways
}

// leadFor is how long a gateway tells a receiver without a sign of life: longer than a try takes.
func (s *Settings) leadFor() time.Duration { return max(leadTime, s.Timeout.Duration+leadTime/2) }

// lead reports whether this gateway is the one to tell the receiver, and knows what it was told and what the others have seen.
func (r *receiver) lead(ctx context.Context) bool {
	c := r.common
	if !c.fleet.Alone(ctx, "alert "+r.id, r.settings.leadFor()) {
		c.leads = false
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, fleetTime)
	defer cancel()
	if !c.leads && !r.recall(ctx) {
		return false
	}
	if countsAll(r.settings.On) {
		notes, err := c.fleet.Store.Notes(ctx, seenNotes)
		if err != nil {
			return false
		}
		c.others = c.others[:0]
		for _, note := range notes {
			switch s := (seen{}); {
			case note.Name == seenNotes+c.fleet.Name:
			case time.Since(note.At) > maxWindow: // of one that is gone
				_ = c.fleet.Store.Put(ctx, note.Name, nil)
			case json.Unmarshal(note.Value, &s) == nil:
				c.others = append(c.others, s)
			}
		}
	}
	return true
}

// recall reads what the receiver was told.
func (r *receiver) recall(ctx context.Context) bool {
	c := r.common
	notes, err := c.fleet.Store.Notes(ctx, toldNotes+r.id)
	if err != nil {
		return false
	}
	r.watcher.mu.Lock()
	defer r.watcher.mu.Unlock()
	c.version, c.saved = 0, nil
	for _, note := range notes {
		if note.Name == toldNotes+r.id {
			c.version = note.Version
			m := &memory{}
			if json.Unmarshal(note.Value, m) == nil {
				r.memory = m
			}
		}
	}
	r.memory.fill()
	c.leads = true
	return true
}

// keep stores what the receiver was told, and reports whether it could. What could not is read again.
func (r *receiver) keep(ctx context.Context) bool {
	c := r.common
	r.watcher.mu.Lock()
	raw, err := json.Marshal(r.memory)
	r.watcher.mu.Unlock()
	if err == nil && bytes.Equal(raw, c.saved) {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, fleetTime)
	defer cancel()
	version := int64(0)
	if err == nil {
		version, err = c.fleet.Store.Replace(ctx, toldNotes+r.id, raw, c.version)
	}
	if c.leads = err == nil && version != 0; c.leads {
		c.version, c.saved = version, raw
	}
	return c.leads
}

// seen is what the journal of a gateway told, for the one that tells receivers.
type seen struct {
	Since  time.Time `json:"since,omitzero"`
	SentAt time.Time `json:"sent_at,omitzero"`
	Counts []count   `json:"counts,omitempty"` // of failed
}

// fine is how long the counts of single minutes are passed on; those of earlier ones are by the hour.
const fine = 2 * time.Hour

// seen returns what others may know.
func (p *past) seen(now time.Time) seen {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := seen{Since: p.since, SentAt: p.sentAt}
	for _, c := range p.counts {
		if c.Event != Failed || now.Sub(c.Minute) > maxWindow {
			continue
		}
		if now.Sub(c.Minute) > fine {
			c.Minute = c.Minute.Truncate(time.Hour)
		}
		i := slices.IndexFunc(s.Counts, func(o count) bool { return o.Minute.Equal(c.Minute) && o.Subject == c.Subject })
		if i < 0 {
			s.Counts = append(s.Counts, c)
		} else {
			s.Counts[i].N += c.N
		}
	}
	return s
}

// with returns the past of this gateway and of others.
func (p *past) with(others []seen) *past {
	p.mu.Lock()
	defer p.mu.Unlock()
	sum := &past{now: p.now, since: p.since, sentAt: p.sentAt, accepted: uncounted, counts: slices.Clone(p.counts), well: maps.Clone(p.well)}
	for _, o := range others {
		if !o.Since.IsZero() && o.Since.Before(sum.since) {
			sum.since = o.Since
		}
		if o.SentAt.After(sum.sentAt) {
			sum.sentAt = o.SentAt
		}
		sum.counts = append(sum.counts, o.Counts...)
	}
	return sum
}

// publish lets the gateway that tells receivers know what this one's journal told.
func (w *Watcher) publish(ctx context.Context, on []string) {
	if w.cfg.Fleet == nil || !countsAll(on) {
		return
	}
	raw, err := json.Marshal(w.past.seen(w.cfg.Now()))
	if err != nil || bytes.Equal(raw, w.published) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, fleetTime)
	defer cancel()
	if w.cfg.Fleet.Store.Put(ctx, seenNotes+w.cfg.Fleet.Name, raw) == nil { // else the next one does
		w.published = raw
	}
}
