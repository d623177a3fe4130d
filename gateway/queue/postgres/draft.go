package postgres

import (
	"context"
	"errors"
	"hash/crc32"
	"io"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/buffer"
	"mailhatch/gateway/queue/postgres/bodies"
)

// fileChunks is how many chunks a draft gathers before it writes them to its file.
const fileChunks = 8

// memoryChunks is how many chunks of a message may stay in memory.
const memoryChunks = bodies.SoloBytes / buffer.ChunkSize

// draft is a message that is being written: in memory at first, in a file once it is large.
type draft struct {
	store *Store
	id    int64
	buf   buffer.Buffer // bytes that are not in the file yet
	file  *bodies.Spool
	size  int64
	crc   uint32
	over  bool
}

// New starts a message.
func (s *Store) New(context.Context) (queue.Draft, error) {
	if err := s.calls.Enter(); err != nil {
		return nil, err
	}
	defer s.calls.Leave()
	if err := s.err(); err != nil {
		return nil, err
	}
	return &draft{store: s, id: s.ids.Next(), buf: s.buffers.Buffer()}, nil
}

func (d *draft) ID() string { return queue.FormatID(d.id) }

// Write takes more bytes. They go to a file once there are many.
func (d *draft) Write(p []byte) (int, error) { return buffer.Write(p, d.room, d.took) }

// ReadFrom takes all of r. It implements io.ReaderFrom.
func (d *draft) ReadFrom(r io.Reader) (int64, error) { return buffer.ReadFrom(r, d.room, d.took) }

// took counts bytes that were put into the room.
func (d *draft) took(p []byte) {
	d.crc = crc32.Update(d.crc, bodies.Sum(), p)
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
	most := memoryChunks
	if d.file != nil {
		most = fileChunks
	}
	if d.buf.Chunks() < most && d.buf.Grow() {
		return d.buf.Free(), nil
	}
	if err := d.flush(); err != nil {
		return nil, err
	}
	return d.buf.Free(), nil
}

// flush moves what is in memory to the file.
func (d *draft) flush() (err error) {
	if d.file == nil {
		if d.file, err = bodies.NewSpool(d.store.dir); err != nil {
			return err
		}
	}
	offset := d.size - int64(d.buf.Len())
	err = d.buf.Each(func(p []byte) error {
		_, err := d.file.WriteAt(p, offset)
		offset += int64(len(p))
		return err
	})
	if err == nil {
		d.buf.Shrink(1)
	}
	return bodies.DescribeDisk(err)
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
	return bodies.Kept{SectionReader: io.NewSectionReader(d.file, 0, d.size)}, nil
}

// Discard gives up the draft; after Commit it does nothing.
func (d *draft) Discard() error {
	if d.over {
		return nil
	}
	d.over = true
	d.buf.Shrink(0)
	if d.file != nil {
		return d.file.Close()
	}
	return nil
}
