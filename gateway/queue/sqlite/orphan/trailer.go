// Package orphan keeps bodies whose rows are missing from being lost: behind each body on disk stands a trailer with
// what is needed to deliver it from the body alone, and bodies without a row are set aside with a report.
package orphan

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"os"
)

// Trailer stands behind a body on disk. It is written before the fsync that makes the body durable: a body without
// one was never acknowledged.
type Trailer struct {
	ID    int64  // of the message
	Place int64  // where the body was written, as its row names it; so that no mail can bring a trailer of its own
	Size  int64  // bytes of the body, which ends where the trailer begins
	CRC   uint32 // CRC-32C of the body
	Info  []byte // what the row of the message holds beside: envelope and header, as JSON
}

const (
	magic     = "mailhatch\r\n\x00"
	fixedLen  = 4 + 4 + 8 + 8 + 8 // infoLen, CRC, size, id, place
	footerLen = fixedLen + 4 + len(magic)
	infoLimit = 64 << 20
)

func castagnoli() *crc32.Table { return crc32.MakeTable(crc32.Castagnoli) }

// Len is how many bytes a trailer with that info takes.
func Len(info []byte) int { return len(info) + footerLen }

// Encode returns the bytes of the trailer: info, what is fixed, a checksum of both, and a word to find it by.
func (t *Trailer) Encode() []byte {
	b := append(make([]byte, 0, Len(t.Info)), t.Info...)
	b = binary.BigEndian.AppendUint32(b, uint32(len(t.Info)))
	b = binary.BigEndian.AppendUint32(b, t.CRC)
	b = binary.BigEndian.AppendUint64(b, uint64(t.Size))
	b = binary.BigEndian.AppendUint64(b, uint64(t.ID))
	b = binary.BigEndian.AppendUint64(b, uint64(t.Place))
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli()))
	return append(b, magic...)
}

// Read reads the trailer that ends at end and returns where its body begins. ok is false where there is none.
func Read(f io.ReaderAt, end int64) (t Trailer, start int64, ok bool) {
	var b [footerLen]byte
	if end < int64(footerLen) {
		return t, 0, false
	}
	if _, err := f.ReadAt(b[:], end-int64(footerLen)); err != nil || string(b[fixedLen+4:]) != magic {
		return t, 0, false
	}
	n := int64(binary.BigEndian.Uint32(b[:]))
	t = Trailer{CRC: binary.BigEndian.Uint32(b[4:]), Size: int64(binary.BigEndian.Uint64(b[8:])),
		ID: int64(binary.BigEndian.Uint64(b[16:])), Place: int64(binary.BigEndian.Uint64(b[24:]))}
	start = end - int64(footerLen) - n - t.Size
	if n > infoLimit || t.Size < 0 || t.Size > end || start < 0 {
		return t, 0, false
	}
	t.Info = make([]byte, n)
	if _, err := f.ReadAt(t.Info, start+t.Size); err != nil {
		return t, 0, false
	}
	sum := crc32.Update(crc32.Checksum(t.Info, castagnoli()), castagnoli(), b[:fixedLen])
	return t, start, sum == binary.BigEndian.Uint32(b[fixedLen:])
}

// Walk calls each for the trailers in a file of that size, from its end to its start. A body cannot bring a trailer
// in between, for what lies before a trailer is passed over as its body.
func Walk(f io.ReaderAt, size int64, each func(t Trailer, start int64) error) error {
	for end := size; end > 0; {
		t, start, ok := Read(f, end)
		if !ok { // nothing was written here: look for the next one before
			b := make([]byte, end-1)
			if _, err := f.ReadAt(b, 0); err != nil {
				return err
			}
			i := bytes.LastIndex(b, []byte(magic))
			if i < 0 {
				return nil
			}
			end = int64(i + len(magic))
			continue
		}
		if err := each(t, start); err != nil {
			return err
		}
		end = start
	}
	return nil
}

// Open reads the trailer at the end of the file of a body. ok is false where there is none for that place; whole reports
// whether the body matches its checksum.
func Open(path string, place int64) (t Trailer, ok, whole bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return t, false, false, err
	}
	defer f.Close() //nolint:errcheck // it was only read
	st, err := f.Stat()
	if err != nil {
		return t, false, false, err
	}
	t, start, ok := Read(f, st.Size())
	if !ok || start != 0 || t.Place != place {
		return t, false, false, nil
	}
	sum := crc32.New(castagnoli())
	_, err = io.Copy(sum, io.NewSectionReader(f, 0, t.Size))
	return t, true, sum.Sum32() == t.CRC, err
}
