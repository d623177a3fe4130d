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
	inFile   int64    // bytes
	eightBit bool

	rest  io.Reader // what could not be kept: it is read when the message is
	cause error     // why
	spent bool      // the message was read, and cannot be again
}

// Write implements io.Writer. Where no temporary file can be made, all is kept in memory.
func (s *Spool) Write(p []byte) (int, error) {
	n, err := s.keep(p)
	if err != nil && s.file == nil {
		return s.remember(p)
	}
	return n, err
}

// Fill reads a message up to its end. Where there is no temporary file, or no room for it, the rest is left in r
// until the message is read, which is then possible once. Errors come from r.
func (s *Spool) Fill(r io.Reader) error {
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		kept, full := s.keep(buf[:n])
		if full != nil {
			tail := bytes.NewReader(bytes.Clone(buf[kept:n]))
			if err != nil {
				r = failing{err}
			}
			s.rest, s.cause = io.MultiReader(tail, r), full
			return nil
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// failing is a reader that has come to its end.
type failing struct{ err error }

// Read implements io.Reader.
func (f failing) Read([]byte) (int, error) { return 0, f.err }

// keep writes to memory or, when that is full, to the file. Errors are those of the file.
func (s *Spool) keep(p []byte) (n int, err error) {
	if s.file == nil && s.memory.Len()+len(p) <= SpoolMemory {
		return s.remember(p)
	}
	if s.file == nil {
		if s.file, err = os.CreateTemp("", "sendmail"); err != nil { // mode 0600
			s.file = nil
			return 0, err
		}
	}
	n, err = s.file.Write(p)
	s.inFile += int64(n)
	s.see(p[:n])
	return n, err
}

// remember writes to memory.
func (s *Spool) remember(p []byte) (int, error) {
	s.see(p)
	return s.memory.Write(p)
}

// see notes what kind of bytes the message has.
func (s *Spool) see(p []byte) {
	s.eightBit = s.eightBit || bytes.ContainsFunc(p, func(r rune) bool { return r >= 0x80 })
}

// Size returns the number of bytes of the message, -1 as long as nobody has counted them.
func (s *Spool) Size() int64 {
	if s.rest != nil {
		return -1
	}
	return int64(s.memory.Len()) + s.inFile
}

// Spent returns why the message cannot be read any more; nil while it can.
func (s *Spool) Spent() error {
	if s.spent {
		return s.cause
	}
	return nil
}

// Reader returns a reader of the whole message.
func (s *Spool) Reader() io.Reader {
	parts := []io.Reader{bytes.NewReader(s.memory.Bytes())}
	if s.file != nil {
		parts = append(parts, io.NewSectionReader(s.file, 0, s.inFile))
	}
	if s.rest != nil {
		parts = append(parts, once{s})
	}
	return io.MultiReader(parts...)
}

// once reads what could not be kept.
type once struct{ *Spool }

// Read implements io.Reader.
func (o once) Read(p []byte) (int, error) {
	o.spent = true
	return o.rest.Read(p)
}

// Close removes the temporary file.
func (s *Spool) Close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}
