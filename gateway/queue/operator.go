package queue

import (
	"context"
	"time"
)

// Operator shows and steers what is in the queue.
type Operator interface {
	// List returns messages with a part that the filter names, each with all of its parts, oldest first unless the page says else.
	List(ctx context.Context, f Filter, p Page) ([]Message, error)
	// Ahead returns for each place in a lane how many queued parts are due before it, at most so many, whether or not they
	// are leased. It costs what it counts.
	Ahead(ctx context.Context, lane string, places []Place, most int) ([]int, error)
	// Body opens the bytes of a message in the queue, or of one that has left it for as long as they stay (see KeepBodies). The
	// error wraps ErrNotFound where there are none.
	Body(ctx context.Context, id string) (Body, error)

	// The methods below change the parts that the filter names and no others, some in each write, and
	// return how much was changed. Mail that is accepted after the call began may be
	// left out. By is who did it, as people know them, such as "root" or "token"; each part that is changed gets an
	// Event in the same write that says so. Where Filter.To names some recipients of a part, these get a part of their own first; a
	// part that is leased is then left alone.
	//
	// The running attempt of a leased part goes on; Delete and Move leave such a part alone.

	// Retry makes queued and failed parts due now, with a new life: attempts and age start again.
	Retry(ctx context.Context, f Filter, by string) (Changed, error)
	// Hold puts queued parts on hold; those of running attempts are held if they come back.
	Hold(ctx context.Context, f Filter, by string) (Changed, error)
	// Release makes held parts due now and sets Progress.Released.
	Release(ctx context.Context, f Filter, by string) (Changed, error)
	// Delete removes parts and leaves a record in the history for each of their recipients, as [Deleted] has it.
	Delete(ctx context.Context, f Filter, by string) (Changed, error)
	// Move puts parts into another lane and sets Progress.Moved. Their states stay; queued ones are due now. Parts
	// that are leased, or whose last offer to another upstream may have been taken, are left alone. The lane "" gives
	// parts that were moved back to the routes: they stay in their lane, from where the next attempt takes them. The
	// event is that of [MoveEvent].
	Move(ctx context.Context, f Filter, lane, by string) (Changed, error)

	// Pause keeps in mind, over restarts, that nothing is to be offered in a lane; it is for who delivers to ask and
	// to obey. A lane that is paused already keeps what is known of its pause. Pause and Resume signal Changed.
	Pause(ctx context.Context, lane, by string) error
	// Resume ends the pause of a lane, if there is one.
	Resume(ctx context.Context, lane string) error
	// Paused returns the lanes that are paused.
	Paused(ctx context.Context) (map[string]Pause, error)

	// Backup writes a copy of the store, as it is at one moment of the call, into a new directory, while mail comes and
	// goes. Its engine opens it as a state directory; what was queued is then Interrupted, for it may have been offered
	// since. The copy is on stable storage when Backup returns nil. After an error there is no directory.
	Backup(ctx context.Context, dir string) error
}

// Changed is how much an operator changed.
type Changed struct {
	Messages   int // that had a part which was changed
	Recipients int // of these parts
	Busy       int // recipients that were left alone because they are being offered
	Offered    int // of Recipients: are being offered, and what was done to them counts if they come back
}

// Pause is why nothing is offered in a lane.
type Pause struct {
	At time.Time
	By string
}

// Place is that of a part in its lane: Claim takes the longest due first and, of those due at one time, the oldest message.
type Place struct {
	NextAt time.Time
	ID     string // of the message
}
