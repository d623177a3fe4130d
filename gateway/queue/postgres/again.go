package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/batch"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/feedback"
)

const (
	askTime = 20 * time.Second // how long an unknown outcome is asked for, before its callers hear that it is unknown
	askRest = 250 * time.Millisecond
)

// askAgain finds out what became of a group whose transaction was not answered, and writes it if it was undone.
func (s *Store) askAgain(group []*batch.Op[*newMail], rows *mailRows, lost error) {
	ctx, cancel := context.WithTimeout(context.Background(), askTime)
	defer cancel()
	for {
		err := s.writeOnce(ctx, group, rows)
		if err == nil || !database.IsUnknown(err) && !database.IsAway(err) {
			batch.Settle(group, database.Describe(err))
			return
		}
		select {
		case <-ctx.Done():
			batch.Settle(group, fmt.Errorf("the database did not confirm whether the mail was stored: %w", database.Describe(lost)))
			return
		case <-time.After(askRest):
		}
	}
}

// writeOnce writes a group unless it is there. The insertion of an id that another transaction is inserting waits for the end
// of that. A group is all there or not at all: one message that is there, or that has ended since, stands for all.
func (s *Store) writeOnce(ctx context.Context, group []*batch.Op[*newMail], rows *mailRows) error {
	var all []int64
	var large *newMail
	for _, o := range group {
		all = append(all, o.Item.id)
		if o.Item.isLarge() {
			large = o.Item
		}
	}
	return database.Once(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, insertMessages+" ON CONFLICT (id) DO NOTHING", rows.id, rows.received, rows.size, rows.crc, rows.info)
		if err != nil {
			return err
		}
		ended := false
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM history WHERE message = ANY($1))", all).Scan(&ended); err != nil {
			return err
		}
		if int(tag.RowsAffected()) == len(rows.id) && !ended {
			for _, o := range group {
				if err := feedback.Report(ctx, tx, o.Item.reports); err != nil {
					return err
				}
			}
			return s.insertRest(ctx, tx, large, rows)
		}
		// It is there. What was inserted here, because the message has ended since, goes again; and this transaction is not
		// confirmed before its standbys have all that was committed before it.
		if _, err := tx.Exec(ctx, "DELETE FROM messages m WHERE id = ANY($1) AND NOT EXISTS (SELECT FROM parts WHERE message = id) AND NOT EXISTS (SELECT FROM ended WHERE message = id)", rows.id); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE sessions SET seen = "+database.Now+" WHERE session = $1", s.session)
		return err
	})
}
