package sqlite

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"
	"unicode/utf8"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// inlineLimit is the size in bytes up to which a body is a part of its row; see the package's
// comment for the figures.
const inlineLimit = 128 << 10

// keepBuffer is the largest buffer that drafts hand on to each other, so that a large message does
// not stay in memory.
const keepBuffer = 32 << 10

// draft is a message that is being written: in memory at first, in a file once it is large.
type draft struct {
	store *Store
	id    int64
	buf   *bytes.Buffer // bytes that are not in the file yet
	file  *os.File
	size  int64
	crc   hash.Hash32
	over  bool
}

// New starts a message. The error wraps queue.ErrFull, queue.ErrBroken or queue.ErrClosed.
func (s *Store) New(context.Context) (queue.Draft, error) {
	if err := s.enter(); err != nil {
		return nil, err
	}
	defer s.leave()
	if err := s.admit(0); err != nil {
		return nil, err
	}
	return &draft{store: s, id: s.ids.next(), buf: s.buffers.Get().(*bytes.Buffer), crc: crc32.New(castagnoli())}, nil
}

// admit says whether that many bytes of new mail may come: the store works and its reserve of space is
// untouched.
func (s *Store) admit(bytes int) error {
	if err := s.Err(); err != nil {
		return err
	}
	return s.space.check(bytes)
}

func (d *draft) ID() string { return formatID(d.id) }

// Write takes more bytes. From inlineLimit on they go to a file.
func (d *draft) Write(p []byte) (int, error) {
	if d.over {
		return 0, errors.New("queue: write to a draft that is over")
	}
	if d.file == nil && d.size+int64(len(p)) > inlineLimit {
		if err := d.spill(); err != nil {
			return 0, err
		}
	}
	d.crc.Write(p)
	d.size += int64(len(p))
	d.buf.Write(p)
	if d.file != nil && d.buf.Len() >= inlineLimit {
		if err := d.flush(); err != nil {
			return 0, err
		}
	}
	return len(p), nil
}

// spill gives the draft its file.
func (d *draft) spill() error {
	f, err := os.OpenFile(bodyPath(d.store.dir, d.id), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return describeFile(err)
	}
	d.file = f
	return nil
}

// flush moves the buffer to the file.
func (d *draft) flush() error {
	if err := d.store.admit(d.buf.Len()); err != nil {
		return err
	}
	if _, err := d.buf.WriteTo(d.file); err != nil {
		return describeFile(err)
	}
	return nil
}

// describeFile makes an error of a body file one of the queue.
func describeFile(err error) error {
	if isFull(err) {
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	}
	return fmt.Errorf("queue: %w", err)
}

// Body gives the bytes written so far, without a copy of them. It is valid until Commit or Discard.
func (d *draft) Body() (queue.Body, error) {
	if d.over {
		return nil, errors.New("queue: body of a draft that is over")
	}
	if d.file == nil {
		return memoryBody{bytes.NewReader(d.buf.Bytes())}, nil
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	return draftBody{fileBody{d.file, d.size}}, nil
}

// draftBody leaves the file to its draft.
type draftBody struct{ fileBody }

func (draftBody) Close() error { return nil }

// Discard gives the draft up; after Commit it does nothing.
func (d *draft) Discard() error {
	if d.over {
		return nil
	}
	d.over = true
	d.recycle()
	if d.file == nil {
		return nil
	}
	return errors.Join(d.file.Close(), os.Remove(bodyPath(d.store.dir, d.id)))
}

func (d *draft) recycle() {
	if d.buf.Cap() <= keepBuffer {
		d.buf.Reset()
		d.store.buffers.Put(d.buf)
	}
	d.buf = nil
}

// Commit stores the message: the file first, where there is one, then the row that names it. The
// error wraps queue.ErrFull, queue.ErrBroken or queue.ErrClosed where it is one of them.
func (d *draft) Commit(ctx context.Context, m queue.Accepted) error {
	if d.over {
		return errors.New("queue: commit of a draft that is over")
	}
	err := d.commit(ctx, m)
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

func (d *draft) commit(ctx context.Context, m queue.Accepted) error {
	s := d.store
	if err := s.enter(); err != nil {
		return err
	}
	defer s.leave()
	if err := s.Err(); err != nil {
		return err
	}
	run, err := d.insert(m)
	if err != nil {
		return err
	}
	if len(m.Parts) == 0 { // what became of mail may take of the reserve
		return s.do(ctx, &op{run: run})
	}
	if err := s.admit(d.buf.Len()); err != nil {
		return err
	}
	if err := d.settle(); err != nil {
		return err
	}
	return s.do(ctx, &op{run: run, bytes: d.buf.Len(), mail: true})
}

// settle puts the file on stable storage.
func (d *draft) settle() error {
	if d.file == nil {
		return nil
	}
	if err := d.flush(); err != nil {
		return err
	}
	s := d.store
	err := syncData(d.file)
	if err == nil {
		err = syncDir(filepath.Join(s.dir, bodiesDir))
	}
	if err != nil {
		if described := describeFile(err); errors.Is(described, queue.ErrFull) {
			return described
		}
		s.fail(err) // a failed fsync leaves unknown what later ones are worth
		return s.Err()
	}
	return nil
}

// insert prepares the op that writes the message and its parts.
func (d *draft) insert(m queue.Accepted) (func(*tx) error, error) {
	now := time.Now()
	if len(m.Parts)+len(m.Done) == 0 {
		return nil, errors.New("queue: a message needs at least one part")
	}
	if err := checkUTF8(m); err != nil {
		return nil, err
	}
	info, err := json.Marshal(messageInfo{m.Envelope, m.Header})
	if err != nil {
		return nil, err
	}
	parts := make([]partRow, len(m.Parts))
	for i, p := range m.Parts {
		if parts[i], err = newPartRow(p, m.Envelope.To, d.size, now); err != nil {
			return nil, err
		}
	}
	received := m.Envelope.Received
	if received.IsZero() {
		received = now
	}
	text := string(info)
	records, err := recordRows(m.Done, &queue.Message{Envelope: m.Envelope, Header: m.Header, Size: d.size}, d.id, now)
	if err != nil {
		return nil, err
	}
	return func(t *tx) error {
		for i := range records {
			if err := records[i].insert(t); err != nil {
				return err
			}
		}
		if len(parts) == 0 {
			return nil
		}
		if err := d.insertMessage(t, received.UnixMilli(), text); err != nil {
			return err
		}
		for i := range parts {
			if err := parts[i].insert(t, d.id, int64(i)+1); err != nil {
				return err
			}
		}
		return nil
	}, nil
}

func (d *draft) insertMessage(t *tx, received int64, info string) error {
	return exec(t.conn, "INSERT INTO messages (id, received, size, crc, info, body) VALUES (?, ?, ?, ?, ?, ?)",
		func(s *sqlite.Stmt) {
			s.BindInt64(1, d.id)
			s.BindInt64(2, received)
			s.BindInt64(3, d.size)
			s.BindInt64(4, int64(d.crc.Sum32()))
			s.BindText(5, info)
			if d.file == nil {
				s.BindBytes(6, d.buf.Bytes())
			}
		})
}

// checkUTF8 refuses addresses that JSON could not give back as they were.
func checkUTF8(m queue.Accepted) error {
	if !utf8.ValidString(m.Envelope.From) {
		return fmt.Errorf("queue: sender %q is not valid UTF-8", m.Envelope.From)
	}
	for _, p := range m.Parts {
		if err := checkAddresses(p.To); err != nil {
			return err
		}
	}
	for _, r := range m.Done {
		if err := checkAddresses([]envelope.Recipient{r.Recipient}); err != nil {
			return err
		}
	}
	return checkAddresses(m.Envelope.To)
}

func checkAddresses(to []envelope.Recipient) error {
	for _, r := range to {
		if !utf8.ValidString(r.Address) {
			return fmt.Errorf("queue: recipient %q is not valid UTF-8", r.Address)
		}
	}
	return nil
}
