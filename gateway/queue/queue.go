// Package queue keeps accepted mail safe until its fate is known.
//
// A message is one accepted body with its envelope. Its recipients wait in parts: the ones of a part
// share a lane (the upstream they wait for), a schedule and a progress. A message starts with one part
// a route and each attempt may divide a part further. When a message has no part left, its body goes,
// or stays for a while where that is asked for, and its history stays.
//
// Engines implement [Engine], which is several interfaces in one: [Queue] is what accepting and delivering
// need, [Operator] what people do to mail that waits, [History] what is known of mail that is gone, [Feedback]
// what its providers tell of it later, [Forwards] who else is handed that, [Suppressions] whom no mail is offered to,
// [Importer] how mail comes from another store. Package engines has the table of them; queuetest, historytest and
// feedbacktest are the suites that each must pass, and package told decides for all what later events change.
package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"mailhatch/gateway/envelope"
)

// Errors that callers distinguish. Engines wrap them.
var (
	ErrFull     = errors.New("queue: no space left") // 452: new mail is refused, delivery goes on
	ErrBroken   = errors.New("queue: the store failed")
	ErrFenced   = errors.New("queue: the lease was lost")
	ErrNotFound = errors.New("queue: no such message")
	ErrPlace    = errors.New("queue: no place in a list") // Page.After or HistoryFilter.After, which come from an answer before
	ErrLocked   = errors.New("queue: in use by another mailhatch")
	ErrAway     = errors.New("queue: the database is out of reach") // 451: it comes back by itself
	ErrClosed   = errors.New("queue: closed")
	ErrReported = errors.New("queue: another message reports the late bounce") // or nobody is told of it
	ErrDamaged  = errors.New("queue: the stored message is damaged")           // its bytes are not the ones that were accepted
	// ErrDamagedLog keeps a store from being opened; `mailhatch recover` goes on from there.
	ErrDamagedLog = errors.New("mail that was accepted would be lost by opening the queue as it is")
)

// Queue takes messages in and gives them out for delivery.
type Queue interface {
	// New starts a message. Its bytes may go to disk while they are written; nothing is kept before Commit.
	New(ctx context.Context) (Draft, error)

	// Claim leases up to max parts of a lane that are queued and due, the longest due first. No one
	// else gets them before the lease ends by Finish, Release or time, and who gets them after an end
	// by time finds them Interrupted. No part due: an empty slice.
	Claim(ctx context.Context, lane string, max int, lease time.Duration) ([]Lease, error)

	// Serve names the lanes that this process delivers from now on. Processes that share a store learn from
	// each other's Serve, through Lane.Served, whose mail to leave alone.
	Serve(ctx context.Context, lanes []string) error
	// Lanes returns for each lane with queued parts how many there are and when the next is due. Where processes share the
	// store and counting costs much, what it returns may be some seconds old.
	Lanes(ctx context.Context) (map[string]Lane, error)

	// Changed is signalled (one token, never blocking) after queued parts came or their schedule changed.
	Changed() <-chan struct{}

	// Hasten makes the queued parts of a lane due now that are due later than after; zero: all. It costs
	// what it changes, however much is queued, and lets other work in between.
	Hasten(ctx context.Context, lane string, after time.Time) error

	Quotas
}

// Draft is a message that is being written. It is used by one goroutine.
type Draft interface {
	io.Writer
	// ID is the queue id that the message will have: letters and digits, unique for ever, sortable by time.
	ID() string
	// Body returns the bytes written so far; it is valid until Commit or Discard.
	Body() (Body, error)
	// Commit stores the message: when it returns nil, the message is on stable storage. Of a message
	// without Parts only the history is kept. After an error nothing is kept, and the draft is over, unless the error wraps
	// ErrAway: then the draft is as it was before, and a store that could not be asked what became of it may have it
	// under its ID.
	Commit(ctx context.Context, m Accepted) error
	// Discard gives up the draft; after Commit it does nothing.
	Discard() error
}

// Accepted is what Commit stores beside the bytes. Who has committed it does not change it any more.
type Accepted struct {
	Envelope envelope.Envelope // with all recipients
	Header   Summary
	Parts    []Part   // what waits
	Done     []Record // recipients whose fate is known already; together with Parts they are all
	Events   []Event
	Reports  []string // keys of late bounces that the message reports: the same write removes them, or fails with ErrReported
}

// Summary is what lists show of a header.
type Summary struct {
	MessageID string `json:"message_id,omitempty"` // with brackets
	From      string `json:"from,omitempty"`       // From field, decoded
	Subject   string `json:"subject,omitempty"`    // decoded
}

// Part is a group of a message's recipients that wait together.
type Part struct {
	To       []envelope.Recipient // never empty
	Lane     string               // name of the upstream it waits for
	State    envelope.State       // Queued, Held or Failed
	NextAt   time.Time            // when it is due; zero: now
	Progress envelope.Progress

	// Interrupted reports that an earlier lease of the part ended without Finish or Release, by time or with its
	// process: nobody knows what became of an offer that was under way. After a crash, an engine may report it of
	// a few parts that were only due; it never forgets one.
	Interrupted bool
}

// Body is the stored message: header and body with CRLF line ends.
type Body interface {
	io.ReaderAt
	io.Closer
	Size() int64 // bytes
}

// Lease is the sole right to work on one part for a time. Methods return ErrFenced once that is lost.
type Lease interface {
	// Message is what the part belongs to. Message.Parts holds the leased part alone.
	Message() *Message
	Body() (Body, error)
	// Extend makes the lease last for d from now.
	Extend(ctx context.Context, d time.Duration) error
	// Finish records what became of the part, in one atomic write, and ends the lease.
	Finish(ctx context.Context, r Result) error
	// Release gives the part back unchanged, due at once.
	Release(ctx context.Context) error
}

// Result is what became of a leased part. Every recipient of the part is in Done or in one of Parts.
type Result struct {
	Events  []Event              // what happened; none where an offer was taken at once
	Done    []Record             // final: they go to the history
	Parts   []Part               // what still waits, in place of the leased part
	Quota   Settlement           // of recipients that were counted; its ID is that of the message
	Instead []envelope.Recipient // who stand for the recipients of the part, where aliases have replaced them; nil: they themselves
}

// Message is a message in the queue.
type Message struct {
	ID       string
	Envelope envelope.Envelope // with all recipients it had when it was accepted
	Header   Summary
	Size     int64 // bytes
	Parts    []Part
}

// Record is the end of one recipient's story.
type Record struct {
	Key        string // its place in the history, for HistoryFilter.After; Search fills it in
	ID         string // queue id; Finish fills it in
	Recipient  envelope.Recipient
	State      envelope.State // Sent, Failed, Discarded or Refused; Feedback makes Delivered, Bounced or Complained of Sent
	At         time.Time
	Told       time.Time // when what Feedback made of it happened; zero: it was told of nothing
	Upstream   string
	ProviderID string // the provider's id of the message
	Error      string // the last failure in words; of discarded mail why it was, of refused mail the reply
	Attempts   int
	From       string  // envelope sender; Finish fills it in
	Header     Summary // Finish fills it in
	Size       int64   // Finish fills it in
	Received   time.Time
	Gateway    string // that wrote it, where several share the store; Finish fills it in
}

// Lane is the load of one upstream.
type Lane struct {
	Served bool      // a process delivers it, this one or another; else its mail can only be routed anew
	Queued int       // leased parts among them
	NextAt time.Time // when the next part can be claimed: when it is due or, if it is leased, when its lease ends
}

// Depth counts parts in one state.
type Depth struct {
	Parts  int
	Oldest time.Time // when the oldest was accepted
	Bytes  int64
}
