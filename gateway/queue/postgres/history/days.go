package history

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
)

const daysAhead = 3 // for which partitions are made, so that no gateway has to wait for one at midnight

const dayForm = "20060102"

// ErrAccount is why a database is not used: a day on which no partition can be made ends without a record of what was delivered.
var ErrAccount = errors.New("the account of the database's URL cannot make the daily tables of the history: it needs CREATE on the schema, " +
	"and must own the tables of the queue or be a member of the role that does")

const daysQuery = `SELECT (now() AT TIME ZONE 'UTC')::date, has_schema_privilege(c.relnamespace, 'CREATE') AND pg_has_role(c.relowner, 'USAGE')
	FROM pg_class c WHERE c.oid = to_regclass('history')`

// Days makes the partitions of today and the next days, if they are missing. A partition is filled as a table of its own
// and then attached, which keeps no one from reading and writing the others. The error wraps ErrAccount where those of later days
// could not be made, too.
func Days(ctx context.Context, conn *pgx.Conn) error {
	var today time.Time
	var may bool
	if err := conn.QueryRow(ctx, daysQuery).Scan(&today, &may); err != nil {
		return err
	}
	if !may {
		return ErrAccount
	}
	for i := range daysAhead {
		if err := makeDay(ctx, conn, today.AddDate(0, 0, i)); err != nil {
			return err
		}
	}
	return nil
}

// makeDay makes the partition of a day, if it is missing.
func makeDay(ctx context.Context, conn *pgx.Conn, day time.Time) error {
	name := "history_" + day.Format(dayForm)
	var there bool
	if err := conn.QueryRow(ctx, database.HasTable, name).Scan(&there); err != nil || there {
		return err
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1), set_config('lock_timeout', '5s', true)", int64(database.Lock)); err != nil {
			return err
		}
		if err := tx.QueryRow(ctx, database.HasTable, name).Scan(&there); err != nil || there {
			return err
		}
		const form = "2006-01-02"
		_, err := tx.Exec(ctx, fmt.Sprintf(`CREATE TABLE %s (LIKE history INCLUDING DEFAULTS INCLUDING STORAGE);
			ALTER TABLE %s SET (fillfactor = 90, autovacuum_vacuum_insert_scale_factor = 0.5);
			ALTER TABLE history ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
			name, name, name, day.Format(form), day.AddDate(0, 0, 1).Format(form)), pgx.QueryExecModeSimpleProtocol)
		return err
	})
}

const oldDaysQuery = `SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
	WHERE i.inhparent = to_regclass('history') AND c.relname < $1 ORDER BY 1`

const (
	eventsStep      = 1000
	pruneEventsStep = `DELETE FROM events WHERE message = ANY(ARRAY(SELECT e.message FROM events e WHERE e.message < $1
		AND NOT EXISTS (SELECT FROM parts p WHERE p.message = e.message) AND NOT EXISTS (SELECT FROM history h WHERE h.message = e.message) LIMIT $2))`
)

// Prune lets the history begin at a time. Whole days that are older are dropped, with the events of messages of which
// nothing else is left. A day whose table somebody is reading goes with the next call.
func (k *Keeper) Prune(ctx context.Context, older time.Time, change func(ctx context.Context, do func(pgx.Tx) error) error) error {
	horizon, err := k.moveHorizon(ctx, older)
	if err != nil {
		return err
	}
	begins := time.UnixMilli(max(horizon, 0)).UTC() // the day of a record is the database's, its time the gateway's
	rows, err := k.DB.Query(ctx, oldDaysQuery, "history_"+begins.AddDate(0, 0, -1).Format(dayForm))
	if err != nil {
		return database.Describe(err)
	}
	days, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return database.Describe(err)
	}
	for _, day := range days {
		err := change(ctx, func(tx pgx.Tx) error {
			if _, err := tx.Exec(ctx, "SELECT set_config('lock_timeout', '1s', true)"); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "DROP TABLE IF EXISTS "+pgx.Identifier{day}.Sanitize())
			return err
		})
		if err != nil && !database.IsBusy(err) {
			return err
		}
	}
	if len(days) == 0 {
		return nil
	}
	for {
		tag, err := k.DB.Exec(ctx, pruneEventsStep, begins.UnixMilli()<<21, eventsStep)
		if err != nil || tag.RowsAffected() == 0 {
			return database.Describe(err)
		}
	}
}
