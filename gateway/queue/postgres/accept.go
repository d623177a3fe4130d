package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/postgres/batch"
	"mailhatch/gateway/queue/postgres/bodies"
	"mailhatch/gateway/queue/postgres/database"
	"mailhatch/gateway/queue/postgres/feedback"
	"mailhatch/gateway/queue/postgres/history"
	"mailhatch/gateway/queue/postgres/parts"
	"mailhatch/gateway/queue/row"
)

// What one transaction takes at most.
const (
	groupMail    = 256
	groupResults = 256
	groupBytes   = 8 << 20
	// mailWriters is how many transactions of new mail are under way at once: while one waits for the disk, the next is
	// being filled.
	mailWriters = 2
)

// newMail is a message that is to be written.
type newMail struct {
	id, received, size, crc int64
	info                    string
	body                    []byte // nil: chunks has it
	chunks                  io.ReaderAt
	parts                   []row.Part
	history                 history.Rows
	reports                 []string // of late bounces
}

// Commit stores the message. The error wraps queue.ErrFull, queue.ErrAway or queue.ErrClosed where it is one of them.
func (d *draft) Commit(ctx context.Context, m queue.Accepted) error {
	if d.over {
		return errors.New("queue: commit of a draft that is over")
	}
	err := d.commit(ctx, &m)
	if !errors.Is(err, queue.ErrAway) {
		_ = d.Discard()
	}
	return err
}

func (d *draft) commit(ctx context.Context, accepted *queue.Accepted) error {
	s := d.store
	if err := s.calls.Enter(); err != nil {
		return err
	}
	defer s.calls.Leave()
	if err := errors.Join(s.err(), accepted.Check()); err != nil {
		return err
	}
	m, err := s.newMail(d, accepted)
	if err != nil {
		return err
	}
	if m.isLarge() || len(m.reports) > 0 {
		err = s.writeSolo(ctx, m)
	} else {
		err = s.mail.Do(ctx, s.over, m, len(m.body)+len(m.info))
	}
	if err == nil && len(m.parts) > 0 {
		s.signal()
	}
	return err
}

// newMail makes the rows of a message.
func (s *Store) newMail(d *draft, accepted *queue.Accepted) (*newMail, error) {
	m := &queue.Message{ID: d.ID(), Envelope: accepted.Envelope, Header: accepted.Header, Size: d.size}
	info, err := json.Marshal(row.MessageInfo{Envelope: m.Envelope, Header: m.Header})
	if err != nil {
		return nil, err
	}
	for i := range accepted.Done {
		if accepted.Done[i].Gateway == "" { // else it was imported
			accepted.Done[i].Gateway = s.gateway
		}
	}
	now, making := s.now(), s.Making()
	rows, err := row.Make(now, m, d.id, accepted.Parts, accepted.Done, making.Hide)
	if err != nil {
		return nil, err
	}
	n := &newMail{id: d.id, received: m.Envelope.Received.UnixMilli(), size: d.size, crc: int64(d.crc), info: string(info), parts: rows.Parts, reports: accepted.Reports}
	if m.Envelope.Received.IsZero() {
		n.received = now.UnixMilli()
	}
	for i := range n.parts {
		s.schedule(&n.parts[i], &accepted.Parts[i])
	}
	body, err := d.Body()
	if err != nil {
		return nil, err
	}
	if n.chunks = body; d.size <= bodies.SoloBytes {
		n.body = make([]byte, d.size)
		if _, err := body.ReadAt(n.body, 0); err != nil && err != io.EOF {
			return nil, bodies.DescribeDisk(err)
		}
	}
	var beginning []byte
	if len(n.parts) == 0 {
		beginning = s.Kept(info, begin(body))
	}
	n.history.AddAll(rows.Records, making.Records(), beginning)
	return n, s.AddEvents(&n.history, d.id, accepted.Events)
}

// begin reads as much of a body as may be kept of it.
func begin(body queue.Body) []byte {
	p := make([]byte, min(body.Size(), row.MaxFields))
	n, _ := body.ReadAt(p, 0) // what cannot be read is not kept
	return p[:n]
}

// schedule says by the database's clock when a part is due.
func (s *Store) schedule(p *row.Part, part *queue.Part) {
	switch {
	case p.State == row.Queued && part.NextAt.IsZero():
		p.NextAt = parts.DueNow
	case p.State == row.Queued:
		p.NextAt = max(s.clock.To(p.NextAt), 1)
	}
	p.Lane = database.Text(p.Lane)
}

const (
	insertMessages = "INSERT INTO messages (id, received, size, crc, info) SELECT * FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[])"
	insertBodies   = "INSERT INTO bodies (message, n, data) SELECT m, 0, d FROM unnest($1::bigint[], $2::bytea[]) b(m, d)"
	insertChunk    = "INSERT INTO bodies (message, n, data) VALUES ($1, $2, $3)"
)

// mailRows are the rows of new mail, column by column.
type mailRows struct {
	id, received, size, crc []int64
	info                    []string
	bodyOf                  []int64
	body                    [][]byte
	parts                   parts.Rows
	history                 history.Rows
}

func (r *mailRows) add(m *newMail) {
	if len(m.parts) > 0 {
		r.id, r.received, r.size, r.crc = append(r.id, m.id), append(r.received, m.received), append(r.size, m.size), append(r.crc, m.crc)
		r.info = append(r.info, m.info)
		if m.body != nil {
			r.bodyOf, r.body = append(r.bodyOf, m.id), append(r.body, m.body)
		}
	}
	for i := range m.parts {
		r.parts.Add(row.Key{Message: m.id, N: int64(i + 1)}, &m.parts[i], false)
	}
	r.history.AddRows(&m.history)
}

// rest queues the statements behind that which writes the messages.
func (r *mailRows) rest(b *pgx.Batch) {
	if len(r.bodyOf) > 0 {
		b.Queue(insertBodies, r.bodyOf, r.body)
	}
	r.parts.Insert(b)
	r.history.Queue(b)
}

// writeTime is how long a writer works on a transaction: large mail may come over a slow line. What the server does not answer
// in time is known earlier: see database.Open.
const writeTime = 2 * time.Minute

// writeMail writes a group of new mail in one transaction.
func (s *Store) writeMail(group []*batch.Op[*newMail]) {
	ctx, cancel := context.WithTimeout(context.Background(), writeTime)
	defer cancel()
	var rows mailRows
	for _, o := range group {
		rows.add(o.Item)
	}
	b := &pgx.Batch{} // one transaction
	if len(rows.id) > 0 {
		b.Queue(insertMessages, rows.id, rows.received, rows.size, rows.crc, rows.info)
	}
	rows.rest(b)
	err := database.Send(ctx, s.pool, b)
	if database.IsPartitionMissing(err) {
		if err = s.days(ctx); err == nil {
			err = database.Send(ctx, s.pool, b)
		}
	}
	switch {
	case err == nil:
	case database.IsUnknown(err):
		s.askAgain(group, &rows, err)
	case len(group) > 1 && !database.IsAway(err): // others must not suffer for one
		for i := range group {
			s.writeMail(group[i : i+1])
		}
	default:
		batch.Settle(group, database.Describe(err))
	}
}

// writeSolo writes a large message in a transaction of its own.
func (s *Store) writeSolo(ctx context.Context, m *newMail) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTime)
	defer cancel()
	var rows mailRows
	rows.add(m)
	err := database.Once(ctx, s.pool, func(tx pgx.Tx) error { return s.insertSolo(ctx, tx, m, &rows) })
	if !database.IsUnknown(err) {
		return database.Describe(err)
	}
	o := &batch.Op[*newMail]{Item: m}
	s.askAgain([]*batch.Op[*newMail]{o}, &rows, err)
	return o.Err
}

func (s *Store) insertSolo(ctx context.Context, tx pgx.Tx, m *newMail, rows *mailRows) error {
	if err := feedback.Report(ctx, tx, m.reports); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, insertMessages, rows.id, rows.received, rows.size, rows.crc, rows.info); err != nil {
		return err
	}
	return s.insertRest(ctx, tx, m, rows)
}

// isLarge reports whether the body of a message is written chunk by chunk.
func (m *newMail) isLarge() bool { return m != nil && m.body == nil && len(m.parts) > 0 }

// insertRest writes what belongs to messages that are written, chunk by chunk where one is large.
func (s *Store) insertRest(ctx context.Context, tx pgx.Tx, large *newMail, rows *mailRows) error {
	chunk := make([]byte, bodies.ChunkBytes)
	for n, at := 0, int64(0); large.isLarge() && at < large.size; n++ {
		read, err := large.chunks.ReadAt(chunk[:min(bodies.ChunkBytes, large.size-at)], at)
		if err != nil && err != io.EOF {
			return bodies.DescribeDisk(err)
		}
		if _, err := tx.Exec(ctx, insertChunk, large.id, n, chunk[:read]); err != nil {
			return err
		}
		at += int64(read)
	}
	b := &pgx.Batch{}
	rows.rest(b)
	return tx.SendBatch(ctx, b).Close()
}
