package sqlite

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/disk"
	"mailhatch/gateway/queue/sqlite/feedback"
	"mailhatch/gateway/queue/sqlite/orphan"
)

// Commit stores the message: first the bytes that are not for its row, then the row that names them. The
// error wraps queue.ErrFull, queue.ErrBroken or queue.ErrClosed where it is one of them.
func (d *draft) Commit(ctx context.Context, m queue.Accepted) error {
	if d.over {
		return errors.New("queue: commit of a draft that is over")
	}
	err := d.commit(ctx, &m)
	if err == nil && len(m.Parts) > 0 || errors.Is(err, queue.ErrBroken) {
		// A row that a failed fsync has left behind may be there after all when the store is opened
		// again, and then it needs its file.
		d.over = true
		d.recycle()
		if d.file != nil {
			d.file.Close()
		}
		return err
	}
	_ = d.Discard()
	return err
}

func (d *draft) commit(ctx context.Context, accepted *queue.Accepted) error {
	s := d.store
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.err(); err != nil {
		return err
	}
	if err := accepted.Check(); err != nil {
		return err
	}
	m := &queue.Message{ID: d.ID(), Envelope: accepted.Envelope, Header: accepted.Header, Size: d.size}
	info, err := json.Marshal(row.MessageInfo{Envelope: m.Envelope, Header: m.Header})
	if err != nil {
		return err
	}
	rows, err := row.Make(d.store.now(), m, d.id, accepted.Parts, accepted.Done, s.Veil.Record)
	if err != nil {
		return err
	}
	run := func(t *tx) error {
		if err := feedback.Report(t.conn, accepted.Reports); err != nil {
			return err
		}
		if err := s.AddEvents(t.conn, t.now, d.id, accepted.Events); err != nil {
			return err
		}
		return d.insert(t, m, string(info), rows)
	}
	if len(rows.Parts) == 0 { // what became of mail may take of the reserve
		body, err := d.Body()
		if err != nil {
			return err
		}
		rows.Records[0].Kept = s.KeptOf(info, body)
		return s.do(ctx, &op{run: run})
	}
	if err := s.admit(d.buf.Len()); err != nil {
		return err
	}
	seg, err := d.keep(info)
	if seg != nil {
		defer s.segments.Release(seg)
	}
	if err != nil {
		return err
	}
	o := &op{run: run, mail: true, fresh: d.fresh(m, string(info), rows)}
	if d.at == bodies.InRow {
		o.bytes = int(d.size)
	}
	return s.do(ctx, o)
}

// keep puts a body that is not for its row on stable storage. The segment that it returns is to be released
// when the fate of the body is known.
func (d *draft) keep(info []byte) (seg *bodies.Segment, err error) {
	switch {
	case d.file != nil:
		d.at = bodies.InFile
		return nil, d.settle(info)
	case d.size > inlineLimit:
		if seg, d.at, err = d.store.segments.Reserve(d.size + int64(orphan.Len(info))); err != nil {
			return nil, disk.Describe(err)
		}
		return seg, d.append(seg, info)
	}
	return nil, nil
}

// append puts the body on stable storage in the segment.
func (d *draft) append(seg *bodies.Segment, info []byte) error {
	err := d.writeAt(seg.File, d.at.Offset())
	if err == nil {
		_, err = seg.File.WriteAt(d.trailer(info), d.at.Offset()+d.size)
	}
	if err != nil {
		return disk.Describe(err)
	}
	return d.store.syncSegment(seg)
}

func (s *Store) syncSegment(seg *bodies.Segment) error {
	if err := seg.Sync(); err != nil {
		s.segments.Retire(seg)
		return s.synced(err)
	}
	return s.named(seg.File, bodies.SegmentPath(s.dir, seg.Number))
}

// settle puts the file on stable storage.
func (d *draft) settle(info []byte) error {
	if err := d.flush(); err != nil {
		return err
	}
	if _, err := d.file.WriteAt(d.trailer(info), d.size); err != nil {
		return disk.Describe(err)
	}
	err := disk.SyncData(d.file)
	if err == nil {
		err = disk.SyncDir(filepath.Join(d.store.dir, bodies.DirName))
	}
	if err != nil {
		return d.store.synced(err)
	}
	return d.store.named(d.file, bodies.Path(d.store.dir, d.id))
}

// trailer is what stands behind the body on disk.
func (d *draft) trailer(info []byte) []byte {
	t := orphan.Trailer{ID: d.id, Place: int64(d.at), Size: d.size, CRC: d.crc, Info: info}
	return t.Encode()
}

// synced judges the error of an fsync: a failed one leaves unknown what later ones are worth.
func (s *Store) synced(err error) error {
	if err == nil {
		return nil
	}
	if described := disk.Describe(err); errors.Is(described, queue.ErrFull) {
		return described
	}
	s.fail(err)
	return s.err()
}

// insert writes the rows of the message. It runs in the writer.
func (d *draft) insert(t *tx, m *queue.Message, info string, r *row.Rows) error {
	b := bodies.Stored{ID: d.id, Size: d.size, CRC: d.crc, At: d.at}
	if d.at == bodies.InRow && len(r.Parts) > 0 {
		b.Inline = d.buf.Whole()
	}
	return t.insertMessage(&b, m, info, r)
}
