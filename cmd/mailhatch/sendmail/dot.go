package sendmail

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
)

// untilDot returns r up to a line that is a lone dot, with whichever line end.
func untilDot(r io.Reader) io.Reader { return &dotReader{r: bufio.NewReader(r), atStart: true} }

type dotReader struct {
	r       *bufio.Reader
	line    []byte // not returned yet
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

// inputError is a failure of standard input, as opposed to one of the temporary file.
type inputError struct{ err error }

// Error implements error.
func (e *inputError) Error() string { return fmt.Sprintf("standard input: %v", e.err) }

// Unwrap returns the cause.
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
