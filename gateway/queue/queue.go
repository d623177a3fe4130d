// Package queue keeps accepted mail safe until its fate is known.
//
// A message is one accepted body with its envelope. Its recipients wait in parts: the ones of a part
// share a lane (the upstream they wait for), a schedule and a progress. A message starts with one part
// a route and each attempt may divide a part further. When a message has no part left, its body goes
// and only its history stays.
//
// Engines implement [Queue]; the one that is built in is package sqlite. queuetest holds the suite
// that every engine must pass.
package queue

import (
	"context"
	"errors"
	"io"
	"time"

	"mailhatch/gateway/envelope"
)

// Errors that callers tell apart. Engines wrap them.
var (
	ErrFull     = errors.New("queue: no space left in the state directory") // 452: new mail is refused, delivery goes on
	ErrBroken   = errors.New("queue: the store failed and must be restarted")
	ErrFenced   = errors.New("queue: the lease was lost")
	ErrNotFound = errors.New("queue: no such message")
	ErrLocked   = errors.New("queue: the state directory is in use by another mailhatch")
	ErrClosed   = errors.New("queue: closed")
	ErrDamaged  = errors.New("queue: the stored message is damaged") // its bytes are not the ones that were accepted
)

// Queue is a durable store of messages. All methods may be called at once from many goroutines.
type Queue interface {
	// New starts a message. Its bytes may go to disk while they are written; nothing is kept before Commit.
	New(ctx context.Context) (Draft, error)

	// Claim leases up to max parts of a lane that are queued and due, the longest due first. No one
	// else gets them before the lease ends by Finish, Release or time. No part due: an empty slice.
	Claim(ctx context.Context, lane string, max int, lease time.Duration) ([]Lease, error)

	// Lanes says for each lane with queued parts how many there are and when the next is due.
	Lanes(ctx context.Context) (map[string]Lane, error)

	// Changed is signalled (one token, never blocking) after queued parts came or their schedule changed.
	Changed() <-chan struct{}

	// Hasten makes the queued parts of a lane due now that are due later than after; zero: all. It costs
	// what it changes, however much is queued, and lets other work in between.
	Hasten(ctx context.Context, lane string, after time.Time) error

	// List returns messages that are in the queue, oldest first.
	List(ctx context.Context, f Filter) ([]Message, error)
	// Body opens the bytes of a message in the queue.
	Body(ctx context.Context, id string) (Body, error)
	// Retry makes queued and failed parts due now, with a new life: attempts and age start again.
	// Hold, Release (which sets Progress.Released) and Delete do what they say; Delete leaves a discarded entry in the history.
	// Each acts on whole messages, says how many it changed, and passes over leased parts' running
	// attempt: its result then finds itself fenced off only by Delete.
	Retry(ctx context.Context, ids ...string) (int, error)
	Hold(ctx context.Context, ids ...string) (int, error)
	Release(ctx context.Context, ids ...string) (int, error)
	Delete(ctx context.Context, ids ...string) (int, error)

	// History returns what became of recipients whose fate is known, newest first.
	History(ctx context.Context, f HistoryFilter) ([]Record, error)
	// Prune removes history that is older than sentBefore and failed parts older than failedBefore,
	// and gives space back; it works in small steps.
	Prune(ctx context.Context, sentBefore, failedBefore time.Time) error

	// Stats counts parts and says how old the oldest is, by state.
	Stats(ctx context.Context) (map[envelope.State]Depth, error)

	// Close waits for running calls and gives the state directory back.
	Close() error
}

// Draft is a message that is being written. It is used by one goroutine.
type Draft interface {
	io.Writer
	// ID is the queue id that the message will have: letters and digits, unique for ever, sortable by time.
	ID() string
	// Body gives the bytes written so far; it is valid until Commit or Discard.
	Body() (Body, error)
	// Commit stores the message: when it returns nil, the message is on stable storage. Of a message
	// without Parts only the history is kept. After an error nothing is kept.
	Commit(ctx context.Context, m Accepted) error
	// Discard gives the draft up; after Commit it does nothing.
	Discard() error
}

// Accepted is what Commit stores beside the bytes.
type Accepted struct {
	Envelope envelope.Envelope // with all recipients
	Header   Summary
	Parts    []Part   // what waits
	Done     []Record // recipients whose fate is known already; together with Parts they are all
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
	Done  []Record // final: they go to the history
	Parts []Part   // what still waits, in place of the leased part
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
	ID         string // queue id; Finish fills it in
	Recipient  envelope.Recipient
	State      envelope.State // Sent, Failed or Discarded
	At         time.Time
	Upstream   string
	ProviderID string // the provider's id of the message
	Error      string
	Attempts   int
	From       string  // envelope sender; Finish fills it in
	Header     Summary // Finish fills it in
	Size       int64   // Finish fills it in
	Received   time.Time
}

// Filter chooses messages; the zero value chooses all.
type Filter struct {
	IDs   []string
	State envelope.State // with a part in that state
	Lane  string
	Limit int    // 0: no limit
	After string // ids greater than this one: the next page
}

// HistoryFilter chooses records; the zero value chooses all. From and To are compared without regard
// to case and may hold * and ?.
type HistoryFilter struct {
	ID, From, To string
	Since        time.Time
	Limit        int
}

// Lane is the load of one upstream.
type Lane struct {
	Queued int       // leased parts among them
	NextAt time.Time // when the next part can be claimed: when it is due or, if it is leased, when its lease ends
}

// Depth counts parts in one state.
type Depth struct {
	Parts  int
	Oldest time.Time // when the oldest was accepted
	Bytes  int64
}
