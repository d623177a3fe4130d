package wal

import (
	"errors"
	"os"
	"time"
)

// Marker writes the mark of an open database. One goroutine uses it, but for Sync.
type Marker struct {
	file *os.File
	log  *os.File // once there is one
	now  Mark
	bad  bool // it could not be written: the last one stays, which is never ahead
}

// OpenMark makes the mark of a database that is being opened, which knows nothing of the log yet, before the first
// commit. The caller syncs the directory.
func OpenMark(path string, leased uint32) (*Marker, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	m := &Marker{file: f, now: Mark{Leased: leased}}
	if err := m.reset(); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

// reset forgets how far the log has come, durably.
func (m *Marker) reset() error {
	m.now = Mark{At: time.Now().UnixMilli(), Leased: m.now.Leased}
	return m.store()
}

// Allow makes the mark say, durably, that no more parts of a lane are leased at once.
func (m *Marker) Allow(leased uint32) error {
	m.now.Leased = leased
	return m.store()
}

func (m *Marker) store() error {
	if _, err := m.file.WriteAt(m.now.Encode(), 0); err != nil {
		return err
	}
	return m.file.Sync()
}

// Committed notes a commit, after which the log at path has so many frames. After an error it notes no others.
func (m *Marker) Committed(path string, frames int64) (err error) {
	if m.bad || frames <= 0 {
		return nil
	}
	defer func() { m.bad = err != nil }()
	if m.log == nil {
		if m.log, err = os.Open(path); err != nil {
			return err
		}
	}
	if m.now.Salt, err = ReadSalt(m.log); err != nil {
		return err
	}
	m.now.Frames, m.now.At = uint64(frames), time.Now().UnixMilli()
	_, err = m.file.WriteAt(m.now.Encode(), 0)
	return err
}

// Sync puts the mark on stable storage.
func (m *Marker) Sync() error { return m.file.Sync() }

// LeaveLog forgets the log, which is about to be carried over and to go.
func (m *Marker) LeaveLog() error {
	if m.log != nil {
		m.log.Close() //nolint:errcheck // it was only read
	}
	return m.reset()
}

// Close closes the file of the mark.
func (m *Marker) Close() error { return m.file.Close() }
