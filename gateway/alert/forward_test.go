package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/queue"
)

// outbox is what waits for receivers.
type outbox struct {
	mu   sync.Mutex
	wait map[string][]queue.Outgoing
	err  error
}

// Outgoing implements Outbox.
func (o *outbox) Outgoing(_ context.Context, receiver string, most int) ([]queue.Outgoing, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.wait[receiver][:min(most, len(o.wait[receiver]))]), o.err
}

// HandedOver implements Outbox.
func (o *outbox) HandedOver(_ context.Context, keys ...int64) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for r, list := range o.wait {
		o.wait[r] = slices.DeleteFunc(list, func(out queue.Outgoing) bool { return slices.Contains(keys, out.Key) })
	}
	return nil
}

func (o *outbox) left(receiver string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.wait[receiver])
}

// taker notes the events that it is handed.
type taker struct {
	mu   sync.Mutex
	err  error
	got  []string
	all  int
	last EventMessage
}

func (l *taker) send(_ context.Context, id string, body []byte, m *Message) (string, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all++
	if l.err != nil {
		return "", l.err
	}
	if err := json.Unmarshal(body, &l.last); err != nil || m.Type != TypeEvent {
		return "", fmt.Errorf("%q: %w", m.Type, err)
	}
	l.got = append(l.got, id+" "+l.last.Data.Event)
	return "", nil
}

func (l *taker) answer(err error) (got string, all int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	got, all, l.err, l.got = strings.Join(l.got, ", "), l.all, err, nil
	return got, all
}

// TestForward: events are handed on one by one, in order, until they are taken, over restarts, with the same id.
func TestForward(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		at := time.Now()
		event := func(key int64, kind queue.EventKind) queue.Outgoing {
			return queue.Outgoing{Key: key, Joined: queue.Joined{Told: queue.Told{ID: "Q1", Recipient: "ann@example.org", Kind: kind, At: at, Words: "550", Key: "k"}, Upstream: "main", From: "app@example.com", State: "bounced"}}
		}
		all, some := &taker{err: errors.New("away")}, &taker{}
		ones := []*Alerter{
			{name: "1", settings: settings(func(*Settings) {}, Told), sender: all},
			{name: "crm", settings: settings(func(s *Settings) { s.Name, s.Events = "crm", []string{"complained"} }, Told), sender: some},
			{name: "ops", settings: settings(func(s *Settings) { s.Name = "ops" }, Disk), sender: &listener{}},
		}
		ids := Forwarded(ones)
		if len(ids) != 2 || ids[1] != "crm" || strings.Contains(ids[0], "example") {
			t.Fatalf("receivers %q", ids)
		}
		box := &outbox{wait: map[string][]queue.Outgoing{}}
		for i, id := range ids {
			n := int64(35 + 1000*i)
			box.wait[id] = []queue.Outgoing{event(n, queue.EventBounced), event(n+1, queue.EventComplained), event(n+2, queue.EventOpened)}
		}
		r := &rig{t: t, dir: t.TempDir(), outbox: box}
		r.start(ones...)
		r.pass(time.Minute)
		if got, tried := all.answer(nil); got != "" || tried < 2 || tried > 5 || box.left(ids[0]) != 3 {
			t.Errorf("a receiver that is away got %q after %d tries, %d are left", got, tried, box.left(ids[0]))
		}
		if got, _ := some.answer(nil); got != "evt_Q1_ss complained" || box.left("crm") != 0 {
			t.Errorf("who wants complaints got %q, %d are left", got, box.left("crm"))
		}
		r.stop()
		r.start(ones...)
		r.pass(time.Minute)
		if got, _ := all.answer(nil); got != "evt_Q1_z bounced, evt_Q1_10 complained, evt_Q1_11 opened" || box.left(ids[0]) != 0 {
			t.Errorf("after a restart: %q, %d are left", got, box.left(ids[0]))
		}
		d := all.last.Data
		if d.To != "ann@example.org" || d.From != "app@example.com" || d.Words != "550" || d.State != "bounced" || d.Hostname != "app1" || d.Version != "1.2" || d.Key != "k" {
			t.Errorf("the last event: %+v", d)
		}
		box.mu.Lock()
		box.err = errors.New("broken")
		box.mu.Unlock()
		r.pass(time.Minute)
		r.stop()
	})
}
