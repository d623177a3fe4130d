package alert

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"time"

	"mailhatch/gateway/queue"
)

// Outbox has what providers told until receivers have it.
type Outbox interface {
	Outgoing(ctx context.Context, receiver string, most int) ([]queue.Outgoing, error)
	HandedOver(ctx context.Context, keys ...int64) error
}

const (
	outboxEvery = 2 * time.Second // between two looks at an empty one
	outboxStep  = 100
)

// isTold reports whether the receiver is handed what providers tell.
func (s *Settings) isTold() bool { return slices.Contains(s.On, Told) }

// looked returns the events for which the watcher looks at the gateway.
func (s *Settings) looked() []string {
	return slices.DeleteFunc(slices.Clone(s.On), func(event string) bool { return event == Told })
}

// Forwarded returns by what the store knows the receivers that are handed what providers tell.
func Forwarded(list []*Alerter) (receivers []string) {
	for i, id := range idsOf(list) {
		if list[i].settings.isTold() {
			receivers = append(receivers, id)
		}
	}
	return receivers
}

// EventMessage is the body of a webhook, and the standard input of a program, that hands one event on.
type EventMessage struct {
	Type      string    `json:"type"`
	Timestamp time.Time `json:"timestamp"` // when it happened
	Text      string    `json:"text"`
	Data      EventData `json:"data"`
}

// EventData is what a provider told of a recipient.
type EventData struct {
	Hostname   string    `json:"hostname"`
	Gateway    string    `json:"gateway,omitempty"` // that tells it, of those that share a queue
	Version    string    `json:"version,omitempty"`
	Event      string    `json:"event"` // delivered, bounced…
	At         time.Time `json:"at"`
	ID         string    `json:"id"` // queue id
	MessageID  string    `json:"message_id,omitempty"`
	From       string    `json:"from"` // envelope sender
	To         string    `json:"to"`
	State      string    `json:"state"` // of the recipient from then on
	Upstream   string    `json:"upstream"`
	ProviderID string    `json:"provider_id,omitempty"`
	Status     string    `json:"status,omitempty"` // RFC 3463
	Words      string    `json:"words,omitempty"`  // the provider's
	RemoteMTA  string    `json:"remote_mta,omitempty"`
	Key        string    `json:"key,omitempty"` // by which the provider's event is told from others of its upstream
}

func newEventMessage(from origin, o *queue.Outgoing) *EventMessage {
	return &EventMessage{Type: TypeEvent, Timestamp: o.At.UTC().Truncate(time.Second),
		Text: fmt.Sprintf("%s: %s reported %s for mail %s", from, o.Upstream, o.Kind, o.ID),
		Data: EventData{Hostname: from.hostname, Gateway: from.gateway, Version: from.version, Event: string(o.Kind), At: o.At.UTC(), ID: o.ID, MessageID: o.MessageID, From: o.From, To: o.Recipient,
			State: string(o.State), Upstream: o.Upstream, ProviderID: o.ProviderID, Status: o.Status, Words: o.Words, RemoteMTA: o.RemoteMTA, Key: o.Told.Key}}
}

// forward hands on what waits, one event after the other in their order, until ctx ends. An event that is not taken is tried again
// before the next, with the same id: after a restart too.
func (r *receiver) forward(ctx context.Context) {
	var failures int
	for ctx.Err() == nil {
		if !r.mayForward(ctx) {
			select {
			case <-ctx.Done():
			case <-time.After(outboxEvery):
			}
			continue
		}
		list, err := r.watcher.cfg.Outbox.Outgoing(ctx, r.id, outboxStep)
		if err != nil && ctx.Err() == nil {
			r.watcher.cfg.Journal.InternalError("alert", err)
		}
		var done []int64
		for i := range list {
			if !r.wants(&list[i]) {
				done = append(done, list[i].Key)
				continue
			}
			if !r.mayForward(ctx) {
				break // what is leased here goes on by another gateway, once that is over
			}
			if err = r.handOver(ctx, &list[i]); err != nil {
				break
			}
			failures, done = 0, append(done, list[i].Key)
		}
		if len(done) > 0 { // also at the end: who has it must not get it again
			if e := r.watcher.cfg.Outbox.HandedOver(context.WithoutCancel(ctx), done...); e != nil && ctx.Err() == nil {
				r.watcher.cfg.Journal.InternalError("alert", e)
				err = e
			}
		}
		wait := time.Duration(0)
		switch {
		case err != nil:
			wait = pauseAfter(failures, err)
			failures++
		case len(list) < outboxStep:
			wait = outboxEvery
		}
		select {
		case <-ctx.Done():
		case <-time.After(wait):
		}
	}
}

// mayForward reports whether this gateway is the one that hands events to the receiver: two would mix up their order.
func (r *receiver) mayForward(ctx context.Context) bool {
	fleet := r.watcher.cfg.Fleet
	return fleet == nil || fleet.Alone(ctx, "events "+r.id, r.settings.leadFor())
}

func (r *receiver) wants(o *queue.Outgoing) bool {
	return len(r.settings.Events) == 0 || slices.Contains(r.settings.Events, string(o.Kind))
}

// handOver sends one event.
func (r *receiver) handOver(ctx context.Context, o *queue.Outgoing) error {
	w := r.watcher
	w.mu.Lock()
	from := w.origin(ofFleet)
	w.mu.Unlock()
	body, err := json.Marshal(newEventMessage(from, o))
	if err != nil {
		return err
	}
	began := time.Now()
	_, err = r.send(ctx, "evt_"+o.ID+"_"+strconv.FormatInt(o.Key, 36), body, &Message{Type: TypeEvent, Data: Data{Hostname: from.hostname, Gateway: from.gateway}})
	if ctx.Err() == nil {
		w.cfg.Journal.AlertTold(r.name, TypeEvent, 0, time.Since(began), err)
	}
	return err
}
