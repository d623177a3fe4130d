package history

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/veil"
)

// DB is a pool of connections.
type DB interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// Keeper is the history of a store.
type Keeper struct {
	DB      DB
	Veil    *veil.Veil
	Gateway string
	Now     func() time.Time
}

// The history begins at the horizon: what is older is gone for those who ask, and for good when the partition of its day
// goes.
const horizonQuery = "SELECT coalesce((SELECT value FROM facts WHERE name = 'horizon'), '\\x8000000000000000')"

// Horizon returns since when the history is there, in milliseconds.
func (k *Keeper) Horizon(ctx context.Context) (int64, error) {
	var value []byte
	if err := k.DB.QueryRow(ctx, horizonQuery).Scan(&value); err != nil {
		return 0, database.Describe(err)
	}
	return int64(binary.BigEndian.Uint64(value)), nil
}

// moveHorizon lets the history begin later.
func (k *Keeper) moveHorizon(ctx context.Context, to time.Time) (int64, error) {
	for {
		now, err := k.Horizon(ctx)
		if err != nil || to.UnixMilli() <= now {
			return now, err
		}
		value := binary.BigEndian.AppendUint64(nil, uint64(to.UnixMilli()))
		tag, err := k.DB.Exec(ctx, `INSERT INTO facts AS f (name, value) VALUES ('horizon', $1)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value WHERE f.value = $2`, value, binary.BigEndian.AppendUint64(nil, uint64(now)))
		if err != nil {
			return 0, database.Describe(err)
		}
		if tag.RowsAffected() == 1 {
			return to.UnixMilli(), nil
		}
	}
}

// Made are records that row.Make is about to make rows of.
type Made struct {
	recs []queue.Record
	veil *veil.Veil
}

// Making returns what is to be given to row.Make.
func (k *Keeper) Making() *Made { return &Made{veil: k.Veil} }

// Hide is the last argument of row.Make.
func (m *Made) Hide(r *queue.Record) {
	m.veil.Record(r)
	m.recs = append(m.recs, *r)
}

// Records are those that Hide has seen, as they are kept.
func (m *Made) Records() []queue.Record { return m.recs }

// AddEvents adds events of a message to rows.
func (k *Keeper) AddEvents(rows *Rows, message int64, events []queue.Event) error {
	for _, e := range events {
		k.Veil.Event(&e)
		if e.Gateway == "" { // else it was imported
			e.Gateway = k.Gateway
		}
		text, err := EventText(e, k.Now())
		if err != nil {
			return err
		}
		rows.AddEvent(message, text)
	}
	return nil
}

const eventsQuery = `SELECT info FROM events WHERE message = $1 AND (EXISTS (SELECT FROM parts WHERE message = $1)
	OR EXISTS (SELECT FROM history WHERE message = $1 AND at >= $2)) ORDER BY seq`

// Events implements queue.History.
func (k *Keeper) Events(ctx context.Context, id string) (events []queue.Event, err error) {
	message, err := parseID(id)
	if err != nil {
		return nil, err
	}
	horizon, err := k.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	rows, err := k.DB.Query(ctx, eventsQuery, message, horizon)
	if err != nil {
		return nil, database.Describe(err)
	}
	events, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (e queue.Event, err error) {
		e.ID = queue.FormatID(message)
		var info string
		if err := r.Scan(&info); err != nil {
			return e, err
		}
		if err := json.Unmarshal([]byte(info), &e); err != nil {
			return e, fmt.Errorf("an event of message %s: %w", e.ID, err)
		}
		return e, nil
	})
	slices.SortStableFunc(events, func(a, b queue.Event) int { return a.At.Compare(b.At) })
	return events, database.Describe(err)
}

const knownQuery = `SELECT count(*) FROM unnest($1::bigint[]) m
	WHERE EXISTS (SELECT FROM parts WHERE message = m) OR EXISTS (SELECT FROM history WHERE message = m AND at >= $2)`

// Note implements queue.History.
func (k *Keeper) Note(ctx context.Context, events ...queue.Event) error {
	var rows Rows
	for i := range events {
		id, err := parseID(events[i].ID)
		if err == nil {
			err = k.AddEvents(&rows, id, events[i:i+1])
		}
		if err != nil {
			return err
		}
	}
	if len(events) == 0 {
		return nil
	}
	horizon, err := k.Horizon(ctx)
	if err != nil {
		return err
	}
	known := 0
	if err := k.DB.QueryRow(ctx, knownQuery, rows.eventMessage, horizon).Scan(&known); err != nil {
		return database.Describe(err)
	}
	if known < len(events) {
		return fmt.Errorf("%w: one that events are about", queue.ErrNotFound)
	}
	b := &pgx.Batch{}
	rows.Queue(b)
	return database.Describe(k.DB.SendBatch(ctx, b).Close())
}

const finishedQuery = `SELECT info, kept, EXISTS (SELECT FROM ended WHERE message = $1) FROM history
	WHERE message = $1 AND kept IS NOT NULL AND at >= $2 AND NOT EXISTS (SELECT FROM parts WHERE message = $1) LIMIT 1`

// Finished implements queue.History.
func (k *Keeper) Finished(ctx context.Context, id string) (*queue.Finished, error) {
	message, err := parseID(id)
	if err != nil {
		return nil, err
	}
	horizon, err := k.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	m := &queue.Finished{ID: queue.FormatID(message)}
	var info string
	var kept []byte
	err = k.DB.QueryRow(ctx, finishedQuery, message, horizon).Scan(&info, &kept, &m.Kept)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, fmt.Errorf("%w: %s has not left the queue, or nothing is kept of it", queue.ErrNotFound, id)
	}
	if err != nil {
		return nil, database.Describe(err)
	}
	var size struct {
		Size int64 `json:"size"`
	}
	if err := errors.Join(json.Unmarshal([]byte(info), &size), row.ReadKept(kept, m)); err != nil {
		return nil, err
	}
	m.Size = size.Size
	return m, nil
}

// Kept is what is kept of a message: the text of its row and the header, from the beginning of its bytes; nil: nothing.
func (k *Keeper) Kept(info, message []byte) []byte {
	if k.Veil.HidesAll() {
		return nil
	}
	return row.Kept(info, message, k.Veil.HidesHeader())
}

func parseID(id string) (int64, error) {
	n, ok := queue.ParseID(id)
	if !ok {
		return 0, fmt.Errorf("%w: %q is not a queue id", queue.ErrNotFound, id)
	}
	return n, nil
}
