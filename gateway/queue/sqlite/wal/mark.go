package wal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"os"
	"time"
)

// Mark is how far a log has come. SQLite takes a log that is damaged, cut off or missing for one that holds less. So that
// acknowledged mail never goes without a word, a mark lies in a file beside the database as long as a process has that
// open. It is written after each commit, before anybody is answered, and put on stable storage each second: a killed
// process has lost nothing of it, a power cut at most the last second. It is never ahead of the log.
type Mark struct {
	Salt   Salt
	Frames uint64 // 0: nothing is known of the log
	At     int64  // of the last commit, in milliseconds since 1970
	Leased uint32 // that no more parts of one lane were leased at once; 0: not known
}

const (
	markMagic = "mhopen1\n"
	markLen   = 40
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Encode returns the bytes of the mark, which are always as many.
func (m Mark) Encode() []byte {
	b := append(make([]byte, 0, markLen), markMagic...)
	b = binary.BigEndian.AppendUint32(b, m.Salt.First)
	b = binary.BigEndian.AppendUint32(b, m.Salt.Second)
	b = binary.BigEndian.AppendUint64(b, m.Frames)
	b = binary.BigEndian.AppendUint64(b, uint64(m.At))
	b = binary.BigEndian.AppendUint32(b, m.Leased)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
}

// ReadMark reads the mark at path. open is false where there is none: the last process closed the database. A mark
// that is damaged knows nothing of the log.
func ReadMark(path string) (m Mark, open bool, err error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return Mark{}, false, nil
	}
	if err != nil || len(b) != markLen || string(b[:len(markMagic)]) != markMagic ||
		crc32.Checksum(b[:markLen-4], castagnoli()) != binary.BigEndian.Uint32(b[markLen-4:]) {
		return Mark{}, true, err
	}
	return Mark{
		Salt:   Salt{First: binary.BigEndian.Uint32(b[8:]), Second: binary.BigEndian.Uint32(b[12:])},
		Frames: binary.BigEndian.Uint64(b[16:]), At: int64(binary.BigEndian.Uint64(b[24:])),
		Leased: binary.BigEndian.Uint32(b[32:]),
	}, true, nil
}

// Damage says what SQLite would lose without a word if it opened the log, beyond the one commit at its end that may
// have been cut off: the transaction that was being written. "" is for nothing.
func (l *Log) Damage(m Mark) string {
	until := " (the last commit was at " + time.UnixMilli(m.At).Format(time.RFC3339) + ")"
	switch {
	case m.Frames > 0 && l.Bytes == 0:
		return "is missing or empty" + until
	case l.Beyond > 1:
		return fmt.Sprintf("is damaged after frame %d, and SQLite would drop %d commits", l.Accepted, l.Beyond)
	case m.Frames == 0:
		return ""
	case !l.Header:
		return "has a damaged header" + until
	case l.Salt == m.Salt && uint64(l.Accepted) < m.Frames:
		return fmt.Sprintf("is damaged or cut off after frame %d of %d%s", l.Accepted, m.Frames, until)
	case l.Salt != m.Salt && !l.Salt.After(m.Salt):
		return "is not the log that was written last" + until
	}
	return ""
}

// State is what the files of a database show before SQLite opens them.
type State struct {
	Log     Log
	Mark    Mark
	Damage  string // to the log; "": none
	Unclean bool   // the last process did not close the database
}

// Inspect looks at a mark and a log without changing them.
func Inspect(mark, log string, pageSize int) (s State, err error) {
	marked := false
	if s.Mark, marked, err = ReadMark(mark); err != nil {
		return s, err
	}
	if s.Log, err = Scan(log, pageSize, nil); err != nil {
		return s, err
	}
	s.Unclean, s.Damage = marked || s.Log.Bytes > 0, s.Log.Damage(s.Mark)
	return s, nil
}
