package alert

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
)

// memory is what is kept of one receiver over restarts.
type memory struct {
	Episodes map[string]*episode `json:"episodes,omitempty"` // by key
	Ends     map[string]ends     `json:"ends,omitempty"`     // of episodes, by key
	Pending  *pending            `json:"pending,omitempty"`  // a message that was tried and not taken
}

// fill makes what a memory that was read may lack.
func (m *memory) fill() {
	if m.Episodes == nil {
		m.Episodes = map[string]*episode{}
	}
	if m.Ends == nil {
		m.Ends = map[string]ends{}
	}
}

// divide takes out what is not within a scope.
func (m *memory) divide(s scope) (rest *memory) {
	rest = &memory{}
	rest.fill()
	for key, e := range m.Episodes {
		if !s.has(&e.Alert) {
			rest.Episodes[key] = e
			delete(m.Episodes, key)
		}
	}
	return rest
}

// ends are how often the same trouble has ended of late.
type ends struct {
	N    int       `json:"n"`
	Last time.Time `json:"last"` // when it was last seen to end, or to be gone
}

const (
	endsKept  = 2 * time.Hour // after the last
	shortHold = 30 * time.Second
	longHold  = time.Hour
)

// hold returns how long what comes and goes must be gone before it is over: nobody is to be told of it every minute.
func (e ends) hold() time.Duration {
	if e.N == 0 {
		return 0
	}
	return min(shortHold<<min(e.N-1, 20), longHold)
}

// episode is one time that something was wrong. It stays until the receiver was told of its end.
type episode struct {
	Alert
	Told time.Time `json:"told,omitzero"` // when it was last told that it goes on
	Gone time.Time `json:"gone,omitzero"` // since when it is not seen any more
}

// pending is a message as its receiver gets it, however often it is tried.
type pending struct {
	ID      string          `json:"id"`
	Body    json.RawMessage `json:"body"`
	Message *Message        `json:"-"`
}

// receiver tells one receiver. Its loop is one goroutine; the memory is guarded by the watcher's mutex.
type receiver struct {
	*Alerter
	id      string
	watcher *Watcher
	memory  *memory
	scope   scope
	common  *common     // nil: the memory is this gateway's own
	seen    chan *sight // a token: the latest sight

	failures int       // in a row
	retryAt  time.Time // not before; of the clock that only runs forward
}

const (
	gather     = 10 * time.Second // between two messages
	firstRetry = 5 * time.Second
	lastRetry  = 10 * time.Minute
)

// run follows sights and tells what they mean until ctx ends.
func (r *receiver) run(ctx context.Context) {
	var latest *sight
	retry := time.NewTimer(0)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case latest = <-r.seen:
			if r.common != nil && !r.lead(ctx) {
				latest = nil
				continue
			}
			r.watcher.mu.Lock()
			r.update(latest)
			r.watcher.mu.Unlock()
		case <-retry.C:
		}
		if latest == nil {
			continue // what is pending may be out of date
		}
		r.tell(ctx)
		if r.common != nil && !r.keep(ctx) {
			latest = nil
			continue
		}
		if wait := time.Until(r.retryAt); wait > 0 {
			retry.Reset(wait)
		}
	}
}

// going reports whether the episode of a key has not ended.
func (r *receiver) going(key string) bool {
	e, ok := r.memory.Episodes[key]
	return ok && e.Status == Firing
}

// update brings the episodes up to date.
func (r *receiver) update(v *sight) {
	found := map[string]bool{}
	p := &r.watcher.past
	if r.common != nil {
		p = p.with(r.common.others)
	}
	for _, a := range r.settings.find(v, p, r.going) {
		if !r.scope.has(&a) {
			continue
		}
		key := a.key()
		found[key] = true
		if e := r.memory.Episodes[key]; e != nil {
			if before, ok := r.memory.Ends[key]; ok && !e.Gone.IsZero() { // it comes and goes still
				r.memory.Ends[key] = ends{before.N, v.now}
			}
			a.Since, a.Text = e.Since, cmp.Or(a.Text, e.Text)
			e.Alert, e.Gone = a, time.Time{}
			continue
		}
		r.memory.Episodes[key] = &episode{Alert: a}
	}
	for key, e := range r.memory.Episodes {
		if !found[key] && e.Status == Firing && (!v.unseen(e.Event) || !slices.Contains(r.settings.On, e.Event)) {
			r.end(key, e, v.now)
		}
	}
	maps.DeleteFunc(r.memory.Ends, func(_ string, e ends) bool { return v.now.Sub(e.Last) > endsKept })
}

// end ends an episode of what is gone, once it has been for long enough.
func (r *receiver) end(key string, e *episode, now time.Time) {
	if e.Gone.IsZero() {
		e.Gone = now
	}
	before := r.memory.Ends[key]
	if now.Sub(e.Gone) < before.hold() {
		return
	}
	e.Status, e.Until = Resolved, e.Gone.UTC().Truncate(time.Second)
	r.memory.Ends[key] = ends{before.N + 1, now}
}

// due returns what is to be told now, in the order in which it began.
func (r *receiver) due(now time.Time) (list []Alert) {
	repeat := r.settings.Repeat.Duration
	for _, e := range r.memory.Episodes {
		a := e.Alert
		a.Repeated = a.Status == Firing && !e.Told.IsZero()
		if !a.Repeated || repeat > 0 && now.Sub(e.Told) >= repeat {
			list = append(list, a)
		}
	}
	slices.SortFunc(list, func(a, b Alert) int {
		return cmp.Or(strings.Compare(string(a.Status), string(b.Status)), a.Since.Compare(b.Since), cmp.Compare(a.key(), b.key()))
	})
	return list
}

// maxAlerts bounds what one message tells; what is more comes with the next.
const maxAlerts = 100

// tell sends what is due.
func (r *receiver) tell(ctx context.Context) {
	if time.Now().Before(r.retryAt) {
		return
	}
	p := r.next(ctx)
	if p == nil {
		return
	}
	began := time.Now()
	_, err := r.send(ctx, p.ID, p.Body, p.Message)
	if ctx.Err() != nil {
		return // it is tried again with the same id
	}
	w := r.watcher
	w.cfg.Journal.AlertTold(r.name, TypeAlert, len(p.Message.Data.Alerts), time.Since(began), err)
	if err != nil {
		r.fail(err)
		return
	}
	w.mu.Lock()
	r.taken(p.Message)
	w.mu.Unlock()
	r.failures, r.retryAt = 0, time.Now().Add(gather)
	r.save(ctx)
}

// save keeps what the receiver was told, and reports whether this gateway may tell it more.
func (r *receiver) save(ctx context.Context) bool {
	if r.common != nil {
		return r.keep(ctx)
	}
	r.watcher.save()
	return true
}

// fail plans the next try.
func (r *receiver) fail(err error) {
	r.retryAt = time.Now().Add(pauseAfter(r.failures, err))
	r.failures++
}

// pauseAfter returns how long a receiver is left alone that has failed so many times before.
func pauseAfter(failures int, err error) time.Duration {
	wait := min(firstRetry<<min(2*failures, 20), lastRetry)
	var refused *refusal
	if errors.As(err, &refused) {
		wait = max(wait, min(refused.after, time.Hour))
	}
	return wait
}

// next returns the message to send now; nil: there is nothing to tell. One that was tried stays as it is as long as it
// tells what is due, so that a receiver knows it by its id.
func (r *receiver) next(ctx context.Context) *pending {
	w := r.watcher
	w.mu.Lock()
	now := w.cfg.Now()
	list := r.due(now)
	list = list[:min(len(list), maxAlerts)]
	p := r.memory.Pending
	if p != nil && p.Message == nil {
		p.Message = &Message{}
		if json.Unmarshal(p.Body, p.Message) != nil {
			p = nil
		}
	}
	switch {
	case len(list) == 0:
		p = nil
	case p == nil || !slices.EqualFunc(p.Message.Data.Alerts, list, func(a, b Alert) bool { return a.key() == b.key() && a.Status == b.Status }):
		m := newMessage(TypeAlert, w.origin(r.scope), now, list)
		p = &pending{ID: newID(), Body: encode(m), Message: m}
	}
	changed := p != r.memory.Pending
	r.memory.Pending = p
	w.mu.Unlock()
	if changed && !r.save(ctx) {
		return nil
	}
	return p
}

// taken notes what a receiver was told.
func (r *receiver) taken(m *Message) {
	r.memory.Pending = nil
	now := r.watcher.cfg.Now()
	for _, a := range m.Data.Alerts {
		switch e := r.memory.Episodes[a.key()]; {
		case e == nil:
		case a.Status == Firing:
			e.Told = now
		case e.Status == Resolved:
			delete(r.memory.Episodes, a.key())
		default: // it has begun again since
			e.Told = time.Time{}
		}
	}
}

// newID returns the id of a message; it is the same for each try.
func newID() string { return "msg_" + uuid.NewString() }

// encode writes a message on one line.
func encode(m *Message) []byte {
	b, _ := json.Marshal(m) // it is made of text and times
	return b
}
