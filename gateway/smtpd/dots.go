package smtpd

import (
	"bytes"

	"mailhatch/mime/lineend"
)

// dotState is where a dotDecoder stands in a line.
type dotState int

const (
	lineStart dotState = iota // after CRLF, or at the start of the text; after LF where there is no CR
	inLine
	afterCR  // one or more CR, not given out yet
	afterDot // "." at the start of a line, not given out
	afterDotCR
	atEnd // CRLF.CRLF was seen; LF.LF where there is no CR
)

// dotDecoder takes the transparency of RFC 5321 4.5.2 off the text of DATA, block by block. Only
// CRLF.CRLF is the end, and only a dot after CRLF is transparent. A lone CR or LF becomes CRLF, but a CR in a
// header a space, and CR CR LF, the mark of a program that translated its lines twice, is one line end.
//
// By LF.LF a client means the end that has ended all of its lines in LF. The first CR makes it one like others.
type dotDecoder struct {
	state  dotState
	onlyLF bool // that may be: there was no CR, in the commands neither
	crs    int  // how many CR are held
	bare   bool // a lone CR or LF was seen
	line   int  // bytes of the line so far
	long   int  // the longest line

	header lineend.Header
}

// decode takes bytes of src and puts text into dst, which must have room for two bytes at least.
// It stops when one of them is used up or the end is seen, which leaves the rest of src alone.
func (d *dotDecoder) decode(dst, src []byte) (nd, ns int) {
	nextLF := -1 // where the next LF of src is, len(src) if nowhere, -1 not looked for
	for ns < len(src) && nd+2 <= len(dst) && d.state != atEnd {
		c := src[ns]
		switch d.state {
		case lineStart:
			d.state = inLine
			if c == '.' {
				d.state = afterDot
				ns++
			}
		case afterDot:
			a, b := d.heldDot(dst[nd:], c)
			nd, ns = nd+a, ns+b
		case afterDotCR:
			d.state, d.crs = afterCR, 1
			if c == '\n' {
				d.state = atEnd
				ns++
			}
		case afterCR:
			a, b := d.heldCR(dst[nd:], c)
			nd, ns = nd+a, ns+b
		case inLine:
			if nextLF < ns {
				nextLF = len(src)
				if i := bytes.IndexByte(src[ns:], '\n'); i >= 0 {
					nextLF = ns + i
				}
			}
			a, b := d.text(dst[nd:], src[ns:], nextLF-ns)
			nd, ns = nd+a, ns+b
		}
	}
	return nd, ns
}

// heldDot decides about a dot at the start of a line when it is known what follows it.
func (d *dotDecoder) heldDot(dst []byte, c byte) (nd, ns int) {
	d.state = inLine
	switch {
	case c == '\n' && d.onlyLF:
		d.state = atEnd
		return 0, 1
	case c == '\r' && d.onlyLF: // LF.CRLF is no end, and its dot is text
		d.onlyLF = false
		d.line++
		d.header.Write([]byte("."))
		return copy(dst, "."), 0
	case c == '\r':
		d.state = afterDotCR
		return 0, 1
	}
	return 0, 0
}

// heldCR decides about CRs when it is known what follows them.
func (d *dotDecoder) heldCR(dst []byte, c byte) (nd, ns int) {
	switch {
	case c == '\n':
		d.bare = d.bare || d.crs > 1
		d.crs, d.state = 0, lineStart
		d.endLine()
		return copy(dst, "\r\n"), 1
	case c == '\r':
		d.crs++
		return 0, 1
	}
	d.bare = true
	if d.header.Continues() {
		d.crs, d.state = 0, inLine
		d.line++
		return copy(dst, " "), 0
	}
	d.measureLine()
	d.header.CutLine()
	if d.crs--; d.crs == 0 {
		d.state = inLine
	}
	return copy(dst, "\r\n"), 0
}

// text copies up to the end of the line; lf is where src has its next LF.
func (d *dotDecoder) text(dst, src []byte, lf int) (nd, ns int) {
	if lf == 0 {
		d.bare = true
		d.endLine()
		if d.onlyLF {
			d.state = lineStart
		}
		return copy(dst, "\r\n"), 1
	}
	seg := src[:min(lf, len(dst))]
	if i := bytes.IndexByte(seg, '\r'); i >= 0 {
		d.onlyLF = false
		d.line += i
		d.header.Write(seg[:i])
		if i == lf-1 && lf < len(src) && lf < len(dst) { // a whole line with its CRLF
			d.state = lineStart
			d.endLine()
			n := copy(dst, src[:lf+1])
			return n, n
		}
		d.state, d.crs = afterCR, 1
		return copy(dst, seg[:i]), i + 1
	}
	d.line += len(seg)
	d.header.Write(seg)
	n := copy(dst, seg)
	return n, n
}

func (d *dotDecoder) endLine() {
	d.measureLine()
	d.header.EndLine()
}

func (d *dotDecoder) measureLine() {
	d.long = max(d.long, d.line)
	d.line = 0
}
