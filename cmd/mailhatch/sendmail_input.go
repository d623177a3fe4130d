package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
)

// spoolMemory is how many bytes of a message are kept in memory; more goes to a temporary file.
const spoolMemory = 1 << 20

// spool keeps a message so that it can be offered more than once.
type spool struct {
	memory   bytes.Buffer
	file     *os.File // what did not fit into memory
	size     int64
	eightBit bool
}

// Write keeps bytes. Errors are those of the temporary file.
func (s *spool) Write(p []byte) (int, error) {
	s.eightBit = s.eightBit || bytes.ContainsFunc(p, func(r rune) bool { return r >= 0x80 })
	n, err := s.write(p)
	s.size += int64(n)
	return n, err
}

func (s *spool) write(p []byte) (int, error) {
	if s.file == nil && s.memory.Len()+len(p) <= spoolMemory {
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

// reader gives the whole message from its start.
func (s *spool) reader() io.Reader {
	if s.file == nil {
		return bytes.NewReader(s.memory.Bytes())
	}
	inFile := s.size - int64(s.memory.Len())
	return io.MultiReader(bytes.NewReader(s.memory.Bytes()), io.NewSectionReader(s.file, 0, inFile))
}

// close removes the temporary file.
func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
		_ = os.Remove(s.file.Name())
	}
}

// untilDot gives r up to a line that is a lone dot, with whichever line end.
func untilDot(r io.Reader) io.Reader { return &dotReader{r: bufio.NewReader(r), atStart: true} }

type dotReader struct {
	r       *bufio.Reader
	line    []byte // not given out yet
	atStart bool   // of a line
	err     error
}

// Read implements io.Reader.
func (d *dotReader) Read(p []byte) (int, error) {
	for len(d.line) == 0 {
		if d.err != nil {
			return 0, d.err
		}
		line, err := d.r.ReadSlice('\n')
		if d.atStart && bytes.Equal(bytes.TrimRight(line, "\r\n"), []byte(".")) && err != bufio.ErrBufferFull {
			d.err = io.EOF
			continue
		}
		d.atStart = err == nil
		if err == bufio.ErrBufferFull {
			err = nil
		}
		d.line, d.err = line, err
	}
	n := copy(p, d.line)
	d.line = d.line[n:]
	return n, nil
}

// inputError is trouble with standard input, not with what the message is written to.
type inputError struct{ err error }

// Error gives the trouble.
func (e *inputError) Error() string { return fmt.Sprintf("standard input: %v", e.err) }

// Unwrap gives the trouble.
func (e *inputError) Unwrap() error { return e.err }

// markedInput marks errors of standard input.
type markedInput struct{ r io.Reader }

// Read implements io.Reader.
func (m markedInput) Read(p []byte) (int, error) {
	n, err := m.r.Read(p)
	if err != nil && err != io.EOF {
		err = &inputError{err}
	}
	return n, err
}
