package postgres

import (
	"context"
	"fmt"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/upkeep"
	"mailhatch/gateway/queue/row"
)

// Stats implements queue.History.
func (s *Store) Stats(ctx context.Context) (map[envelope.State]queue.Depth, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	groups, fresh, err := s.census.Count(ctx, s.pool)
	if err != nil {
		return nil, database.Describe(err)
	}
	if !fresh { // whoever asks wants to know, too, whether the database answers
		if err := s.pool.Ping(ctx); err != nil {
			return nil, database.Describe(err)
		}
	}
	depths, oldest := map[envelope.State]queue.Depth{}, map[envelope.State]int64{}
	for _, g := range groups {
		state := row.State(g.State)
		d := depths[state]
		d.Parts += int(g.Parts)
		d.Bytes += g.Bytes
		depths[state] = d
		if o, ok := oldest[state]; !ok || g.Oldest < o {
			oldest[state] = g.Oldest
		}
	}
	for state, id := range oldest {
		d := depths[state]
		var received *int64
		if err := s.pool.QueryRow(ctx, "SELECT max(received) FROM messages WHERE id = $1", id).Scan(&received); err != nil {
			return nil, database.Describe(err)
		}
		if received != nil {
			d.Oldest = time.UnixMilli(*received)
		}
		depths[state] = d
	}
	return depths, nil
}

// Health implements queue.Engine.
func (s *Store) Health(ctx context.Context) (queue.Health, error) {
	if err := s.calls.Enter(); err != nil {
		return queue.Health{}, err
	}
	defer s.calls.Leave()
	h, err := upkeep.Ask(ctx, s.pool, s.slowest.Of(time.Now()))
	if err != nil {
		return h, database.Describe(err)
	}
	if s.schema.Version != s.schema.Own {
		h.Notes = append(h.Notes, fmt.Sprintf("the database's schema has version %d, this program knows %d: replace the gateways that are older, or run `mailhatch migrate`",
			s.schema.Version, s.schema.Own))
	}
	return h, nil
}
