package view

import (
	"bufio"
	"io"
	"strings"
)

// sequence is what several readers give, each opened when its turn comes.
type sequence struct {
	items []func() io.Reader
	apart bool // they are texts, with an empty line between them
}

func (s *sequence) literal(text string) {
	s.items = append(s.items, func() io.Reader { return strings.NewReader(text) })
}

// open reads them from the start.
func (s *sequence) open() io.Reader { return &sequenceReader{rest: s.items, apart: s.apart} }

type sequenceReader struct {
	rest    []func() io.Reader
	apart   bool
	current io.Reader
	between string // what comes before current
	last    byte   // that was read, 0 before the first
}

func (r *sequenceReader) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	for {
		if r.current == nil {
			if len(r.rest) == 0 {
				return 0, io.EOF
			}
			if err := r.next(); err != nil {
				return 0, err
			}
		}
		if r.between != "" {
			n = copy(p, r.between)
			r.between = r.between[n:]
			return n, nil
		}
		n, err = r.current.Read(p)
		if n > 0 {
			r.last = p[n-1]
		}
		if err == io.EOF {
			r.current, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

// next opens the next one.
func (r *sequenceReader) next() error {
	r.current, r.rest = r.rest[0](), r.rest[1:]
	if !r.apart || r.last == 0 {
		return nil
	}
	peeked := bufio.NewReader(r.current)
	r.current = peeked
	switch _, err := peeked.Peek(1); {
	case err == io.EOF: // it says nothing
	case err != nil:
		return err
	case r.last == '\n':
		r.between = "\r\n"
	default:
		r.between = "\r\n\r\n"
	}
	return nil
}
