// Package wal reads SQLite's write-ahead log without SQLite, which accepts what is valid from the log's start on and
// drops everything behind the first damaged frame without a word.
//
// The format: https://www.sqlite.org/fileformat2.html#the_write_ahead_log
package wal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
	"os"
)

const (
	headerLen      = 32
	frameHeaderLen = 24
	magic          = 0x377f0682 // its lowest bit is set where checksums are made of big-endian words
)

// Salt names a generation of the log. SQLite starts the log again from its beginning once all of it is in the
// database; the first half of the salt is one greater then, the second is random.
type Salt struct{ First, Second uint32 }

// After reports whether s can be the salt of a later generation than t.
func (s Salt) After(t Salt) bool {
	d := s.First - t.First
	return d != 0 && d < 1<<31
}

// Log is the state of a log.
type Log struct {
	Salt     Salt
	Bytes    int64 // of the file; 0: there is no log
	Header   bool  // the header is whole; without it SQLite ignores the whole log
	Accepted int   // frames that SQLite accepts
	Beyond   int   // commits of this generation behind them
}

// Frame is a page that was written by a transaction.
type Frame struct {
	Page    uint32 // number of the page, from 1 on
	Commit  bool   // it is the last of its transaction
	Current bool   // it is of the log's generation
	Whole   bool   // it matches its checksum, which depends on the stored one of the frame before
	Mended  bool   // one bit of it was wrong
	Data    []byte // the page; valid during the call
}

// ReadSalt returns the salt in the header of an open log.
func ReadSalt(f io.ReaderAt) (Salt, error) {
	var b [8]byte
	if _, err := f.ReadAt(b[:], 16); err != nil {
		return Salt{}, err
	}
	return saltOf(b[:]), nil
}

func saltOf(b []byte) Salt {
	return Salt{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
}

// Len is how many bytes a log of so many frames has; none is an empty file.
func Len(frames, pageSize int) int64 {
	if frames == 0 {
		return 0
	}
	return headerLen + int64(frames)*int64(frameHeaderLen+pageSize)
}

// Scan reads the log at path, whose pages have pageSize bytes. It calls each, which may be nil, for every frame.
func Scan(path string, pageSize int, each func(Frame) error) (Log, error) {
	return scan(path, pageSize, 0, each)
}

// scan is Scan that looks for the wrong bit in up to so many damaged frames.
func scan(path string, pageSize, mend int, each func(Frame) error) (Log, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return Log{}, nil
	}
	if err != nil {
		return Log{}, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	st, err := f.Stat()
	if err != nil || st.Size() < headerLen {
		return Log{}, err
	}
	s := scanner{log: Log{Bytes: st.Size()}, order: binary.LittleEndian, mend: mend}
	in := bufio.NewReaderSize(f, 1<<20)
	if err := s.header(in, pageSize); err != nil {
		return s.log, err
	}
	frame := make([]byte, frameHeaderLen+pageSize)
	for n := 1; ; n++ {
		if _, err := io.ReadFull(in, frame); err == io.EOF || err == io.ErrUnexpectedEOF {
			return s.log, nil
		} else if err != nil {
			return s.log, err
		}
		fr := s.frame(frame, n)
		if each != nil {
			if err := each(fr); err != nil {
				return s.log, err
			}
		}
	}
}

// scanner follows the checksums of a log.
type scanner struct {
	log    Log
	order  binary.ByteOrder
	stored sum  // of the frame before, or the header
	known  bool // the header can be trusted
	broken bool // SQLite has stopped
	mend   int  // damaged frames that may be tried still
}

func (s *scanner) header(in io.Reader, pageSize int) error {
	var h [headerLen]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return err
	}
	whole := func(h []byte) bool {
		s.order = binary.LittleEndian
		m := binary.BigEndian.Uint32(h)
		if m == magic|1 {
			s.order = binary.BigEndian
		}
		return m&^1 == magic && int(binary.BigEndian.Uint32(h[8:])) == pageSize && (sum{}).add(s.order, h[:24]) == sumOf(h[24:])
	}
	s.log.Header = whole(h[:])
	s.broken = !s.log.Header
	s.known = s.log.Header || flipUntil(h[:], whole)
	s.log.Salt, s.stored = saltOf(h[16:]), sumOf(h[24:])
	return nil
}

func (s *scanner) frame(b []byte, n int) Frame {
	if n == 1 && !s.known {
		s.log.Salt = saltOf(b[8:])
	}
	f := Frame{Whole: s.whole(b), Data: b[frameHeaderLen:]}
	s.broken = s.broken || !f.Whole
	if !f.Whole && s.mend > 0 {
		s.mend--
		f.Mended = flipUntil(b, s.whole)
		f.Whole = f.Mended
	}
	f.Page, f.Commit, f.Current = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:]) != 0, saltOf(b[8:]) == s.log.Salt
	s.stored = sumOf(b[16:])
	s.broken = s.broken || f.Page == 0
	switch {
	case !f.Commit || !f.Current:
	case s.broken:
		s.log.Beyond++
	default:
		s.log.Accepted = n
	}
	return f
}

// whole reports whether a frame is of this generation and matches its checksum.
func (s *scanner) whole(b []byte) bool {
	return saltOf(b[8:]) == s.log.Salt && s.stored.add(s.order, b[:8]).add(s.order, b[frameHeaderLen:]) == sumOf(b[16:])
}

// flipUntil looks for the one bit of b that makes it good, and reports whether there is one.
func flipUntil(b []byte, good func([]byte) bool) bool {
	for i := range b {
		for bit := byte(1); bit != 0; bit <<= 1 {
			if b[i] ^= bit; good(b) {
				return true
			}
			b[i] ^= bit
		}
	}
	return false
}

// sum is the checksum of SQLite's logs: two words, each of which depends on all bytes before.
type sum struct{ a, b uint32 }

func sumOf(b []byte) sum { return sum{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])} }

// add goes on over p, whose length is a multiple of 8.
func (s sum) add(order binary.ByteOrder, p []byte) sum {
	if order == binary.LittleEndian { // the usual one, by a call that can be inlined
		for ; len(p) >= 8; p = p[8:] {
			s.a += binary.LittleEndian.Uint32(p) + s.b
			s.b += binary.LittleEndian.Uint32(p[4:]) + s.a
		}
		return s
	}
	for ; len(p) >= 8; p = p[8:] {
		s.a += order.Uint32(p) + s.b
		s.b += order.Uint32(p[4:]) + s.a
	}
	return s
}
