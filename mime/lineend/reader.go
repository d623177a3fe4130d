package lineend

import (
	"bytes"
	"io"
)

// Message returns the message that r reads with CRLF line ends, whatever it has: a lone LF becomes CRLF, and so does a
// lone CR in the body; in a header it becomes a space. CR CR LF, the mark of a program that translated its lines
// twice, is one line end.
func Message(r io.Reader) io.Reader { return &reader{r: r, in: make([]byte, 32<<10)} }

// Session returns what r reads of an SMTP session with CR before each LF that has none. Lone CRs are for the server.
func Session(r io.Reader) io.Reader { return &reader{r: r, in: make([]byte, 32<<10), session: true} }

type reader struct {
	r       io.Reader
	session bool
	header  Header
	in      []byte // what was read
	out     []byte // what was translated and not returned yet
	crs     int    // CR that are held: what follows decides what they are
	err     error
	keep    []byte // the memory of out
}

const maxHeld = 32 << 10 // CR that wait for an LF

// Read implements io.Reader.
func (l *reader) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		n, err := l.r.Read(l.in)
		l.out, l.err = l.keep[:0], err
		l.take(l.in[:n])
		if err == io.EOF {
			l.lone()
		}
		l.keep = l.out
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

func (l *reader) take(p []byte) {
	for len(p) > 0 {
		switch p[0] {
		case '\r':
			if l.crs++; l.crs > maxHeld && !l.header.Continues() {
				l.oneLone()
				l.crs--
			}
			p = p[1:]
		case '\n':
			l.out, l.crs = append(l.out, '\r', '\n'), 0
			l.header.EndLine()
			p = p[1:]
		default:
			l.lone()
			n := bytes.IndexAny(p, "\r\n")
			if n < 0 {
				n = len(p)
			}
			l.out = append(l.out, p[:n]...)
			if !l.session {
				l.header.Write(p[:n])
			}
			p = p[n:]
		}
	}
}

// lone decides about CRs that no LF followed.
func (l *reader) lone() {
	if l.crs > 0 && l.header.Continues() {
		l.out, l.crs = append(l.out, ' '), 0
		l.header.Write([]byte(" "))
	}
	for ; l.crs > 0; l.crs-- {
		l.oneLone()
	}
}

func (l *reader) oneLone() {
	if l.session {
		l.out = append(l.out, '\r')
		return
	}
	l.out = append(l.out, '\r', '\n')
	l.header.CutLine()
}
