package maildrop

import "io"

// CRLF returns r with CRLF line ends, whatever it has (RFC 5321 2.3.8): a lone CR or LF becomes CRLF, and
// CR CR LF, the mark of a program that translated its lines twice, is one line end.
func CRLF(r io.Reader) io.Reader { return &lineEnds{r: r, in: make([]byte, 32<<10)} }

type lineEnds struct {
	r    io.Reader
	in   []byte // what was read
	out  []byte // what was translated and not returned yet
	crs  int    // CR that are held: what follows decides what they are
	err  error
	keep []byte // the memory of out
}

// Read implements io.Reader.
func (l *lineEnds) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		n, err := l.r.Read(l.in)
		l.out, l.err = l.keep[:0], err
		for _, c := range l.in[:n] {
			l.take(c)
		}
		if err == io.EOF {
			l.lone()
		}
		l.keep = l.out
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

func (l *lineEnds) take(c byte) {
	switch c {
	case '\r':
		// Endless CR must not be held endlessly.
		if l.crs++; l.crs > 2 {
			l.out, l.crs = append(l.out, '\r', '\n'), 2
		}
	case '\n':
		l.out, l.crs = append(l.out, '\r', '\n'), 0
	default:
		l.lone()
		l.out = append(l.out, c)
	}
}

// lone ends the lines of CR that no LF followed.
func (l *lineEnds) lone() {
	for ; l.crs > 0; l.crs-- {
		l.out = append(l.out, '\r', '\n')
	}
}
