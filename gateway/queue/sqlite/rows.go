package sqlite

import (
	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/database"
)

// insertPart writes the row of a part.
func (t *tx) insertPart(p *row.Part, key row.Key) error {
	err := database.Exec(t.conn, "INSERT INTO parts (message, n, state, lane, next_at, size, info) VALUES (?, ?, ?, ?, ?, ?, ?)",
		database.Args{key.Message, key.N, p.State, p.Lane, p.NextAt, p.Size, p.Info})
	if err != nil {
		return err
	}
	t.depth.Count(p.Lane, p.State, p.Size, 1)
	t.due = t.due || p.State == row.Queued
	return nil
}

// updatePart changes all of the row but its size.
func (t *tx) updatePart(p *row.StoredPart, to row.Part) error {
	err := database.Exec(t.conn, "UPDATE parts SET state = ?, lane = ?, next_at = ?, info = ? WHERE message = ? AND n = ?",
		database.Args{to.State, to.Lane, to.NextAt, to.Info, p.Key.Message, p.Key.N})
	if err != nil {
		return err
	}
	t.depth.Count(p.Lane, p.State, p.Size, -1)
	t.depth.Count(to.Lane, to.State, p.Size, 1)
	t.due = t.due || to.State == row.Queued
	return nil
}

// removePart deletes the row of a part, which was in that state.
func (t *tx) removePart(k row.Key, lane string, state, size int64) error {
	t.depth.Count(lane, state, size, -1)
	return database.Exec(t.conn, "DELETE FROM parts WHERE message = ? AND n = ?", database.Args{k.Message, k.N})
}

// insertRecord writes a row of history. Its number is never used again, also when all records are gone.
func (t *tx) insertRecord(r *row.Record) error {
	return database.Exec(t.conn, "INSERT INTO history (seq, at, message, state, sender, recipient, info, kept) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		database.Args{t.seq.Add(1), r.At, r.Message, r.State, r.Sender, r.Recipient, r.Info, r.Kept})
}

// insertRows writes the rows; number returns those of the parts.
func (t *tx) insertRows(r *row.Rows, id int64, number func() int64) error {
	for i := range r.Records {
		if err := t.insertRecord(&r.Records[i]); err != nil {
			return err
		}
	}
	for i := range r.Parts {
		if err := t.insertPart(&r.Parts[i], row.Key{Message: id, N: number()}); err != nil {
			return err
		}
	}
	return nil
}

// insertMessage writes the rows of a message with that body.
func (t *tx) insertMessage(b *bodies.Stored, m *queue.Message, info string, r *row.Rows) error {
	if len(r.Parts) > 0 {
		received := m.Envelope.Received.UnixMilli()
		if m.Envelope.Received.IsZero() {
			received = t.now.UnixMilli()
		}
		var body any
		switch {
		case b.At == bodies.InRow:
			body = b.Inline
		case b.At.InSegment():
			body = int64(b.At)
			t.inSegment(b.At, b.Size, 1)
		}
		err := database.Exec(t.conn, "INSERT INTO messages (id, received, size, crc, info, body) VALUES (?, ?, ?, ?, ?, ?)",
			database.Args{b.ID, received, b.Size, int64(b.CRC), info, body})
		if err != nil {
			return err
		}
	}
	n := int64(0)
	return t.insertRows(r, b.ID, func() int64 { n++; return n })
}

// scanPart reads the columns state, lane, next_at, size and info.
func scanPart(s *sqlite.Stmt, key row.Key) row.StoredPart {
	return row.StoredPart{Key: key, Part: row.Part{
		State: s.ColumnInt64(0), Lane: s.ColumnText(1), NextAt: s.ColumnInt64(2), Size: s.ColumnInt64(3), Info: s.ColumnText(4),
	}}
}
