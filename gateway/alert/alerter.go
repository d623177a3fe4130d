package alert

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
)

// Alerter is an [[alert]] that is ready to tell.
type Alerter struct {
	name     string
	settings Settings
	sender
}

// sender takes a message to its receiver, once, and returns what came back in a few words. Its errors hold no secret.
type sender interface {
	send(ctx context.Context, id string, body []byte, m *Message) (answer string, err error)
}

// refusal is an answer that says no.
type refusal struct {
	words string
	after time.Duration // not before; 0: the receiver named no time
}

func (r *refusal) Error() string { return r.words }

// Open makes a list of settings that were checked ready.
func Open(list []Settings, version string) ([]*Alerter, error) {
	alerters := make([]*Alerter, len(list))
	var errs []error
	for i, s := range list {
		a := &Alerter{name: cmp.Or(s.Name, strconv.Itoa(i+1)), settings: s}
		alerters[i] = a
		if len(s.Exec) > 0 {
			a.sender = &program{args: s.Exec, timeout: s.Timeout.Duration}
			continue
		}
		hook, err := newWebhook(&s, version)
		if err != nil {
			errs = append(errs, fmt.Errorf("alert %s: %w", a.name, err))
		}
		a.sender = hook
	}
	return alerters, errors.Join(errs...)
}

// beatSoon is how soon a gateway that is not well is looked at again.
const beatSoon = 5 * time.Second

// beat sends heartbeats while the gateway is well.
func (r *receiver) beat(ctx context.Context) {
	w, every := r.watcher, r.settings.Every.Duration
	for {
		wait := min(beatSoon, every)
		if w.cfg.Healthy() {
			w.mu.Lock()
			m := newMessage(TypeHeartbeat, w.origin(ofOne), w.cfg.Now(), []Alert{})
			w.mu.Unlock()
			began := time.Now()
			_, err := r.send(ctx, newID(), encode(m), m)
			if ctx.Err() == nil {
				w.cfg.Journal.AlertTold(r.name, TypeHeartbeat, 0, time.Since(began), err)
			}
			wait = max(0, every-time.Since(began))
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}
