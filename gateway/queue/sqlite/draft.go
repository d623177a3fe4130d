package sqlite

import (
	"context"
	"errors"
	"hash/crc32"
	"io"
	"os"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/buffer"
	"mailhatch/gateway/queue/sqlite/bodies"
	"mailhatch/gateway/queue/sqlite/disk"
)

// inlineLimit is the size in bytes up to which a body is a part of its row; see the package's
// comment for the figures. It must fit into the first chunk of a draft.
const inlineLimit = buffer.ChunkSize / 2

// fileChunks is how many chunks a draft gathers before it writes them to its file.
const fileChunks = 8

// draft is a message that is being written: in memory at first, in a file once it is large.
type draft struct {
	store *Store
	id    int64
	buf   buffer.Buffer // bytes that are not in the file yet
	file  *os.File
	at    bodies.Place
	size  int64
	crc   uint32
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
	return &draft{store: s, id: s.ids.Next(), buf: s.buffers.Buffer()}, nil
}

// admit returns why that many bytes of new mail may not come: the store does not work, or its reserve of
// space would be touched.
func (s *Store) admit(bytes int) error {
	if err := s.err(); err != nil {
		return err
	}
	if err := s.checkLog(); err != nil {
		return err
	}
	return s.space.Check(bytes)
}

func (d *draft) ID() string { return queue.FormatID(d.id) }

// Write takes more bytes. They go to a file once there are many.
func (d *draft) Write(p []byte) (int, error) { return buffer.Write(p, d.room, d.took) }

// ReadFrom takes all of r. It implements io.ReaderFrom.
func (d *draft) ReadFrom(r io.Reader) (int64, error) { return buffer.ReadFrom(r, d.room, d.took) }

// took counts bytes that were put into the room.
func (d *draft) took(p []byte) {
	d.crc = crc32.Update(d.crc, bodies.Castagnoli(), p)
	d.size += int64(len(p))
	d.buf.Add(len(p))
}

// room returns memory for the next bytes.
func (d *draft) room() ([]byte, error) {
	if d.over {
		return nil, errors.New("queue: write to a draft that is over")
	}
	if room := d.buf.Free(); len(room) > 0 {
		return room, nil
	}
	most := bodies.SegmentLimit / buffer.ChunkSize
	if d.file != nil {
		most = fileChunks
	}
	if d.buf.Chunks() < most && d.buf.Grow() {
		return d.buf.Free(), nil
	}
	if d.file == nil {
		if err := d.spill(); err != nil {
			return nil, err
		}
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	return d.buf.Free(), nil
}

// spill gives the draft its file.
func (d *draft) spill() error {
	f, err := os.OpenFile(bodies.Path(d.store.dir, d.id), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return disk.Describe(err)
	}
	d.file = f
	return nil
}

// flush moves what is in memory to the file.
func (d *draft) flush() error {
	if err := d.store.admit(d.buf.Len()); err != nil {
		return err
	}
	offset := d.size - int64(d.buf.Len())
	if err := d.writeAt(d.file, offset); err != nil {
		return disk.Describe(err)
	}
	d.buf.Shrink(1)
	return nil
}

// writeAt writes what is in memory to a file from offset on.
func (d *draft) writeAt(f *os.File, offset int64) error {
	return d.buf.Each(func(p []byte) error {
		_, err := f.WriteAt(p, offset)
		offset += int64(len(p))
		return err
	})
}

// Body returns the bytes written so far, without a copy of them. It is valid until Commit or Discard.
func (d *draft) Body() (queue.Body, error) {
	if d.over {
		return nil, errors.New("queue: body of a draft that is over")
	}
	if d.file == nil {
		return d.buf.View(), nil
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	return draftBody{bodies.NewFile(d.file, d.size)}, nil
}

// draftBody leaves the file to its draft.
type draftBody struct{ bodies.File }

func (draftBody) Close() error { return nil }

// Discard gives up the draft; after Commit it does nothing.
func (d *draft) Discard() error {
	if d.over {
		return nil
	}
	d.over = true
	d.recycle()
	if d.file == nil {
		return nil
	}
	return errors.Join(d.file.Close(), os.Remove(bodies.Path(d.store.dir, d.id)))
}

// recycle gives the memory back.
func (d *draft) recycle() { d.buf.Shrink(0) }
