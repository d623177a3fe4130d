// Package parts writes the rows of parts, column by column.
package parts

import (
	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/row"
)

// DueNow stands in a row for the database's time at its writing.
const DueNow = 0

const (
	insertQuery = `INSERT INTO parts (message, n, next_at, size, state, lane, info, interrupted)
		SELECT m, n, CASE next_at WHEN 0 THEN ` + database.Now + ` ELSE next_at END, size, state, lane, info, interrupted
		FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[], $7::text[], $8::boolean[])
			p(m, n, next_at, size, state, lane, info, interrupted)`
)

// Rows are rows of parts.
type Rows struct {
	message, n, nextAt, size []int64
	state                    []int16
	lane, info               []string
	interrupted              []bool
}

// Add adds a row.
func (r *Rows) Add(k row.Key, p *row.Part, interrupted bool) {
	r.message, r.n, r.nextAt, r.size = append(r.message, k.Message), append(r.n, k.N), append(r.nextAt, p.NextAt), append(r.size, p.Size)
	r.state, r.lane, r.info = append(r.state, int16(p.State)), append(r.lane, p.Lane), append(r.info, p.Info)
	r.interrupted = append(r.interrupted, interrupted)
}

// Len is the number of rows.
func (r *Rows) Len() int { return len(r.message) }

// Messages are those of the parts.
func (r *Rows) Messages() []int64 { return r.message }

// Insert queues the statement that writes them.
func (r *Rows) Insert(b *pgx.Batch) {
	if len(r.message) > 0 {
		b.Queue(insertQuery, r.message, r.n, r.nextAt, r.size, r.state, r.lane, r.info, r.interrupted)
	}
}

const updateQuery = `UPDATE parts p SET next_at = CASE k.next_at WHEN 0 THEN ` + database.Now + ` ELSE k.next_at END, state = k.state, lane = k.lane, info = k.info
	FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::smallint[], $5::text[], $6::text[]) k(message, n, next_at, state, lane, info)
	WHERE p.message = k.message AND p.n = k.n`

// Update queues the statement that writes them in place of those of the same keys, but for what leases concern.
func (r *Rows) Update(b *pgx.Batch) {
	if len(r.message) > 0 {
		b.Queue(updateQuery, r.message, r.n, r.nextAt, r.state, r.lane, r.info)
	}
}

// deleteQuery finds rows one by one, by their keys, however old the statistics of the table are. They are locked already.
const deleteQuery = `DELETE FROM parts WHERE ctid = ANY(ARRAY(SELECT p.ctid FROM unnest($1::bigint[], $2::bigint[]) k(message, n),
	LATERAL (SELECT ctid FROM parts WHERE message = k.message AND n = k.n LIMIT 1) p))`

// Delete queues the statement that removes them.
func (r *Rows) Delete(b *pgx.Batch) {
	if len(r.message) > 0 {
		b.Queue(deleteQuery, r.message, r.n)
	}
}
