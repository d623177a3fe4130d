package feedback

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/told"
)

const (
	waitQuery = `INSERT INTO feedback_waiting (key, came, upstream, info) SELECT k.key, $1, k.upstream, k.info
		FROM unnest($2::text[], $3::text[], $4::text[]) k(key, upstream, info) ON CONFLICT (key) DO NOTHING`
	overQuery = "DELETE FROM feedback_waiting WHERE seq <= (SELECT seq FROM feedback_waiting ORDER BY seq DESC LIMIT 1 OFFSET $1)"
)

// keep lets what was told wait until its record appears; again counts what waits already.
func (j *joint) keep(ctx context.Context, list []*told.Item) (again int, err error) {
	var keys, upstreams, infos []string
	for _, i := range list {
		info, err := json.Marshal(i.Told)
		if err != nil {
			return 0, err
		}
		keys, upstreams, infos = append(keys, i.Name), append(upstreams, database.Text(i.Upstream)), append(infos, string(info))
	}
	if len(keys) == 0 {
		return 0, nil
	}
	tag, err := j.tx.Exec(ctx, waitQuery, j.now.UnixMilli(), keys, upstreams, infos)
	return len(keys) - int(tag.RowsAffected()), err
}

// bound lets the oldest go of too many that wait, and returns how many are left.
func bound(ctx context.Context, tx pgx.Tx, most int) (left, dropped int, err error) {
	if err := tx.QueryRow(ctx, "SELECT count(*) FROM feedback_waiting").Scan(&left); err != nil || left <= most {
		return left, 0, err
	}
	_, err = tx.Exec(ctx, overQuery, most)
	return most, left - most, err
}

// joinStep is how many of those that wait are looked for at once.
const joinStep = 500

// Rejoin implements queue.Feedback.
func (d Desk) Rejoin(ctx context.Context) (queue.Applied, error) {
	nothing := func(pgx.Tx) error { return nil }
	return told.Rejoin(ctx, d.waiting, func(ctx context.Context, list []*told.Item) (queue.Applied, error) {
		return d.join(ctx, list, nothing)
	}, func(ctx context.Context) (int, error) {
		tag, err := d.DB.Exec(ctx, expireQuery, d.Now().Add(-queue.JoinTime).UnixMilli())
		return int(tag.RowsAffected()), database.Describe(err)
	})
}

func (d Desk) waiting(ctx context.Context, after int64) (list []*told.Item, last int64, err error) {
	rows, err := d.DB.Query(ctx, "SELECT seq, upstream, info FROM feedback_waiting WHERE seq > $1 ORDER BY seq LIMIT $2", after, joinStep)
	if err != nil {
		return nil, 0, database.Describe(err)
	}
	list, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (*told.Item, error) {
		var upstream, info string
		if err := r.Scan(&last, &upstream, &info); err != nil {
			return nil, err
		}
		var t queue.Told
		if err := json.Unmarshal([]byte(info), &t); err != nil {
			return nil, fmt.Errorf("what was told, %d: %w", last, err)
		}
		i := told.New(upstream, t)
		i.Row = last
		return &i, nil
	})
	return list, last, database.Describe(err)
}

// ofQuery looks for the id in the text first: there may be much that waits, and little of it is of one message.
const ofQuery = "SELECT info FROM feedback_waiting WHERE upstream = $1 AND strpos(info, $2) > 0 ORDER BY seq"

// ToldOf implements queue.Feedback.
func (d Desk) ToldOf(ctx context.Context, upstream, id string) (list []queue.Told, err error) {
	rows, err := d.DB.Query(ctx, ofQuery, database.Text(upstream), database.Text(id))
	if err != nil {
		return nil, database.Describe(err)
	}
	defer rows.Close()
	for rows.Next() {
		var info string
		var t queue.Told
		if err := rows.Scan(&info); err != nil {
			return nil, database.Describe(err)
		}
		if err := json.Unmarshal([]byte(info), &t); err != nil {
			return nil, err
		}
		if t.ID == id {
			list = append(list, t)
		}
	}
	return list, database.Describe(rows.Err())
}
