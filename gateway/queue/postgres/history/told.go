package history

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// Stored is a record with its number.
type Stored struct {
	Seq int64
	row.Record
	day time.Time
}

const (
	storedColumns = "day, seq, at, message, state, exact_sender, exact_recipient, info"
	candidates    = "SELECT " + storedColumns + ` FROM history WHERE at >= $1 AND message = ANY($2)
		UNION ALL SELECT ` + storedColumns + ` FROM history WHERE at >= $1 AND provider = ANY($3) AND provider <> 0 AND NOT message = ANY($2) ORDER BY seq`
	setStates = `UPDATE history h SET state = k.state, info = k.info FROM unnest($1::date[], $2::bigint[], $3::smallint[], $4::text[]) k(day, seq, state, info)
		WHERE h.day = k.day AND h.seq = k.seq`
)

// Candidates reads the records of messages, and those with one of the providers' ids.
func (k *Keeper) Candidates(ctx context.Context, tx pgx.Tx, messages []int64, providers []string) ([]*Stored, error) {
	horizon, err := k.Horizon(ctx)
	if err != nil {
		return nil, err
	}
	hashes := make([]int64, len(providers))
	for i := range providers {
		hashes[i] = hashID(providers[i])
	}
	rows, err := tx.Query(ctx, candidates, horizon, messages, hashes)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, scanStored)
}

func scanStored(r pgx.CollectableRow) (*Stored, error) {
	s := &Stored{}
	err := r.Scan(&s.day, &s.Seq, &s.At, &s.Message, &s.State, &s.Sender, &s.Recipient, &s.Info)
	return s, err
}

// SetStates queues the statement that writes the states of records anew, and what else they hold.
func SetStates(b *pgx.Batch, list []*Stored) {
	if len(list) == 0 {
		return
	}
	var day []time.Time
	var seq []int64
	var state []int16
	var info []string
	for _, s := range list {
		day, seq, state, info = append(day, s.day), append(seq, s.Seq), append(state, int16(s.State)), append(info, s.Info)
	}
	b.Queue(setStates, day, seq, state, info)
}

const lateQuery = `SELECT h.day, h.seq, h.at, h.message, h.state, h.exact_sender, h.exact_recipient, h.info, l.info FROM (SELECT seq AS late, info FROM feedback_late WHERE seq > $1 ORDER BY seq LIMIT $2) l,
	LATERAL (SELECT * FROM history WHERE seq = l.late LIMIT 1) h ORDER BY h.seq`

// Late reads the records of late bounces whose number is greater, with what was told of each.
func (k *Keeper) Late(ctx context.Context, after int64, most int, each func(s *Stored, told string) error) error {
	rows, err := k.DB.Query(ctx, lateQuery, after, most)
	if err != nil {
		return database.Describe(err)
	}
	defer rows.Close()
	for rows.Next() {
		s, told := &Stored{}, ""
		err := rows.Scan(&s.day, &s.Seq, &s.At, &s.Message, &s.State, &s.Sender, &s.Recipient, &s.Info, &told)
		if err == nil {
			err = each(s, told)
		}
		if err != nil {
			return database.Describe(err)
		}
	}
	return database.Describe(rows.Err())
}

const oldestQuery = "SELECT min(at) FROM history WHERE upstream = $1 AND state = $2 AND at >= $3 AND at >= $4 AND day >= $5"

// OldestSent returns when the oldest record came about, since a time, of what an upstream took and has told nothing final
// of; zero: there is none.
func (k *Keeper) OldestSent(ctx context.Context, upstream string, since time.Time) (time.Time, error) {
	horizon, err := k.Horizon(ctx)
	if err != nil {
		return time.Time{}, err
	}
	from := time.UnixMilli(max(since.UnixMilli(), 0)).UTC().AddDate(0, 0, -1) // the day of a record is the database's
	var at *int64
	err = k.DB.QueryRow(ctx, oldestQuery, database.Text(upstream), row.Sent, since.UnixMilli(), horizon, from).Scan(&at)
	if err != nil || at == nil {
		return time.Time{}, database.Describe(err)
	}
	return time.UnixMilli(*at), nil
}
