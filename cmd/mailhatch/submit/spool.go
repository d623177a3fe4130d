package submit

import (
	"bytes"
	"io"
	"os"
)

// SpoolMemory is how many bytes of a message are kept in memory; the rest goes to a temporary file.
const SpoolMemory = 1 << 20

// Spool keeps a message so that it can be offered more than once. The zero value is ready for use.
type Spool struct {
	memory   bytes.Buffer
	file     *os.File // what did not fit into memory
	size     int64
	eightBit bool
}

// Write implements io.Writer. Errors are those of the temporary file.
func (s *Spool) Write(p []byte) (int, error) {
	s.eightBit = s.eightBit || bytes.ContainsFunc(p, func(r rune) bool { return r >= 0x80 })
	n, err := s.write(p)
	s.size += int64(n)
	return n, err
}

func (s *Spool) write(p []byte) (int, error) {
	if s.file == nil && s.memory.Len()+len(p) <= SpoolMemory {
		return s.memory.Write(p)
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "sendmail") // mode 0600
		if err != nil {
			return 0, err
		}
		s.file = f
	}
	return s.file.Write(p)
}

// Size returns the number of bytes kept so far.
func (s *Spool) Size() int64 { return s.size }

// Reader returns a reader of the whole message.
func (s *Spool) Reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes())
	}
	inFile := s.size - int64(s.memory.Len())
	return io.MultiReader(bytes.NewReader(s.memory.Bytes()), io.NewSectionReader(s.file, 0, inFile))
}

// Close removes the temporary file.
func (s *Spool) Close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}
