package told

import (
	"slices"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
)

// Heard is what was told of a message before.
type Heard struct {
	names map[string]bool
	once  []queue.Event
}

// NewHeard returns that of a message of which nothing was told.
func NewHeard() *Heard { return &Heard{names: map[string]bool{}} }

// Add adds an event of the message; those that nobody told do not count.
func (h *Heard) Add(e queue.Event) {
	if e.Told == "" {
		return
	}
	h.names[e.Told] = true
	if e.Kind.IsOnce() {
		h.once = append(h.once, e)
	}
}

// knowledge is what is known of something that is told.
type knowledge int

const (
	fresh knowledge = iota
	again           // it was told before
	alike           // the recipient has such an event
	full            // the message has too many events
)

func (h *Heard) known(i *Item, r *row.Record, hide Hide) knowledge {
	switch {
	case h.names[i.Name]:
		return again
	case slices.ContainsFunc(h.once, func(e queue.Event) bool {
		return e.Kind == i.Kind && slices.ContainsFunc(e.To, func(to string) bool { return isOf(to, r, hide) })
	}):
		return alike
	case len(h.names) >= queue.ToldOfMail:
		return full
	}
	return fresh
}

// News is what something that was told comes to.
type News struct {
	queue.Joined
	Event queue.Event // to be kept with the message; without Kind: none
}

// Take decides what something that was told of the recipient of a record comes to, and changes the record and what was heard
// accordingly; nil: it changes nothing. A late bounce is due once, and not to the null sender.
func (h *Heard) Take(i *Item, r *row.Record, hide Hide) (*News, error) {
	rec, err := r.Decode()
	if err != nil {
		return nil, err
	}
	known, since := h.known(i, r, hide), rec.Told
	if since.IsZero() {
		since = rec.At
	}
	state, changed := i.Kind.After(i.At, rec.State, since)
	if known == again || known != fresh && !changed {
		return nil, nil
	}
	n := &News{Joined: queue.Joined{Told: i.Told, Upstream: i.Upstream, From: rec.From, MessageID: rec.Header.MessageID, State: state, Changed: changed}}
	if n.ID = rec.ID; n.Recipient == "" {
		n.Recipient = rec.Recipient.Address
	}
	if changed {
		words := i.Words
		if state == envelope.Delivered {
			words = ""
		}
		if n.Report, err = r.Tell(state, i.At, words, state == envelope.Bounced && rec.From != ""); err != nil {
			return nil, err
		}
	}
	if known == fresh {
		n.Event = queue.Event{At: i.At, Kind: i.Kind, To: []string{n.Recipient}, Upstream: i.Upstream, Words: i.Words, Status: i.Status, Told: i.Name}
		seen := n.Event
		seen.To = []string{r.Recipient} // as the row has it, hidden or not
		h.Add(seen)
	}
	return n, nil
}
