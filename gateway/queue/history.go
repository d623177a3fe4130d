package queue

import (
	"context"
	"strings"
	"time"

	"mailhatch/gateway/envelope"
)

// History keeps what became of recipients, and what happened to messages on the way there.
type History interface {
	// Search returns what became of recipients whose fate is known, newest first.
	Search(ctx context.Context, f HistoryFilter) ([]Record, error)
	// Events returns what happened to a message beside its end, in the order of their times. They are kept as long as the message is
	// in the queue and its history after that.
	Events(ctx context.Context, id string) ([]Event, error)
	// Note adds events of messages that are in the queue or in the history; Event.ID says of which.
	Note(ctx context.Context, events ...Event) error
	// Finished returns what is kept of a message that has left the queue. The error wraps ErrNotFound where nothing is.
	Finished(ctx context.Context, id string) (*Finished, error)
	// Prune removes what is not to be kept, and gives space back; it works in small steps. Recipients of failed
	// parts that go get a failed record.
	Prune(ctx context.Context, k Keep) (Pruned, error)
	// Stats counts parts and returns when the oldest was accepted, by state; it may be as old as what Lanes returns.
	Stats(ctx context.Context) (map[envelope.State]Depth, error)
}

// Keep says what Prune leaves.
type Keep struct {
	SentAfter   time.Time // history that is older goes
	FailedAfter time.Time // failed parts that are older go, and what was set aside before
	FailedBytes int64     // failed parts beyond it go, the oldest first, as well as those that hold the reserve; 0: no bound
	Bodies      KeepBodies
}

// KeepBodies says which bodies of messages stay that have left the queue: those that fulfil all of it. Bodies never stay
// longer than the history of their message. It holds between calls of Prune too; before the first Settings.Bodies does. Of messages all of
// whose recipients were discarded, such as by Operator.Delete, none ever do.
type KeepBodies struct {
	For   time.Duration // since the message has left the queue; 0: none stay
	Count int           // the last so many messages; 0: no bound
	Bytes int64         // the last ones that are no larger together; 0: no bound
}

// Privacy is what the history does not keep of messages that end.
type Privacy string

// What is hidden. It concerns what is written from then on, not what is there already, and not mail that waits.
const (
	HideNothing   Privacy = "none"
	HideSubjects  Privacy = "subjects"  // and headers
	HideAddresses Privacy = "addresses" // too: digests stand for them, by which whole addresses are found; of the envelope nothing is kept
)

// Pruned is what Prune has removed beside history.
type Pruned struct {
	Messages int   // that had failed parts
	Bytes    int64 // of these parts
	Aside    int   // bodies that had been set aside
}

// HistoryFilter chooses records: those that all of its fields agree to. The zero value chooses all. Texts are compared without
// regard to case. From and To are patterns as in [Filter].
type HistoryFilter struct {
	ID, From, To string
	Word         string // stands within the sender, the recipient, or the recipient as it was given
	Subject      string // words, each of which stands in the subject
	State        envelope.State
	Upstream     string
	MessageID    string // with or without brackets
	ProviderID   string // with or without brackets
	Since, Until time.Time
	After        string // Record.Key of the last one of the page before
	Limit        int
}

// Matches reports whether a record is one of those that the filter chooses; it does not look at After.
func (f *HistoryFilter) Matches(r *Record) bool {
	switch {
	case f.ID != "" && !strings.EqualFold(f.ID, r.ID), f.State != "" && f.State != r.State, f.Upstream != "" && f.Upstream != r.Upstream,
		!f.Since.IsZero() && r.At.Before(f.Since), !f.Until.IsZero() && !r.At.Before(f.Until),
		f.MessageID != "" && PlainID(f.MessageID) != PlainID(r.Header.MessageID), f.ProviderID != "" && PlainID(f.ProviderID) != PlainID(r.ProviderID):
		return false
	}
	return f.namesAddresses(r) && hasWords(r.Header.Subject, f.Subject)
}

func (f *HistoryFilter) namesAddresses(r *Record) bool {
	if !matchesAddress(f.From, r.From) || !matchesAddress(f.To, r.Recipient.Address) && (r.Recipient.Given == "" || !matchesAddress(f.To, r.Recipient.Given)) {
		return false
	}
	if f.Word == "" {
		return true
	}
	word := AddressText(f.Word)
	return strings.Contains(AddressText(r.Recipient.Address), word) || strings.Contains(AddressText(r.Recipient.Given), word) ||
		strings.Contains(AddressText(r.From), word)
}

// hasWords reports whether a text holds each of the words.
func hasWords(text, words string) bool {
	if words == "" {
		return true
	}
	text = strings.ToLower(text)
	for _, w := range strings.Fields(strings.ToLower(words)) {
		if !strings.Contains(text, w) {
			return false
		}
	}
	return true
}

// PlainID is the text by which ids of messages are compared: without brackets and regard to case.
func PlainID(id string) string {
	return strings.ToLower(strings.TrimSuffix(strings.TrimPrefix(id, "<"), ">"))
}

// EventKind is what happened.
type EventKind string

// What happens to messages between acceptance and end. Those that an operator brings about say By whom.
const (
	EventRewritten EventKind = "rewritten" // [[rewrite]] rules changed it when it was accepted; Rule has their names
	EventDeferred  EventKind = "deferred"  // an offer failed and is to be repeated
	EventFailover  EventKind = "failover"  // an offer failed, and another upstream is next
	EventUncertain EventKind = "uncertain" // nobody knows whether an offer was taken
	EventHeld      EventKind = "held"
	EventFailed    EventKind = "failed" // given up, and kept for a while
	EventRetried   EventKind = "retried"
	EventReleased  EventKind = "released"
	EventDeleted   EventKind = "deleted"
	EventMoved     EventKind = "moved"
	EventResent    EventKind = "resent" // a copy was accepted anew
	EventCanary    EventKind = "canary" // it is one: the gateway sent it to see whether Upstream delivers
)

// Event is something that happened to a message. That a message was accepted, and how its recipients ended, are no events:
// its envelope and its records say so.
type Event struct {
	ID       string    `json:"-"` // of the message; methods that know the message fill it in
	At       time.Time `json:"at,omitzero"`
	Kind     EventKind `json:"kind"`
	To       []string  `json:"to,omitempty"`       // recipients; nil: all
	Upstream string    `json:"upstream,omitempty"` // that it is about
	Lane     string    `json:"lane,omitempty"`     // where the recipients wait from then on, where it is another one
	Rule     string    `json:"rule,omitempty"`     // of routing, where it decided
	By       string    `json:"by,omitempty"`       // the operator; "" where the gateway did it
	Words    string    `json:"words,omitempty"`    // the provider's, or why
	Attempts int       `json:"attempts,omitempty"` // offers made until then
	Next     time.Time `json:"next,omitzero"`      // when it is due again
	Gateway  string    `json:"gateway,omitempty"`  // where it happened, if several share the store; methods that write it fill it in
	Status   string    `json:"status,omitempty"`   // RFC 3463, where a provider told it later
	Told     string    `json:"told,omitempty"`     // names what a provider told later; "": the gateway saw it itself
}

// Finished is what is kept of a message that has left the queue.
type Finished struct {
	ID       string
	Envelope envelope.Envelope // with all recipients it had when it was accepted
	Header   Summary
	Fields   []byte // the header as it was accepted, with CRLF line ends, or the beginning of a long one; nil: not kept
	Size     int64  // bytes of the message
	Kept     bool   // Operator.Body opens its bytes
}
