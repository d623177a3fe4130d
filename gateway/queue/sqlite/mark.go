package sqlite

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"zombiezen.com/go/sqlite"

	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite/wal"
)

// SQLite takes a log that is damaged, cut off or missing for one that holds less. So that acknowledged mail never
// goes without a word, a mark beside the database says that a process has it open and how far its log had come
// with the last commit. It is written after each commit, before anybody is answered, and put on stable storage each
// second: a killed process has lost nothing of it, a power cut at most the last second. It is never ahead of the log.
const (
	markName  = "queue.open"
	markMagic = "mhopen1\n"
	markLen   = 40
)

// mark is how far the log has come.
type mark struct {
	salt   wal.Salt
	frames uint64 // 0: nothing is known of the log
	at     int64  // of the last commit, in milliseconds
	leased uint32 // that no more parts of one lane were leased at once; 0: not known
}

func (m mark) encode() []byte {
	b := append(make([]byte, 0, markLen), markMagic...)
	b = binary.BigEndian.AppendUint32(b, m.salt.First)
	b = binary.BigEndian.AppendUint32(b, m.salt.Second)
	b = binary.BigEndian.AppendUint64(b, m.frames)
	b = binary.BigEndian.AppendUint64(b, uint64(m.at))
	b = binary.BigEndian.AppendUint32(b, m.leased)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// readMark returns the mark in a state directory. open is false where there is none: the last process closed the
// store. A mark that cannot be read knows nothing of the log.
func readMark(dir string) (m mark, open bool, err error) {
	b, err := os.ReadFile(filepath.Join(dir, markName))
	if errors.Is(err, fs.ErrNotExist) {
		return mark{}, false, nil
	}
	if err != nil || len(b) != markLen || string(b[:len(markMagic)]) != markMagic ||
		crc32.Checksum(b[:markLen-4], castagnoli()) != binary.BigEndian.Uint32(b[markLen-4:]) {
		return mark{}, true, err
	}
	return mark{
		salt:   wal.Salt{First: binary.BigEndian.Uint32(b[8:]), Second: binary.BigEndian.Uint32(b[12:])},
		frames: binary.BigEndian.Uint64(b[16:]), at: int64(binary.BigEndian.Uint64(b[24:])),
		leased: binary.BigEndian.Uint32(b[32:]),
	}, true, nil
}

// inspection is what the files of a store show before SQLite opens them.
type inspection struct {
	log     wal.Log
	mark    mark
	unclean bool // the last process did not close the store
}

// inspect looks at the files without changing them. The error wraps queue.ErrDamagedLog where SQLite would drop
// commits that were acknowledged.
func inspect(dir, path string) (i inspection, err error) {
	marked := false
	if i.mark, marked, err = readMark(dir); err != nil {
		return i, err
	}
	if i.log, err = wal.Scan(path+"-wal", pageSize, nil); err != nil {
		return i, err
	}
	i.unclean = marked || i.log.Bytes > 0
	if reason := i.damage(); reason != "" {
		err = fmt.Errorf("%s-wal %s: %w", path, reason, queue.ErrDamagedLog)
	}
	return i, err
}

// damage says what is wrong with the log, beyond the one commit at its end that may have been cut off: the
// transaction that was being written. "" is for nothing.
func (i *inspection) damage() string {
	known, l := i.mark.frames, &i.log
	until := " (the last commit was at " + time.UnixMilli(i.mark.at).Format(time.RFC3339) + ")"
	switch {
	case known > 0 && l.Bytes == 0:
		return "is missing or empty" + until
	case l.Beyond > 1:
		return fmt.Sprintf("is damaged after frame %d, and SQLite would drop %d commits", l.Accepted, l.Beyond)
	case known == 0:
		return ""
	case !l.Header:
		return "has a damaged header" + until
	case l.Salt == i.mark.salt && uint64(l.Accepted) < known:
		return fmt.Sprintf("is damaged or cut off after frame %d of %d%s", l.Accepted, known, until)
	case l.Salt != i.mark.salt && !l.Salt.After(i.mark.salt):
		return "is not the log that was written last" + until
	}
	return ""
}

// marker writes the mark of an open store. The writer alone uses it, but for sync.
type marker struct {
	file *os.File
	log  *os.File // the write-ahead log, once there is one
	now  mark
	bad  bool // it could not be written: the last one stays, which is never ahead
}

// openMark makes the mark of a store that is being opened, which knows nothing of the log yet, before the first commit.
func openMark(dir string, leased uint32) (*marker, error) {
	f, err := os.OpenFile(filepath.Join(dir, markName), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	m := &marker{file: f, now: mark{leased: leased}}
	err = m.reset()
	if err == nil {
		err = syncDir(dir)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return m, nil
}

// reset forgets how far the log has come, durably.
func (m *marker) reset() error {
	m.now = mark{at: nowMilli(), leased: m.now.leased}
	return m.store()
}

// allow makes the mark say, durably, that no more parts of a lane are leased at once.
func (m *marker) allow(leased uint32) error {
	m.now.leased = leased
	return m.store()
}

func (m *marker) store() error {
	if _, err := m.file.WriteAt(m.now.encode(), 0); err != nil {
		return err
	}
	return m.file.Sync()
}

// committed notes the commit that has just been made on conn.
func (m *marker) committed(conn *sqlite.Conn, path string) (err error) {
	if m.bad {
		return nil
	}
	defer func() { m.bad = err != nil }()
	frames, err := logFrames(conn)
	if err != nil || frames <= 0 {
		return err
	}
	if m.log == nil {
		if m.log, err = os.Open(path + "-wal"); err != nil {
			return err
		}
	}
	if m.now.salt, err = wal.ReadSalt(m.log); err != nil {
		return err
	}
	m.now.frames, m.now.at = uint64(frames), nowMilli()
	_, err = m.file.WriteAt(m.now.encode(), 0)
	return err
}

// logFrames returns how many frames the log has.
func logFrames(conn *sqlite.Conn) (n int64, err error) {
	err = rows(conn, "PRAGMA wal_checkpoint(NOOP)", nil, func(s *sqlite.Stmt) (bool, error) {
		n = s.ColumnInt64(1)
		return false, nil
	})
	return n, err
}

// sync puts the mark on stable storage. It costs nothing when there is no new one.
func (m *marker) sync() error { return syncData(m.file) }

// leaveLog forgets the log, which is about to be carried over and to go.
func (m *marker) leaveLog() error {
	if m.log != nil {
		m.log.Close() //nolint:errcheck // it was only read
	}
	return m.reset()
}

// close gives the file back; closed: the database was closed well, so that the next start has nothing to look for.
func (m *marker) close(dir string, closed bool) error {
	err := m.file.Close()
	if closed && err == nil {
		err = errors.Join(os.Remove(filepath.Join(dir, markName)), syncDir(dir))
	}
	return err
}
