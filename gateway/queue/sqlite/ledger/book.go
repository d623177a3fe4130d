package ledger

import (
	"context"
	"fmt"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
)

// Book is the ledger of an open store.
type Book struct {
	Write func(ctx context.Context, rows int, change func(*sqlite.Conn) error) error // may call change again, if it was undone
	Read  func(ctx context.Context, question func(*sqlite.Conn) error) error
}

var _ queue.Quotas = Book{}

// Take implements queue.Quotas.
func (b Book) Take(ctx context.Context, o queue.Offer) (g queue.Grant, err error) {
	id, err := parseID(o.ID)
	if err == nil {
		err = o.Check()
	}
	if err != nil {
		return g, err
	}
	err = b.Write(ctx, len(o.To), func(conn *sqlite.Conn) (err error) {
		g, err = take(conn, id, &o)
		return err
	})
	if err != nil {
		return queue.Grant{}, err // it is not committed
	}
	return g, nil
}

// Settle implements queue.Quotas.
func (b Book) Settle(ctx context.Context, s queue.Settlement) error {
	id, err := parseID(s.ID)
	if err != nil || s.IsEmpty() {
		return err
	}
	return b.Write(ctx, len(s.Taken)+len(s.Back), func(conn *sqlite.Conn) error { return Settle(conn, id, &s) })
}

// Unsettled implements queue.Quotas.
func (b Book) Unsettled(ctx context.Context, upstream, id string) (to []string, err error) {
	n, err := parseID(id)
	if err != nil {
		return nil, err
	}
	err = b.Read(ctx, func(conn *sqlite.Conn) (err error) {
		to, err = unsettled(conn, upstream, n)
		return err
	})
	return to, err
}

// Used implements queue.Quotas.
func (b Book) Used(ctx context.Context, upstream string, windows []queue.Window) (used []int, err error) {
	err = b.Read(ctx, func(conn *sqlite.Conn) (err error) {
		used, err = countUsed(conn, upstream, windows)
		return err
	})
	return used, err
}

// Counting implements queue.Quotas.
func (b Book) Counting(ctx context.Context, upstreams []string) (before []string, err error) {
	err = b.Write(ctx, len(upstreams), func(conn *sqlite.Conn) (err error) {
		before, err = counting(conn, upstreams)
		return err
	})
	return before, err
}

func parseID(id string) (int64, error) {
	n, ok := queue.ParseID(id)
	if !ok {
		return 0, fmt.Errorf("%w: %q", queue.ErrNotFound, id)
	}
	return n, nil
}
