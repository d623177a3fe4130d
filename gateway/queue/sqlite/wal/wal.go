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

// Scan reads the log at path, whose pages have pageSize bytes. It calls each, which may be nil, for every frame.
func Scan(path string, pageSize int, each func(Frame) error) (Log, error) {
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
	s := scanner{log: Log{Bytes: st.Size()}, order: binary.LittleEndian}
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
	broken bool // SQLite has stopped
}

func (s *scanner) header(in io.Reader, pageSize int) error {
	var h [headerLen]byte
	if _, err := io.ReadFull(in, h[:]); err != nil {
		return err
	}
	m := binary.BigEndian.Uint32(h[:])
	if m == magic|1 {
		s.order = binary.BigEndian
	}
	s.log.Salt, s.stored = saltOf(h[16:]), sumOf(h[24:])
	s.log.Header = m&^1 == magic && int(binary.BigEndian.Uint32(h[8:])) == pageSize && (sum{}).add(s.order, h[:24]) == s.stored
	s.broken = !s.log.Header
	return nil
}

func (s *scanner) frame(b []byte, n int) Frame {
	salt := saltOf(b[8:])
	if n == 1 && !s.log.Header { // the header's own may be what is damaged
		s.log.Salt = salt
	}
	f := Frame{Page: binary.BigEndian.Uint32(b), Commit: binary.BigEndian.Uint32(b[4:]) != 0, Current: salt == s.log.Salt, Data: b[frameHeaderLen:]}
	stored := sumOf(b[16:])
	if f.Current {
		f.Whole = s.stored.add(s.order, b[:8]).add(s.order, f.Data) == stored
	}
	s.stored = stored
	s.broken = s.broken || !f.Whole || f.Page == 0
	switch {
	case !f.Commit || !f.Current:
	case s.broken:
		s.log.Beyond++
	default:
		s.log.Accepted = n
	}
	return f
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
