package soak

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/server"
)

const (
	crashEvery = 75 * time.Second    // between two kills; shorter runs have one in a fifth of their time
	stepAhead  = 10 * 24 * time.Hour // beyond max_age and keep_sent

	// unstored is how long an answer of the relay may take to get into the store; a damaged log may hold all
	// results since it was last carried over into the database.
	unstored        = 5 * time.Second
	unstoredDamaged = time.Minute
)

// crashes is what came of the kills.
type crashes struct {
	kills    int
	damaged  int // with a log that was damaged before the next start
	refused  int // starts that demanded `mailhatch recover`
	restored int // messages that recover put back
	steps    int // of the clock
	silent   int // starts that went on although acknowledged frames were gone
}

// crash kills the gateway again and again. Before every second start it damages the log of the queue; after the
// others the time of day is days ahead for a while.
func (s *soak) crash(ctx context.Context) (c crashes, err error) {
	every := min(crashEvery, s.duration/5)
	for host.Pause(ctx, every) {
		if err := s.crashOnce(ctx, &c); err != nil {
			return c, fmt.Errorf("crash %d: %w", c.kills, err)
		}
		if c.kills%2 == 0 {
			continue
		}
		c.steps++
		err := os.WriteFile(s.offset(), []byte(stepAhead.String()), 0o600)
		host.Pause(ctx, every/3)
		if err = errors.Join(err, os.WriteFile(s.offset(), []byte("0s"), 0o600)); err != nil {
			return c, err
		}
	}
	return c, nil
}

func (s *soak) crashOnce(ctx context.Context, c *crashes) error {
	s.up.Lock()
	defer s.up.Unlock()
	s.process.Kill()
	c.kills++
	lost := unstored
	damaged := false
	if c.kills%2 == 0 {
		var err error
		if damaged, err = damageLog(filepath.Join(server.StateDir(s.dir), "queue.db-wal")); err != nil {
			return err
		}
	}
	if damaged {
		c.damaged++
		lost = unstoredDamaged
	}
	s.ledger.killed(time.Now().Add(-lost), damaged)
	ctx = context.WithoutCancel(ctx) // the rest of the soak needs a gateway
	shifted := c.kills%2 == 1
	err := s.start(ctx, shifted)
	if err == nil {
		if damaged {
			c.silent++
		}
		return nil
	}
	if !damaged {
		return err
	}
	c.refused++
	out, err := s.command(ctx, "recover")
	if err != nil {
		return fmt.Errorf("recover: %w: %s", err, out)
	}
	c.restored += bytes.Count(out, []byte("back, on hold:"))
	if err := s.start(ctx, shifted); err != nil {
		return fmt.Errorf("after recover: %w", err)
	}
	if out, err := s.command(ctx, "queue", "release", "--all"); err != nil {
		return fmt.Errorf("release: %w: %s", err, out)
	}
	return nil
}

// The log of SQLite: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
const (
	walHeader   = 32
	frameHeader = 24
)

// damageLog inverts one bit in the first half of the frames that count. It reports whether there was a place for
// that: with fewer than four frames none is surely needed.
func damageLog(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, walHeader)
	if _, err := f.ReadAt(head, 0); err != nil {
		return false, nil // nothing was written since it was carried over
	}
	size := int64(binary.BigEndian.Uint32(head[8:])) + frameHeader
	salts, frames := head[16:24], int64(0)
	for frame := make([]byte, frameHeader); ; frames++ {
		if _, err := f.ReadAt(frame, walHeader+frames*size); err != nil || !bytes.Equal(frame[8:16], salts) {
			break
		}
	}
	if frames < 4 {
		return false, nil
	}
	at := walHeader + rand.Int64N(frames/2)*size + frameHeader + rand.Int64N(size-frameHeader)
	one := make([]byte, 1)
	if _, err := f.ReadAt(one, at); err != nil {
		return false, err
	}
	one[0] ^= 1 << rand.IntN(8)
	_, err = f.WriteAt(one, at)
	return err == nil, err
}
