package wal

import (
	"encoding/binary"
	"os"
	"slices"
)

// Row is a row of a table with integer keys, as a page of the log holds it: nil, int64, string or []byte.
type Row struct {
	Key    int64
	Values []any
	Whole  bool // the page that holds its start matches its checksum; pages that it goes on in may not
}

// mostMended bounds the search for wrong bits, which takes 0.1 s a frame.
const mostMended = 100

// Salvaged counts the frames behind those that SQLite accepts.
type Salvaged struct {
	Damaged int
	Missing int // as the mark shows
}

// Salvage calls each for the rows that were written by the transactions behind those that SQLite accepts in the log at
// path, oldest first: a row comes once for each time that its page was written. db is the database, for pages that the
// log has not.
func Salvage(path, db string, pageSize int, m Mark, each func(Row)) (found Salvaged, err error) {
	s := salvage{pageSize: pageSize, frames: map[uint32][]int{}, mended: map[int][]byte{}}
	n, ends, leaves := 0, []int{}, []leaf{}
	log, err := scan(path, pageSize, mostMended, func(f Frame) error {
		n++
		if f.Mended {
			s.mended[n] = slices.Clone(f.Data)
		}
		leaves = append(leaves, leaf{n, f.Page, f.Whole})
		if !f.Current {
			return nil
		}
		s.frames[f.Page] = append(s.frames[f.Page], n)
		if f.Commit {
			ends = append(ends, n)
		}
		return nil
	})
	if err != nil {
		return found, err
	}
	last := 0 // of the frames that belong to a commit
	if len(ends) > 0 {
		last = ends[len(ends)-1]
	}
	if m.Frames > 0 && (m.Salt == log.Salt || log.Bytes == 0) {
		found.Missing = max(0, int(m.Frames)-n)
		last = max(last, min(n, int(m.Frames)))
	}
	if n == 0 {
		return found, nil
	}
	if s.log, err = os.Open(path); err != nil {
		return found, err
	}
	defer s.log.Close() //nolint:errcheck // it was only read
	if s.db, err = os.Open(db); err != nil {
		return found, err
	}
	defer s.db.Close() //nolint:errcheck // it was only read
	for _, l := range leaves[min(log.Accepted, last):last] {
		if !l.whole {
			found.Damaged++
		}
		s.until = last
		if i, _ := slices.BinarySearch(ends, l.frame); i < len(ends) {
			s.until = ends[i] // what its transaction saw
		}
		if err := s.rows(l, each); err != nil {
			return found, err
		}
	}
	return found, nil
}

// leaf is a frame that may hold rows.
type leaf struct {
	frame int
	page  uint32
	whole bool
}

type salvage struct {
	log, db  *os.File
	pageSize int
	frames   map[uint32][]int // of each page
	mended   map[int][]byte   // pages that had a wrong bit, by frame
	until    int
}

// read returns a page as the frame holds it.
func (s *salvage) read(frame int) ([]byte, error) {
	if p := s.mended[frame]; p != nil {
		return p, nil
	}
	p := make([]byte, s.pageSize)
	_, err := s.log.ReadAt(p, headerLen+int64(frame-1)*int64(frameHeaderLen+s.pageSize)+frameHeaderLen)
	return p, err
}

// page returns a page as it was after frame until; nil where there is none.
func (s *salvage) page(n uint32) []byte {
	list := s.frames[n]
	i, found := slices.BinarySearch(list, s.until)
	if found {
		i++
	}
	if i > 0 {
		if p, err := s.read(list[i-1]); err == nil {
			return p
		}
		return nil
	}
	p := make([]byte, s.pageSize)
	if n == 0 {
		return nil
	}
	if _, err := s.db.ReadAt(p, int64(n-1)*int64(s.pageSize)); err != nil {
		return nil
	}
	return p
}

const tableLeaf = 0x0d // https://www.sqlite.org/fileformat2.html#b_tree_pages

// rows calls each for the rows of a page, if it is a leaf of a table.
func (s *salvage) rows(l leaf, each func(Row)) error {
	p, err := s.read(l.frame)
	if err != nil {
		return err
	}
	head := p
	if l.page == 1 {
		head = p[100:]
	}
	if head[0] != tableLeaf {
		return nil
	}
	for i := range int(binary.BigEndian.Uint16(head[3:])) {
		if 8+2*i+2 > len(head) {
			break
		}
		at := int(binary.BigEndian.Uint16(head[8+2*i:]))
		if at >= len(p) {
			continue
		}
		if r, ok := s.cell(p[at:]); ok {
			r.Whole = l.whole
			each(r)
		}
	}
	return nil
}

// cell reads a cell of a leaf: https://www.sqlite.org/fileformat2.html#b_tree_pages
func (s *salvage) cell(c []byte) (r Row, ok bool) {
	size, c, ok1 := varint(c)
	key, c, ok2 := varint(c)
	if !ok1 || !ok2 || size > 1<<24 {
		return Row{}, false
	}
	payload, ok := s.payload(c, int(size))
	if !ok {
		return Row{}, false
	}
	r.Key = int64(key)
	r.Values, ok = record(payload)
	return r, ok
}

// payload returns the bytes of a cell, the rest of which may stand on other pages.
func (s *salvage) payload(c []byte, size int) ([]byte, bool) {
	usable := s.pageSize
	local := size
	if size > usable-35 {
		least := (usable-12)*32/255 - 23
		if local = least + (size-least)%(usable-4); local > usable-35 {
			local = least
		}
	}
	if local > len(c) || (local < size && local+4 > len(c)) {
		return nil, false
	}
	if local == size {
		return c[:size], true
	}
	out := append(make([]byte, 0, size), c[:local]...)
	for next := binary.BigEndian.Uint32(c[local:]); len(out) < size; {
		p := s.page(next)
		if p == nil {
			return nil, false
		}
		next = binary.BigEndian.Uint32(p)
		out = append(out, p[4:4+min(size-len(out), usable-4)]...)
	}
	return out, true
}

// record decodes the values of a row: https://www.sqlite.org/fileformat2.html#record_format
func record(b []byte) (values []any, ok bool) {
	size, types, ok := varint(b)
	head := len(b) - len(types)
	if !ok || size > uint64(len(b)) || int(size) < head {
		return nil, false
	}
	types, b = types[:int(size)-head], b[size:]
	for len(types) > 0 {
		var t uint64
		if t, types, ok = varint(types); !ok {
			return nil, false
		}
		n := length(t)
		if n > uint64(len(b)) {
			return nil, false
		}
		values = append(values, value(t, b[:n]))
		b = b[n:]
	}
	return values, true
}

// length is how many bytes a value of a serial type takes.
func length(t uint64) uint64 {
	switch {
	case t <= 4:
		return t
	case t == 5:
		return 6
	case t <= 7:
		return 8
	case t < 12:
		return 0
	}
	return (t - 12) / 2
}

func value(t uint64, b []byte) any {
	switch {
	case t == 0 || t == 7 || t == 10 || t == 11:
		return nil
	case t == 8 || t == 9:
		return int64(t - 8)
	case t < 12:
		v := int64(int8(b[0]))
		for _, c := range b[1:] {
			v = v<<8 | int64(c)
		}
		return v
	case t%2 == 0:
		return b
	}
	return string(b)
}

// varint reads SQLite's integer of variable length, and returns what follows.
func varint(b []byte) (v uint64, rest []byte, ok bool) {
	for i := range 9 {
		if i >= len(b) {
			return 0, nil, false
		}
		if i == 8 {
			return v<<8 | uint64(b[i]), b[i+1:], true
		}
		v = v<<7 | uint64(b[i]&0x7f)
		if b[i] < 0x80 {
			return v, b[i+1:], true
		}
	}
	return 0, nil, false
}
