package queue

import (
	"context"
	"log/slog"
	"time"

	"mailhatch/gateway/envelope"
)

// Engine is a durable store of messages. All methods may be called at once from many goroutines.
type Engine interface {
	Queue
	Operator
	History
	Importer
	Suppressions
	Forwards
	Feedback

	// Run makes the changes that the other methods ask for; until it runs they wait. It returns nil after
	// ctx has ended or Close was called, and an error that wraps ErrBroken as soon as the store can no
	// longer keep its promises. From its return on changes are refused. It waits for all that it started.
	// Whoever commits or finishes mail has to end before ctx does.
	Run(ctx context.Context) error
	// SetReserve sets the free space in bytes below which new mail is refused with ErrFull; 0: none. An
	// engine whose space is not on a disk of this machine may ignore it.
	SetReserve(bytes int64)
	// SetPrivacy says what the history does not keep from now on.
	SetPrivacy(p Privacy) error
	// Health says how the store is, beside what errors say.
	Health(ctx context.Context) (Health, error)
	// Fleet returns what gateways that share the store keep for each other; nil: only one process can have it open.
	Fleet() Fleet
	// Close ends Run, waits for running calls and gives the store back.
	Close() error
}

// Settings say where a store is and what it may do.
type Settings struct {
	Dir          string           // the state directory; made if it is missing
	ReserveBytes int64            // free space below which new mail is refused with ErrFull; 0: none
	Bodies       KeepBodies       // which bodies stay of messages that end before the first Prune
	Now          func() time.Time // the time of day; nil: time.Now
	Logger       *slog.Logger     // for what no call can return, such as bodies without a row; nil: nowhere

	// Of engines that several gateways share.
	URL     string        // of the database; it may hold a password
	Gateway string        // the name of this one among them
	Lease   time.Duration // what a gateway has claimed is free that long after its last sign of life, which the engine gives while it runs; 0: a minute
	Patient bool          // the store opens though its database is out of reach: calls fail with ErrAway until Run has reached it
}

// Recovery is what a recovery of a damaged store has done.
type Recovery struct {
	Damage   string     // what was wrong with the store; "": nothing
	Kept     []string   // the damaged files, which stay beside it
	Restored []Restored // back in the queue, on hold
	Aside    []string   // bodies without a message that were set aside, or could not go back
	Doubt    []string   // what may be lost, in words
}

// Restored is a message that is back in the queue.
type Restored struct {
	ID, From string
	To       []envelope.Recipient // whose fate is not known
	Size     int64                // bytes
	Source   string               // what it was recovered from
}

// Reader answers questions about a store that no process has open for writing.
type Reader interface {
	List(ctx context.Context, f Filter, p Page) ([]Message, error)
	Body(ctx context.Context, id string) (Body, error)
	Search(ctx context.Context, f HistoryFilter) ([]Record, error)
	Events(ctx context.Context, id string) ([]Event, error)
	Finished(ctx context.Context, id string) (*Finished, error)
	Paused(ctx context.Context) (map[string]Pause, error)
	Suppressions(ctx context.Context, f SuppressionFilter) ([]Suppression, error)
	LateBounces(ctx context.Context, after string, max int) ([]LateBounce, error)
	Stats(ctx context.Context) (map[envelope.State]Depth, error)
	Health(ctx context.Context) (Health, error)
	// Backup is that of Operator; it fails when a process that has opened the store since takes away what is needed.
	Backup(ctx context.Context, dir string) error
	Close() error
}

// Health is how a store is.
type Health struct {
	Unclean  bool     // the process that had it before did not close it: what became of its offers is not known
	LogBytes int64    // of changes that are not carried over into the store yet; 0 where an engine has no such log
	Aside    int      // bodies without a message that were set aside
	AsideDir string   // where
	Notes    []string // what an operator should look after, in words

	Database *DatabaseHealth // nil: the store is in files of its own
}

// DatabaseHealth is what slows down a store that is in a database server.
type DatabaseHealth struct {
	Tables   []TableHealth // what waits, and its bytes
	Snapshot time.Duration // age of the oldest transaction whose snapshot keeps rows that are gone from being removed
	Claim    time.Duration // what the slowest claim took within the last minute or two
	Slow     []string      // what somebody has to see to, in words; it is among the Notes too
}

// TableHealth is how much of a table is used.
type TableHealth struct {
	Name       string
	Live, Dead int64 // rows, as far as the server knows; the dead ones go with a vacuum
	Bytes      int64 // with indexes
}

// Filter names parts: those that all of its fields agree to. The zero value names every part.
// Patterns are compared without regard to case and may hold * for any text and ? for one character.
type Filter struct {
	IDs     []string // of the messages; nil: all
	State   envelope.State
	Lane    string
	From    string    // pattern of the envelope sender; <> is the null sender
	To      string    // pattern of recipients, as they are or as they were given
	Subject string    // pattern
	Before  time.Time // accepted before that time
}

// Page is how much of a list is wanted.
type Page struct {
	After  string // ids greater than this one; less, where Newest is set
	Limit  int    // messages; 0: no limit
	Newest bool   // first
}
