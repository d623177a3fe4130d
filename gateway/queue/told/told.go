// Package told decides what something that a provider tells later means for mail that was sent, in every engine: which
// recipient it is about, whether it was told before, and what it changes.
package told

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"time"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
)

// Item is something that was told, and where to look for what it is about.
type Item struct {
	queue.Told
	Upstream string // that told it
	Name     string // tells it from all others
	Message  int64  // number of the message; 0: not known
	Row      int64  // where it waits already; 0: nowhere
}

// New returns what an upstream told.
func New(upstream string, t queue.Told) Item {
	i := Item{Told: t, Upstream: upstream}
	i.Message, _ = queue.ParseID(t.ID)
	text := t.Key
	if text == "" {
		text = fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%d", t.ID, t.ProviderID, queue.AddressText(t.Recipient), t.Kind, t.At.UnixMilli())
	}
	sum := sha256.Sum256([]byte(upstream + "\x00" + text))
	i.Name = hex.EncodeToString(sum[:8])
	return i
}

// Provider is the provider's id of the message as it is looked for; "": not known.
func (i *Item) Provider() string { return queue.PlainID(i.ProviderID) }

// IsVoid reports whether nothing can be made of it, now or later.
func (i *Item) IsVoid() bool {
	return !i.Kind.IsTold() || i.ID == "" && i.ProviderID == "" && i.Recipient == ""
}

// Around what is told of a recipient without naming a message, its mail was sent between these.
const (
	sentBefore = 4 * 24 * time.Hour
	sentAfter  = time.Minute
)

// FindByAddress looks for the last mail before what was told, where that names none.
func (i *Item) FindByAddress(ctx context.Context, search func(context.Context, queue.HistoryFilter) ([]queue.Record, error)) error {
	if i.Message != 0 || i.ProviderID != "" || i.Recipient == "" {
		return nil
	}
	records, err := search(ctx, queue.HistoryFilter{To: i.Recipient, Upstream: i.Upstream, Since: i.At.Add(-sentBefore), Until: i.At.Add(sentAfter), Limit: 1})
	for _, r := range records {
		i.Message, _ = queue.ParseID(r.ID)
	}
	return err
}

// Hide returns the digest of an address where the history hides addresses; "": it has hidden none yet.
type Hide func(address string) string

// Find returns which of the records of a message, or of those with the provider's id, something was told of; -1: of none, or
// nobody can say. The address that a record has goes before the one that a client gave for it.
func (i *Item) Find(records []*row.Record, hide Hide) (int, error) {
	for _, is := range []func(*row.Record) (bool, error){
		func(r *row.Record) (bool, error) { return isOf(i.Recipient, r, hide), nil },
		func(r *row.Record) (bool, error) {
			t, err := r.Texts()
			return i.Recipient == "" || t.To.Given != "" && queue.AddressText(t.To.Given) == queue.AddressText(i.Recipient), err
		},
	} {
		first, named := -1, 0
		for n, r := range records {
			ok, err := is(r)
			if ok && err == nil {
				ok, err = i.isAbout(r)
			}
			if err != nil {
				return -1, err
			}
			if ok {
				if named++; named == 1 {
					first = n
				}
			}
		}
		if named == 1 || named > 1 && i.Recipient != "" {
			return first, nil
		}
	}
	return -1, nil
}

// isAbout reports whether something was told by the upstream that took the mail of a record, under the id that it gave.
func (i *Item) isAbout(r *row.Record) (bool, error) {
	t, err := r.Texts()
	return t.Upstream == i.Upstream && (i.Message != 0 || i.Provider() != "" && queue.PlainID(t.ProviderID) == i.Provider()), err
}

// isOf reports whether an address is that of a record; either may be hidden.
func isOf(address string, r *row.Record, hide Hide) bool {
	return address != "" && r.Recipient != "" &&
		(queue.AddressText(address) == queue.AddressText(r.Recipient) || hide(r.Recipient) == address || hide(address) == r.Recipient)
}

// Rejoin joins what waits, page by page, and then drops what has waited in vain. page returns what waits behind a row, and
// the row of the last of it.
func Rejoin[T any](ctx context.Context, page func(ctx context.Context, after int64) (list []T, last int64, err error),
	join func(context.Context, []T) (queue.Applied, error), expire func(context.Context) (int, error),
) (all queue.Applied, err error) {
	list, after, err := page(ctx, 0)
	if err != nil || len(list) == 0 {
		return all, err
	}
	for ; err == nil && len(list) > 0; list, after, err = page(ctx, after) {
		some, err := join(ctx, list)
		if err != nil {
			return all, err
		}
		all.Add(some)
	}
	if err != nil {
		return all, err
	}
	expired, err := expire(ctx)
	all.Dropped += expired
	all.Waiting = max(0, all.Waiting-expired)
	return all, err
}
