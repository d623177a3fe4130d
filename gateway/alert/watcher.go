package alert

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	lookEvery = 5 * time.Second // also how long what happens is gathered for one message
	saveEvery = time.Minute     // of what the journal told
)

// Watcher looks at the gateway and tells receivers. Make one with New, run it with Run.
type Watcher struct {
	cfg    Config
	file   string
	past   past
	change chan struct{} // a token: the alerts have changed

	// Of the goroutine that looks.
	opened    map[string]opening
	endings   []Ending
	endingsAt time.Time
	published []byte // see publish

	saving sync.Mutex // one write of the file at a time
	saved  []byte     // what is in it

	mu       sync.Mutex
	hostname string
	alerters []*Alerter
	memories map[string]*memory // by receiver
}

// New returns a watcher with what an earlier one left in the state directory.
func New(cfg Config) *Watcher {
	w := &Watcher{cfg: cfg, file: stateFile(cfg.Dir), change: make(chan struct{}, 1), memories: map[string]*memory{},
		past: past{now: cfg.Now, well: map[string]time.Time{}}}
	w.load()
	cfg.Journal.Listen(w.past.hear)
	return w
}

// Follow makes it tell these receivers from now on.
func (w *Watcher) Follow(alerters []*Alerter, hostname string) {
	w.mu.Lock()
	w.alerters, w.hostname = alerters, hostname
	w.mu.Unlock()
	select {
	case w.change <- struct{}{}:
	default:
	}
}

// Run looks and tells until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		w.watch(ctx)
	}
	return nil
}

// watch serves the receivers of now, until ctx ends or there are others.
func (w *Watcher) watch(ctx context.Context) {
	select {
	case <-w.change:
	default:
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var group errgroup.Group
	var attending []*receiver
	var on []string
	for _, r := range w.receivers() {
		if r.settings.isTold() && w.cfg.Outbox != nil {
			group.Go(func() error { r.forward(ctx); return nil })
		}
		for _, r := range r.parts() {
			attending = append(attending, r)
			on = append(on, r.settings.looked()...)
			group.Go(func() error { r.run(ctx); return nil })
		}
		if r.settings.Every.Duration > 0 {
			group.Go(func() error { r.beat(ctx); return nil })
		}
	}
	if len(on) > 0 {
		w.past.listen()
	} else {
		w.past.deafen()
	}
	w.attend(ctx, attending, on)
	cancel()
	_ = group.Wait()
	if len(on) > 0 {
		w.save()
	}
}

// receivers returns those of now, each with its memory. What was kept of others goes.
func (w *Watcher) receivers() (list []*receiver) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := map[string]*memory{}
	ids := idsOf(w.alerters)
	for i, a := range w.alerters {
		id := ids[i]
		m := w.memories[id]
		if m == nil {
			m = &memory{}
		}
		m.fill()
		kept[id] = m
		list = append(list, &receiver{Alerter: a, id: id, watcher: w, memory: m, seen: make(chan *sight, 1)})
	}
	w.memories = kept
	return list
}

// parts returns the receivers that follow what a receiver is told of: where gateways share a queue, one of what is this
// one's own, and one of what they have in common.
func (r *receiver) parts() (list []*receiver) {
	looked := r.settings.looked()
	if len(looked) == 0 {
		return nil
	}
	w := r.watcher
	if w.cfg.Fleet == nil {
		return []*receiver{r}
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	rest := r.memory.divide(ofOne) // of before there were others
	if ofOne.any(looked) {
		own := *r
		own.scope = ofOne
		list = append(list, &own)
	}
	if ofFleet.any(looked) {
		common := &common{fleet: w.cfg.Fleet}
		list = append(list, &receiver{Alerter: r.Alerter, id: r.id, watcher: w, memory: rest, scope: ofFleet, common: common, seen: make(chan *sight, 1)})
	}
	return list
}

// idsOf returns what each receiver is known by over restarts.
func idsOf(list []*Alerter) []string {
	ids := make([]string, 0, len(list))
	for _, a := range list {
		id := a.settings.id()
		for n := 2; slices.Contains(ids, id); n++ { // told of other events beside
			id = a.settings.id() + "#" + strconv.Itoa(n)
		}
		ids = append(ids, id)
	}
	return ids
}

// attend shows the receivers what it sees, until ctx ends or there are others.
func (w *Watcher) attend(ctx context.Context, receivers []*receiver, on []string) {
	if len(on) == 0 {
		select {
		case <-ctx.Done():
		case <-w.change:
		}
		return
	}
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for saved := time.Now(); ; {
		v := w.look(ctx, on)
		w.publish(ctx, on)
		for _, r := range receivers {
			select {
			case <-r.seen: // it is busy: a later sight says more
			default:
			}
			r.seen <- v
		}
		if time.Since(saved) >= saveEvery {
			w.past.forget(v.now)
			w.save()
			saved = time.Now()
		}
		select {
		case <-ctx.Done():
			return
		case <-w.change:
			return
		case <-tick.C:
		}
	}
}

// Result is what came back from a receiver.
type Result struct {
	Name     string
	Receiver string // without secrets
	Answer   string
	Err      error
	Took     time.Duration
}

// Test sends a test to the receivers of this name, "" for all, and returns what came back.
func (w *Watcher) Test(ctx context.Context, name string) ([]Result, error) {
	w.mu.Lock()
	list, from := slices.Clone(w.alerters), w.origin(ofOne)
	w.mu.Unlock()
	names := map[string]bool{}
	for _, a := range list {
		names[a.name] = true
	}
	if name != "" {
		list = slices.DeleteFunc(list, func(a *Alerter) bool { return a.name != name })
	}
	switch {
	case len(names) == 0:
		return nil, fmt.Errorf("the config has no [[alert]]")
	case len(list) == 0:
		return nil, fmt.Errorf("there is no alert %q; there are %s", name, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
	}
	results := make([]Result, len(list))
	var group errgroup.Group
	for i, a := range list {
		group.Go(func() error {
			m := newMessage(TypeTest, from, w.cfg.Now(), []Alert{})
			began := time.Now()
			answer, err := a.send(ctx, newID(), encode(m), m)
			results[i] = Result{Name: a.name, Receiver: a.settings.Receiver(), Answer: answer, Err: err, Took: time.Since(began)}
			w.cfg.Journal.AlertTold(a.name, TypeTest, 0, results[i].Took, err)
			return nil
		})
	}
	_ = group.Wait()
	return results, nil
}
