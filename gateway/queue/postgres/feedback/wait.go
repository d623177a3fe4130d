package feedback

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
)

// waiting is what was told of a recipient, and where to look for it.
type waiting struct {
	queue.Told
	row      int64  // where it waits already; 0: nowhere
	upstream string // that told it
	key      string // tells it from others
	message  int64  // number of Told.ID; 0: not known
}

// newWaiting returns what is told; what does not name its message waits for nothing.
func newWaiting(upstream string, t queue.Told) *waiting {
	w := &waiting{Told: t, upstream: upstream}
	w.message, _ = queue.ParseID(t.ID)
	text := t.Key
	if text == "" {
		text = fmt.Sprintf("%s\x00%s\x00%s\x00%s\x00%d", t.ID, t.ProviderID, queue.AddressText(t.Recipient), t.Kind, t.At.UnixMilli())
	}
	sum := sha256.Sum256([]byte(upstream + "\x00" + text))
	w.key = hex.EncodeToString(sum[:8])
	return w
}

// provider is the provider's id as it is looked for; "": not known.
func (w *waiting) provider() string { return queue.PlainID(w.ProviderID) }

const (
	waitQuery = `INSERT INTO feedback_waiting (key, came, upstream, info) SELECT k.key, $1, k.upstream, k.info
		FROM unnest($2::text[], $3::text[], $4::text[]) k(key, upstream, info) ON CONFLICT (key) DO NOTHING`
	overQuery = "DELETE FROM feedback_waiting WHERE seq <= (SELECT seq FROM feedback_waiting ORDER BY seq DESC LIMIT 1 OFFSET $1)"
)

// keep lets what was told wait until its record appears; again counts what waits already.
func (j *joint) keep(ctx context.Context, list []*waiting) (again int, err error) {
	var keys, upstreams, infos []string
	for _, w := range list {
		info, err := json.Marshal(w.Told)
		if err != nil {
			return 0, err
		}
		keys, upstreams, infos = append(keys, w.key), append(upstreams, database.Text(w.upstream)), append(infos, string(info))
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
func (d Desk) Rejoin(ctx context.Context) (all queue.Applied, err error) {
	for after := int64(0); ; {
		list, err := d.waiting(ctx, after)
		if err != nil || len(list) == 0 && after > 0 {
			return all, err
		}
		expired := 0
		some, err := d.join(ctx, list, func(tx pgx.Tx) error {
			tag, err := tx.Exec(ctx, expireQuery, d.Now().Add(-queue.JoinTime).UnixMilli())
			expired = int(tag.RowsAffected())
			return err
		})
		if err != nil {
			return all, err
		}
		all.Joined = append(all.Joined, some.Joined...)
		all.Suppressed = append(all.Suppressed, some.Suppressed...)
		all.Lifted = append(all.Lifted, some.Lifted...)
		all.Again += some.Again
		all.Dropped += some.Dropped + expired
		all.Waiting = some.Waiting - expired
		if len(list) < joinStep {
			return all, nil
		}
		after = list[len(list)-1].row
	}
}

func (d Desk) waiting(ctx context.Context, after int64) ([]*waiting, error) {
	rows, err := d.DB.Query(ctx, "SELECT seq, upstream, info FROM feedback_waiting WHERE seq > $1 ORDER BY seq LIMIT $2", after, joinStep)
	if err != nil {
		return nil, database.Describe(err)
	}
	list, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (*waiting, error) {
		var seq int64
		var upstream, info string
		if err := r.Scan(&seq, &upstream, &info); err != nil {
			return nil, err
		}
		var t queue.Told
		if err := json.Unmarshal([]byte(info), &t); err != nil {
			return nil, fmt.Errorf("what was told, %d: %w", seq, err)
		}
		w := newWaiting(upstream, t)
		w.row = seq
		return w, nil
	})
	return list, database.Describe(err)
}
