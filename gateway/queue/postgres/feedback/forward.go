package feedback

import (
	"context"
	"encoding/json"
	"slices"
	"sync/atomic"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/database"
)

// Receivers are those who are handed what is told.
type Receivers struct{ list atomic.Pointer[[]string] }

// Forward implements queue.Forwards.
func (d Desk) Forward(receivers []string) {
	receivers = slices.Clone(receivers)
	d.Receivers.list.Store(&receivers)
}

const keepOutgoing = "INSERT INTO feedback_outgoing (receiver, taken, info) SELECT unnest($1::text[]), 0, $2"

// forward keeps what was told for each receiver.
func (j *joint) forward(ctx context.Context, joined *queue.Joined) error {
	list := j.Receivers.list.Load()
	if list == nil || len(*list) == 0 {
		return nil
	}
	info, err := json.Marshal(joined)
	if err == nil {
		_, err = j.tx.Exec(ctx, keepOutgoing, *list, database.Text(string(info)))
	}
	return err
}

// takeOutgoing leases rows, so that each goes out by one gateway.
const takeOutgoing = `WITH free AS (SELECT seq FROM feedback_outgoing WHERE receiver = $1 AND taken <= $2 ORDER BY seq LIMIT $4 FOR UPDATE SKIP LOCKED),
	mine AS (UPDATE feedback_outgoing o SET taken = $3 FROM free WHERE o.seq = free.seq RETURNING o.seq, o.info)
	SELECT seq, info FROM mine ORDER BY seq`

// Outgoing implements queue.Forwards.
func (d Desk) Outgoing(ctx context.Context, receiver string, most int) (list []queue.Outgoing, err error) {
	now := d.Now()
	rows, err := d.DB.Query(ctx, takeOutgoing, database.Text(receiver), now.UnixMilli()-1000*queue.ForwardLease, now.UnixMilli(), most)
	if err != nil {
		return nil, database.Describe(err)
	}
	defer rows.Close()
	for rows.Next() {
		var o queue.Outgoing
		var info string
		if err := rows.Scan(&o.Key, &info); err != nil {
			return nil, database.Describe(err)
		}
		if err := json.Unmarshal([]byte(info), &o.Joined); err != nil {
			return nil, err
		}
		list = append(list, o)
	}
	return list, database.Describe(rows.Err())
}

// HandedOver implements queue.Forwards.
func (d Desk) HandedOver(ctx context.Context, keys ...int64) error {
	_, err := d.DB.Exec(ctx, "DELETE FROM feedback_outgoing WHERE seq = ANY($1)", keys)
	return database.Describe(err)
}

const boundOutgoing = "DELETE FROM feedback_outgoing WHERE seq <= (SELECT max(seq) FROM feedback_outgoing) - $1"
