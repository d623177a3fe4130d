package queue

import (
	"context"
	"time"

	"mailhatch/gateway/envelope"
)

// Feedback keeps what providers tell of mail after they took it.
type Feedback interface {
	// Cursor returns how far the log of an upstream was taken in; "" at first.
	Cursor(ctx context.Context, upstream string) (string, error)
	// Awaited returns when the oldest mail was sent, since a time, of which its upstream has told nothing that is final;
	// zero: there is none.
	Awaited(ctx context.Context, upstream string, since time.Time) (time.Time, error)
	// Apply takes in what was told of an upstream's mail, and its cursor, in one atomic write. What was told before changes
	// nothing. What is about no recipient in the history waits there for JoinTime, for the provider may be quicker than the
	// record of its answer; Rejoin looks for it again. What nothing can be made of is dropped and counted.
	Apply(ctx context.Context, n News) (Applied, error)
	// Rejoin looks for the recipients of what waits among the records that came since.
	Rejoin(ctx context.Context) (Applied, error)
	// ToldOf returns what an upstream has told of the recipients of a message and waits for their records, in the order in
	// which it came. A provider reports only on mail that it took.
	ToldOf(ctx context.Context, upstream, id string) ([]Told, error)
	// LateBounces returns what is to be reported to senders, in the order of the records: recipients of mail that was
	// sent, of whom it was told that they do not get it. Each stays until a message is committed that names it in
	// Accepted.Reports, or until Dismiss. There is at most one of a record, for ever. After is the key of the last one of
	// the page before.
	LateBounces(ctx context.Context, after string, max int) ([]LateBounce, error)
	// Dismiss gives up late bounces that nobody is told of.
	Dismiss(ctx context.Context, keys ...string) error
}

// Bounds of what is kept of news.
const (
	JoinTime   = time.Hour
	JoinMost   = 100_000 // of all upstreams; the oldest give way
	NonceTime  = 10 * time.Minute
	ToldOfMail = 1000 // events that were told of a message and are kept with it; of what is told beyond, states alone change
)

// News is what was told of the mail of one upstream.
type News struct {
	Upstream string
	Cursor   string // up to which its log is taken in with this; "": as before
	Nonce    string // news with the same one, within NonceTime, are not taken in; "": there is none
	Told     []Told
}

// Told is something that a provider tells of a recipient.
type Told struct {
	ID         string    // queue id; "": not known
	ProviderID string    // the provider's id of the message; "": not known. Without either, Recipient and At have to do
	Recipient  string    // "": the only one of that message
	Kind       EventKind // one of those that are told later
	At         time.Time
	Words      string // the provider's
	Status     string // RFC 3463; "": not known
	RemoteMTA  string // name of the host that said so; "": not known
	Key        string // names it, to tell it from others of its upstream; "": what it says does
	Unsigned   bool   `json:",omitempty"` // it does not prove that the upstream took the message
}

// Applied is what came of news.
type Applied struct {
	Joined     []Joined
	Suppressed []Suppression // put on the list by it
	Lifted     []Suppression // taken off by it
	Again      int           // were known
	Waiting    int           // of all upstreams, afterwards
	Replay     bool          // nothing was taken in: there were news with this nonce
	Dropped    int           // nothing can be made of them, or they have waited in vain, or too many do
}

// Add adds what came of further news.
func (a *Applied) Add(o Applied) {
	a.Joined, a.Suppressed, a.Lifted = append(a.Joined, o.Joined...), append(a.Suppressed, o.Suppressed...), append(a.Lifted, o.Lifted...)
	a.Again, a.Dropped, a.Waiting = a.Again+o.Again, a.Dropped+o.Dropped, o.Waiting
}

// Joined is something that was told of a recipient in the history.
type Joined struct {
	Told             // with the queue id
	Upstream  string // that took the mail
	From      string // envelope sender, as far as the history has it
	MessageID string
	State     envelope.State // of the recipient from now on
	Changed   bool           // it had another one
	Report    bool           // there is a late bounce
}

// LateBounce is a recipient whose sender is to be told that mail which was sent did not arrive.
type LateBounce struct {
	Key    string // names it
	Record Record
	Told   Told
}

// What providers tell later. The first four change states, and so does EventFailed, where the provider has given up: see After.
const (
	EventDelivered    EventKind = "delivered"
	EventBounced      EventKind = "bounced"    // for good
	EventSuppressed   EventKind = "suppressed" // by the provider, which has not tried
	EventComplained   EventKind = "complained"
	EventSoftBounced  EventKind = "soft_bounced"
	EventUnsubscribed EventKind = "unsubscribed"
	EventOpened       EventKind = "opened"
	EventClicked      EventKind = "clicked"
)

// IsTold reports whether providers tell of such. EventDeferred is told too: the provider has not given up.
func (k EventKind) IsTold() bool {
	switch k {
	case EventDelivered, EventBounced, EventSuppressed, EventFailed, EventComplained, EventSoftBounced, EventUnsubscribed, EventOpened, EventClicked, EventDeferred:
		return true
	}
	return false
}

// IsOnce reports whether a recipient of a message has one such event and no more.
func (k EventKind) IsOnce() bool { return k.state() != "" || k == EventUnsubscribed }

// state is what an event makes of a recipient; "": nothing.
func (k EventKind) state() envelope.State {
	switch k {
	case EventDelivered:
		return envelope.Delivered
	case EventBounced, EventSuppressed, EventFailed:
		return envelope.Bounced
	case EventComplained:
		return envelope.Complained
	}
	return ""
}

// After returns the state of a recipient once it was told that something happened to it, and reports whether that changes
// it. told is when the state came about, as far as that was told. The order in which it is told does not matter: the later
// event decides, and a complaint, which nothing follows, before all.
func (k EventKind) After(at time.Time, state envelope.State, told time.Time) (next envelope.State, changed bool) {
	next = k.state()
	switch {
	case next == "" || next == state:
		return state, false
	case state == envelope.Sent:
		return next, true
	case state == envelope.Delivered || state == envelope.Bounced:
		worse := next == envelope.Complained || at.Equal(told) && next == envelope.Bounced
		if worse || at.After(told) {
			return next, true
		}
	}
	return state, false // a complaint, or what the gateway itself has decided
}
