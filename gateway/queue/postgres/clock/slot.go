package clock

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
)

// TakeSlot gives a process a row among those that live, and the lowest slot that none of them has. Who has given no sign of life
// for longer than kept is gone.
func TakeSlot(ctx context.Context, tx pgx.Tx, session, gateway string, kept time.Duration) (slot int, err error) {
	const lock = "SELECT pg_advisory_xact_lock($1)"
	if _, err := tx.Exec(ctx, lock, int64(database.Lock)); err != nil {
		return 0, err
	}
	const gone = "DELETE FROM sessions WHERE seen < " + database.Now + " - $1 OR session = $2"
	if _, err := tx.Exec(ctx, gone, kept.Milliseconds(), session); err != nil {
		return 0, err
	}
	const free = "SELECT coalesce(min(n), -1) FROM generate_series(0, $1::int - 1) n WHERE NOT EXISTS (SELECT FROM sessions WHERE slot = n)"
	if err := tx.QueryRow(ctx, free, Slots).Scan(&slot); err != nil {
		return 0, err
	}
	if slot < 0 {
		return 0, fmt.Errorf("queue: %d gateways share the database already, which is the limit", Slots)
	}
	_, err = tx.Exec(ctx, "INSERT INTO sessions (session, gateway, slot, seen) VALUES ($1, $2, $3, "+database.Now+")", session, gateway, slot)
	return slot, err
}
