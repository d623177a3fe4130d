// Package bodies has the bytes of messages: in the database, in chunks, and in memory or a file without a name on this side.
package bodies

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"syscall"

	"github.com/jackc/pgx/v5"

	"mailhatch/gateway/queue"
)

const (
	ChunkBytes = 256 << 10 // of a body in one row
	SoloBytes  = 256 << 10 // larger mail has a transaction of its own, and is read and written by way of a file
)

// DB is a pool of connections.
type DB interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Stored is a body in the database.
type Stored struct {
	ID, Size, CRC int64
}

// Sum is the table of the checksum, CRC-32C.
func Sum() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Memory is a body that is in memory.
type Memory struct{ *bytes.Reader }

// Close does nothing.
func (Memory) Close() error { return nil }

// Open reads a body: to memory if it is small, to a file otherwise.
func (b *Stored) Open(ctx context.Context, db DB, dir string) (queue.Body, error) {
	if b.Size <= SoloBytes {
		var data []byte
		err := db.QueryRow(ctx, "SELECT data FROM bodies WHERE message = $1 AND n = 0", b.ID).Scan(&data)
		if errors.Is(err, pgx.ErrNoRows) {
			err = b.gone(ctx, db)
		}
		if err == nil {
			err = b.Check(int64(len(data)), crc32.Checksum(data, Sum()))
		}
		if err != nil {
			return nil, err
		}
		return Memory{bytes.NewReader(data)}, nil
	}
	file, err := NewSpool(dir)
	if err != nil {
		return nil, err
	}
	if err := b.download(ctx, db, file); err != nil {
		_ = file.Close()
		return nil, err
	}
	return spooled{io.NewSectionReader(file, 0, b.Size), file}, nil
}

// spooled is a body in a file that goes with it.
type spooled struct {
	*io.SectionReader
	file *Spool
}

func (b spooled) Close() error { return b.file.Close() }

// download writes a body to a file, chunk by chunk.
func (b *Stored) download(ctx context.Context, db DB, to io.Writer) error {
	size, crc := int64(0), uint32(0)
	for n := 0; size < b.Size; n++ {
		var data []byte
		err := db.QueryRow(ctx, "SELECT data FROM bodies WHERE message = $1 AND n = $2", b.ID, n).Scan(&data)
		if errors.Is(err, pgx.ErrNoRows) {
			return b.gone(ctx, db)
		}
		if err != nil {
			return err
		}
		if _, err := to.Write(data); err != nil {
			return DescribeDisk(err)
		}
		size += int64(len(data))
		crc = crc32.Update(crc, Sum(), data)
	}
	return b.Check(size, crc)
}

// gone returns why a chunk is missing: the message has gone meanwhile, or it is damaged.
func (b *Stored) gone(ctx context.Context, db DB) error {
	there := false
	if err := db.QueryRow(ctx, "SELECT EXISTS (SELECT FROM messages WHERE id = $1)", b.ID).Scan(&there); err != nil {
		return err
	}
	if !there {
		return fmt.Errorf("%w: %s", queue.ErrNotFound, queue.FormatID(b.ID))
	}
	return b.Check(-1, 0)
}

// Check compares what was read with what was accepted.
func (b *Stored) Check(size int64, crc uint32) error {
	if size == b.Size && int64(crc) == b.CRC {
		return nil
	}
	return fmt.Errorf("%w: message %s", queue.ErrDamaged, queue.FormatID(b.ID))
}

// Kept is a body whose bytes belong to someone else.
type Kept struct{ *io.SectionReader }

// Close does nothing.
func (Kept) Close() error { return nil }

// Spool is a file without a name, for what is too large for memory.
type Spool struct {
	*os.File
	remove bool // its name is still there: the system does not let go of it before
}

// NewSpool returns one in a folder.
func NewSpool(dir string) (*Spool, error) {
	f, err := os.CreateTemp(dir, "mail-*.tmp")
	if err != nil {
		return nil, DescribeDisk(err)
	}
	return &Spool{File: f, remove: os.Remove(f.Name()) != nil}, nil
}

// Close gives the file up.
func (s *Spool) Close() error {
	err := s.File.Close()
	if s.remove {
		err = errors.Join(err, os.Remove(s.Name()))
	}
	return err
}

// DescribeDisk makes the queue's error of one of the disk.
func DescribeDisk(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.ENOSPC):
		return fmt.Errorf("%w: %w", queue.ErrFull, err)
	}
	return fmt.Errorf("queue: %w", err)
}
