package upstream

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Feedback is implemented by upstreams whose provider reports later what became of mail. They translate: none of them
// stores, logs, sleeps or remembers anything, and none acts on an event.
type Feedback interface {
	// Listening returns how the settings want later events to come.
	Listening() Listening

	// Poll asks the provider for a page of what happened; no mail is sent. The error is an *Error: of class Throttled
	// with the time to wait, of class Account with a *ScopeError where the key lacks a right, of class Temporary for an
	// answer that cannot be read. Of a page that failed nothing is returned, and the cursor before it stays good.
	Poll(ctx context.Context, ask Ask) (Batch, error)

	// Receive reads one webhook request, whose body has at most MaxEventBytes. It holds the signature against the raw body
	// in constant time, and its age against what the provider's retries allow. The error is ErrSignature where the request is not the
	// provider's, ErrEvents where it is and cannot be read, and an *Error of class Temporary where the provider, asked
	// whether it is true, gives no answer: then it is to be sent again.
	Receive(ctx context.Context, h http.Header, body []byte) (Batch, error)
}

// What Receive and Poll take at most.
const (
	MaxEventBytes = 1 << 20 // of a webhook request's body
	MaxEvents     = 10_000  // of one request or page; what is beyond is counted in Batch.Skipped
)

// ErrSignature is a webhook request that the provider did not sign, or not lately: answer it with 401.
var ErrSignature = errors.New("the request is not signed by the provider")

// ErrEvents is a webhook request of the provider that cannot be read: answer it with 400.
var ErrEvents = errors.New("the request has no events that can be read")

// Listening is how later events of an upstream come.
type Listening struct {
	Every   time.Duration // between two polls; 0: the provider is not asked
	Webhook bool          // requests to POST /events/UPSTREAM are its own
	URL     string        // where the provider reaches that, "" where the settings do not have it

	// Bounces reports that nothing is heard of deliveries this way.
	Bounces bool

	// Pace is the least time between two calls of Poll, those for further pages among them, so that the provider's limits
	// leave room for sending.
	Pace time.Duration
}

// Off reports whether no events come.
func (l Listening) Off() bool { return l.Every == 0 && !l.Webhook }

// Cursor is a place in a provider's log. It is opaque: only the kind that made it reads it, and one that it does not
// understand, from a newer program say, it takes for "".
type Cursor string

// Ask is what Poll is asked for.
type Ask struct {
	Since Cursor // Batch.Next of the last page; "": this is the first
	// Oldest is when the oldest mail was sent that has no final event yet: what was sent before is of no interest.
	Oldest time.Time
}

// Batch is a page of a provider's log, or a webhook request.
type Batch struct {
	Events []Event // in no order; what was reported before may come again, with the same Key

	// Next continues behind this page. It lies back far enough that an event which enters the log late is met: polls
	// overlap, and Keys show what is new. It is to be stored in the same write as the events, or after them.
	Next Cursor
	More bool // another page is there already

	// Skipped counts events that have no meaning here: names that this version does not know, wrong types, missing fields,
	// those beyond MaxEvents. Note describes the first of them, or why others were left out; it holds no secret.
	Skipped int
	Note    string

	// Nonce is a part of the signature that no two genuine requests share, of providers whose signature does not cover the
	// body; "" elsewhere. Whoever stores the events remembers it for a day and answers a second request with it as if it
	// had been stored. Elsewhere a request that is sent again has known Keys.
	Nonce string
}

// Event is one thing that a provider reported of one recipient of one mail.
type Event struct {
	ProviderID string    // Outcome.ID of the mail, in the form in which Send returned it; "" where it is not known
	QueueID    string    // Mail.ID, where the provider hands it back; not to be trusted: anyone may have sent mail by the same account
	Recipient  string    // address
	Kind       EventKind //
	At         time.Time // by the provider's clock, never later than it was read; zero where it is not known
	Words      string    // the provider's, or the far side's, on one line; may be empty
	Status     string    // RFC 3463, "5.1.1"; "" where it is not known
	RemoteMTA  string    // host that the provider spoke to; "" where it is not known
	Key        string    // the same whenever and however this event is reported, and no other's within the upstream
	Unsigned   bool      // no signature covers it and nobody was asked: it must neither stop mail nor cause any
}

// EventKind is what an event means, whatever the provider calls it.
type EventKind int

// The kinds of events. The zero value is not one of them.
const (
	Delivered    EventKind = iota + 1 // the recipient's server has taken it
	Deferred                          // it has not yet, and is tried again by the provider
	Bounced                           // it refuses the recipient, for good
	SoftBounced                       // it was not taken this time, and other mail may be
	Complained                        // the recipient calls it spam
	Suppressed                        // the provider has not tried: the address is on a list of its own
	Failed                            // the provider has given it up, for a reason other than the address
	Unsubscribed                      // the recipient wants no more of it
	Opened
	Clicked
)

var eventNames = [...]string{Delivered: "delivered", Deferred: "deferred", Bounced: "bounced", SoftBounced: "soft_bounced", Complained: "complained",
	Suppressed: "suppressed", Failed: "failed", Unsubscribed: "unsubscribed", Opened: "opened", Clicked: "clicked"}

// String returns the name that the history, the config and the log use.
func (k EventKind) String() string {
	if k <= 0 || int(k) >= len(eventNames) {
		return fmt.Sprintf("event(%d)", int(k))
	}
	return eventNames[k]
}

// ParseEventKind is the inverse of String.
func ParseEventKind(name string) (EventKind, bool) {
	for k, n := range eventNames {
		if n == name && k > 0 {
			return EventKind(k), true
		}
	}
	return 0, false
}

// EventKey makes the Key of an event without an id of the provider's, from what distinguishes it.
func EventKey(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, "\x00")))
	return hex.EncodeToString(sum[:16])
}

// ScopeError is a key that the provider knows and that may not do what was asked.
type ScopeError struct {
	Scope string // the right, as the provider calls it
	Hint  string // where it is given
}

// Error names the right.
func (e *ScopeError) Error() string { return "the key lacks the scope " + e.Scope }

// Hooker is implemented by Feedback whose provider shows and changes by API where its webhooks go.
type Hooker interface {
	// Hook reports whether the provider has this address for all events that count.
	Hook(ctx context.Context, url string) Finding
	// SetHook gives the address to the provider, in place of one with the same host and path, and returns the secret
	// with which its requests will be signed; a zero secret where the config has it already. The error is as that of Poll.
	SetHook(ctx context.Context, url string) (Secret, error)
}

// Tracer is implemented by upstreams whose provider can be asked whether it took a mail whose reply was lost.
type Tracer interface {
	// Trace looks in the provider's log for the offer of m that was made since a time, and returns what it has of each of
	// m.To, in the same order. No mail is sent. The error is as that of Poll; then nothing is known.
	Trace(ctx context.Context, m *Mail, since time.Time) ([]Traced, error)
	// TraceDelay is how long after an offer the log has it for certain: what is not there then was not taken.
	TraceDelay() time.Duration
}

// Traced is what a provider's log has of one recipient.
type Traced struct {
	Found bool
	ID    string // as Outcome.ID
}
