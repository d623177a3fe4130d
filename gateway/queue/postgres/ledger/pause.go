package ledger

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
)

// notify lets them hear it once the transaction is committed. A commit that notifies takes a lock that all of the server's
// which do so share, which accepting and finishing mail must not: this is for what people do.
func notify(ctx context.Context, tx pgx.Tx) error {
	_, err := tx.Exec(ctx, "SELECT pg_notify($1, '')", database.Pauses)
	return err
}

// Pause implements queue.Operator.
func (b Book) Pause(ctx context.Context, lane, by string) error {
	at := b.Now().UnixMilli()
	err := b.Change(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO pauses (lane, at, who) VALUES ($1, $2, $3) ON CONFLICT (lane) DO NOTHING", database.Text(lane), at, database.Text(by))
		if err != nil {
			return err
		}
		return notify(ctx, tx)
	})
	if err == nil {
		b.Signal()
	}
	return err
}

// Resume implements queue.Operator.
func (b Book) Resume(ctx context.Context, lane string) error {
	err := b.Change(ctx, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "DELETE FROM pauses WHERE lane = $1", database.Text(lane))
		if err != nil {
			return err
		}
		return notify(ctx, tx)
	})
	if err == nil {
		b.Signal()
	}
	return err
}

// Paused implements queue.Operator.
func (b Book) Paused(ctx context.Context) (map[string]queue.Pause, error) {
	rows, err := b.DB.Query(ctx, "SELECT lane, at, who FROM pauses")
	if err != nil {
		return nil, database.Describe(err)
	}
	defer rows.Close()
	paused := map[string]queue.Pause{}
	for rows.Next() {
		var lane, who string
		var at int64
		if err := rows.Scan(&lane, &at, &who); err != nil {
			return nil, database.Describe(err)
		}
		paused[lane] = queue.Pause{At: time.UnixMilli(at), By: who}
	}
	return paused, database.Describe(rows.Err())
}
