package history

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/database"
)

// AddEvents writes events of a message.
func (k *Keeper) AddEvents(conn *sqlite.Conn, now time.Time, message int64, events []queue.Event) error {
	for i := range events {
		e := events[i]
		if e.At.IsZero() {
			e.At = now
		}
		k.Veil.Event(&e)
		info, err := json.Marshal(e)
		if err != nil {
			return err
		}
		err = database.Exec(conn, "INSERT INTO events (message, info) VALUES (?, ?)", database.Args{message, string(info)})
		if err != nil {
			return err
		}
	}
	return nil
}

// Events implements queue.History.
func (k *Keeper) Events(ctx context.Context, id string) (events []queue.Event, err error) {
	message, err := parseID(id)
	if err != nil {
		return nil, err
	}
	err = k.Read(ctx, func(conn *sqlite.Conn) error {
		events = nil
		return database.Rows(conn, "SELECT info FROM events WHERE message = ? ORDER BY seq", database.Args{message}, func(s *sqlite.Stmt) (bool, error) {
			e := queue.Event{ID: queue.FormatID(message)}
			if err := json.Unmarshal([]byte(s.ColumnText(0)), &e); err != nil {
				return false, fmt.Errorf("an event of message %s: %w", e.ID, err)
			}
			events = append(events, e)
			return true, nil
		})
	})
	slices.SortStableFunc(events, func(a, b queue.Event) int { return a.At.Compare(b.At) })
	return events, err
}

const knownQuery = "SELECT EXISTS (SELECT 1 FROM parts WHERE message = ?1) OR EXISTS (SELECT 1 FROM history WHERE message = ?1)"

// Note implements queue.History.
func (k *Keeper) Note(ctx context.Context, events ...queue.Event) error {
	ids := make([]int64, len(events))
	for i := range events {
		var err error
		if ids[i], err = parseID(events[i].ID); err != nil {
			return err
		}
	}
	now := k.Now()
	return k.Write(ctx, len(events), func(conn *sqlite.Conn) error {
		for i, id := range ids {
			known := false
			err := database.Rows(conn, knownQuery, database.Args{id}, func(s *sqlite.Stmt) (bool, error) {
				known = s.ColumnInt(0) == 1
				return false, nil
			})
			if err == nil && !known {
				err = fmt.Errorf("%w: %s", queue.ErrNotFound, events[i].ID)
			}
			if err == nil {
				err = k.AddEvents(conn, now, id, events[i:i+1])
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
}

func parseID(id string) (int64, error) {
	n, ok := queue.ParseID(id)
	if !ok {
		return 0, fmt.Errorf("%w: %q is not a queue id", queue.ErrNotFound, id)
	}
	return n, nil
}
