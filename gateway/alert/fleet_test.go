package alert

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest/fleettest"
)

// town is three gateways on one queue, each with a listener of its own for the same receiver.
type town struct {
	store     *fleettest.Memory
	gateways  []*rig
	listeners []*listener
}

func (w *town) fleet(name string) *Fleet {
	store := w.store.Gateway(name)
	return &Fleet{Name: name, Store: store, Alone: func(ctx context.Context, what string, d time.Duration) bool {
		may, err := store.Lock(ctx, what, d)
		return may && err == nil
	}}
}

// start starts a gateway, again if it is there.
func (w *town) start(i int, change func(*Settings), on ...string) {
	r := w.gateways[i]
	r.fleet = w.fleet(string(rune('a' + i)))
	r.start(alerter(w.listeners[i], change, on...))
}

// take returns what all listeners were told since the last time.
func (w *town) take() string {
	var told []string
	for _, l := range w.listeners {
		if text := l.take(); text != "" {
			told = append(told, text)
		}
	}
	return strings.Join(told, "\n")
}

func (w *town) want(t *testing.T, want string) {
	t.Helper()
	if got := w.take(); got != want {
		t.Errorf("it was told\n%s\nwant\n%s", got, want)
	}
}

func (w *town) each(f func(r *rig)) {
	for _, r := range w.gateways {
		r.set(func() { f(r) })
	}
}

// pass lets time go by everywhere.
func (w *town) pass(d time.Duration) { w.gateways[0].pass(d) }

// inTown runs a test with three gateways that run.
func inTown(t *testing.T, change func(*Settings), on []string, test func(t *testing.T, w *town)) {
	t.Helper()
	var dirs []string
	for range 3 {
		dirs = append(dirs, t.TempDir())
	}
	synctest.Test(t, func(t *testing.T) {
		w := &town{store: fleettest.NewMemory(time.Minute)}
		for i, dir := range dirs {
			w.gateways = append(w.gateways, &rig{t: t, dir: dir})
			w.listeners = append(w.listeners, &listener{})
			w.start(i, change, on...)
		}
		test(t, w)
		for _, r := range w.gateways {
			r.stop()
		}
	})
}

func closed(r *rig) {
	r.upstreams = []Upstream{{Name: "main", Closed: true, Reason: "account", Since: time.Now(), Error: "401 bad key"}}
}

func opened(r *rig) { r.upstreams = []Upstream{{Name: "main"}} }

// TestOnceForAll: what gateways have in common is told once, and so is its end, also by others when those who told it are gone.
func TestOnceForAll(t *testing.T) {
	on := []string{UpstreamClosed, QueueOld}
	inTown(t, nil, on, func(t *testing.T, w *town) {
		w.each(closed)
		w.pass(11 * time.Minute)
		w.listeners[0].want(t, "upstream main is closed (account): 401 bad key") // it was the first to look
		w.want(t, "")
		w.gateways[0].stop() // it dies, and its lock stays
		w.each(func(r *rig) { r.queue = Depth{Count: 3, Oldest: time.Now().Add(-2 * time.Hour)} })
		w.pass(time.Minute)
		w.want(t, "the oldest of 3 in the queue was accepted 2 h ago")
		w.start(0, nil, on...) // knows nothing yet
		w.pass(time.Minute)
		w.each(opened)
		w.pass(12 * time.Minute)
		w.want(t, "resolved: upstream main is closed (account): 401 bad key")
		for i := range w.gateways {
			w.gateways[i].stop()
		}
		for i := range w.gateways {
			w.start(i, nil, on...)
		}
		w.pass(time.Minute)
		w.want(t, "")
		w.pass(4 * time.Hour)
		if got := w.take(); strings.Count(got, "still: the oldest of 3") != 1 {
			t.Errorf("after `repeat` it was told\n%s", got)
		}
	})
}

// TestEachItsOwn: what is about one machine is told by it, and names it.
func TestEachItsOwn(t *testing.T) {
	inTown(t, nil, []string{Disk, Maildrop, Expiring, InternalError}, func(t *testing.T, w *town) {
		ending := Ending{Owner: "listener 127.0.0.1:25", What: "certificate", At: time.Now().Add(49 * time.Hour)}
		shared := Ending{Owner: "upstream main", What: "token", Reason: "refused"}
		w.each(func(r *rig) { r.endings = []Ending{shared} })
		w.gateways[1].set(func() { w.gateways[1].full = errors.New("no space"); w.gateways[1].endings = []Ending{shared, ending} })
		w.gateways[2].set(func() { w.gateways[2].maildrop = Drops{Refused: 1} })
		w.pass(2 * time.Minute)
		if got := w.listeners[0].take(); got != "upstream main: the token is missing and was not renewed: refused" {
			t.Errorf("a told\n%s", got)
		}
		if got := w.listeners[1].take(); strings.Count(got, "mailhatch on app1 (b): ") != 2 || !strings.Contains(got, "new mail is refused: no space") || !strings.Contains(got, "listener 127.0.0.1:25: the certificate ends in 2 d") {
			t.Errorf("b told\n%s", got)
		}
		if got := w.listeners[2].take(); !strings.HasPrefix(got, "mailhatch on app1 (c): 1 message of the maildrop") {
			t.Errorf("c told\n%s", got)
		}
		w.gateways[1].set(func() { w.gateways[1].full = nil })
		w.pass(2 * time.Minute)
		if got := w.take(); !strings.HasPrefix(got, "mailhatch on app1 (b): resolved: new mail is refused") {
			t.Errorf("b told\n%s", got)
		}
	})
}

// TestCountedTogether: recipients that failed at any gateway count, and mail that any has sent.
func TestCountedTogether(t *testing.T) {
	change := func(s *Settings) { s.Count, s.For = 5, duration(26*time.Hour) }
	inTown(t, change, []string{Failed, Silent}, func(t *testing.T, w *town) {
		for i, r := range w.gateways {
			for range 2 {
				r.journal.Failed(journal.Attempt{ID: fmt.Sprint(i), To: []string{"x@example.org"}, Upstream: "main"})
			}
		}
		w.pass(time.Minute)
		w.want(t, "6 recipients failed in 60 min: main 6")
		w.pass(61 * time.Minute)
		w.want(t, "resolved: 6 recipients failed in 60 min: main 6")
		for range 3 {
			w.pass(20 * time.Hour)
			w.gateways[2].journal.Sent(journal.Attempt{ID: "S", To: []string{"x@example.org"}, Upstream: "main"})
		}
		w.pass(25 * time.Hour)
		w.want(t, "")
		w.pass(2 * time.Hour)
		w.want(t, "no gateway has sent anything for 26 h")
		w.gateways[1].journal.Sent(journal.Attempt{ID: "S", To: []string{"x@example.org"}, Upstream: "main"})
		w.pass(time.Minute)
		w.want(t, "resolved: no gateway has sent anything for 27 h")
	})
}

// TestLongWindowsCount: what is passed on of a long time is little, and none of it is lost.
func TestLongWindowsCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &past{now: time.Now}
		for range 24 * 60 {
			p.add(Failed, "main", 1)
			p.add(InternalError, "queue", 1)
			time.Sleep(time.Minute)
		}
		s := p.seen(time.Now())
		if len(s.Counts) > 150 {
			t.Errorf("%d counts of a day", len(s.Counts))
		}
		sum := (&past{now: time.Now}).with([]seen{s})
		if n, of, _ := sum.in(Failed, 25*time.Hour, time.Now()); n != 24*60 || of != "main 1440" {
			t.Errorf("%d: %s", n, of)
		}
		time.Sleep(8 * 24 * time.Hour)
		if s := p.seen(time.Now()); len(s.Counts) != 0 {
			t.Errorf("%d counts after a week", len(s.Counts))
		}
	})
}

// TestStoreOfTheFleetAway: meanwhile nobody tells what is common, and afterwards one does.
func TestStoreOfTheFleetAway(t *testing.T) {
	inTown(t, func(s *Settings) { s.Count = 0 }, []string{UpstreamClosed, Failed}, func(t *testing.T, w *town) {
		w.store.Break(errors.New("away"))
		w.each(closed)
		w.gateways[1].journal.Failed(journal.Attempt{ID: "F", To: []string{"x@example.org"}, Upstream: "main"})
		w.pass(20 * time.Minute)
		w.want(t, "")
		w.store.Break(nil)
		w.pass(time.Minute)
		got := w.take()
		if strings.Count(got, "upstream main is closed") != 1 || strings.Count(got, "1 recipient failed") != 1 {
			t.Errorf("it was told\n%s", got)
		}
	})
}

// TestTriedByAnother: a message that was tried and not taken keeps its id when another gateway goes on with it.
func TestTriedByAnother(t *testing.T) {
	inTown(t, nil, []string{QueueOld}, func(t *testing.T, w *town) {
		for _, l := range w.listeners {
			l.answer(errRefused)
		}
		w.each(func(r *rig) { r.queue = Depth{Count: 1, Oldest: time.Now().Add(-2 * time.Hour)} })
		w.pass(time.Minute)
		notes, err := w.store.Gateway("x").Notes(t.Context(), toldNotes)
		if err != nil || len(notes) != 1 || !strings.Contains(string(notes[0].Value), `"pending"`) {
			t.Fatalf("%+v, %v", notes, err)
		}
		w.gateways[0].stop()
		for _, l := range w.listeners {
			l.answer(nil)
		}
		w.pass(time.Minute)
		var got []told
		for _, l := range w.listeners {
			got = append(got, l.got...)
		}
		if len(got) != 1 || !strings.Contains(string(notes[0].Value), got[0].id) || len(w.listeners[0].got) > 0 || got[0].Data.Gateway != "a" {
			t.Errorf("%+v", got)
		}
		w.start(0, nil, QueueOld)
	})
}

// TestFromBeforeTheFleet: what a gateway has told before it shared its queue is not told again.
func TestFromBeforeTheFleet(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		full := errors.New("no space")
		r.full = full
		closed(r)
		r.start(alerter(l, nil, Disk, UpstreamClosed))
		r.pass(11 * time.Minute)
		if got := l.take(); strings.Count(got, "main is closed") != 1 || strings.Count(got, "no space") != 1 {
			t.Errorf("it was told\n%s", got)
		}
		r.stop()
		w := &town{store: fleettest.NewMemory(time.Minute)}
		r.fleet = w.fleet("a")
		r.start(alerter(l, nil, Disk, UpstreamClosed))
		r.pass(time.Minute)
		l.want(r.t, "")
		r.set(func() { r.full = nil; opened(r) })
		r.pass(12 * time.Minute)
		if got := l.take(); strings.Count(got, "resolved: upstream main") != 1 || strings.Count(got, "resolved: new mail") != 1 {
			t.Errorf("it was told\n%s", got)
		}
	})
}

// TestEventsByOneGateway: two would mix up their order.
func TestEventsByOneGateway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &town{store: fleettest.NewMemory(time.Minute)}
		hook := settings(nil, Told)
		id := hook.id()
		events := &outbox{wait: map[string][]queue.Outgoing{}}
		for i := range 2 {
			w.gateways = append(w.gateways, &rig{t: t, dir: t.TempDir(), outbox: events})
			w.listeners = append(w.listeners, &listener{})
			w.start(i, nil, Told)
		}
		add := func(key int64) {
			events.mu.Lock()
			defer events.mu.Unlock()
			events.wait[id] = append(events.wait[id], queue.Outgoing{Key: key})
		}
		for key := range int64(5) {
			add(key)
		}
		w.pass(10 * time.Second)
		if len(w.listeners[0].got) != 5 || len(w.listeners[1].got) != 0 || w.listeners[0].got[0].Data.Gateway != "a" {
			t.Errorf("%d and %d events", len(w.listeners[0].got), len(w.listeners[1].got))
		}
		w.gateways[0].stop()
		add(5)
		w.pass(time.Minute)
		if len(w.listeners[1].got) != 1 {
			t.Errorf("%d events after a has died", len(w.listeners[1].got))
		}
		w.gateways[1].stop()
	})
}
