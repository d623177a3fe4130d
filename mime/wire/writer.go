package wire

import (
	"bytes"
	"encoding/binary"
)

// Writer makes the wire form of a message (RFC 5321 4.5.2): a dot doubled at the start of a line and
// behind NULs there, a lone CR or LF made CRLF, and CRLF at the end where it is missing. Nothing else changes.
type Writer struct {
	Flush    func([]byte) error // gets Buf when there are 48 KiB and more in it; nil: all stays in Buf
	Buf      []byte
	Size     int64 // octets so far, without the doubled dots
	EightBit bool  // some had the high bit set
	Long     bool  // some line had more than MaxLine of them

	length int  // of the line
	inLine bool // the last octet was not the end of a line
	begun  bool // the line has an octet other than NUL
	cr     bool // the last octet was a CR, which has not been written yet
}

const (
	chunkSize = 48 << 10 // octets in Buf from which on Flush gets them
	runSize   = 16 << 10 // octets that are taken in one go
)

// Take takes the next octets. The error is that of Flush.
func (w *Writer) Take(p []byte) error {
	for len(p) > 0 {
		if n := w.plain(p[:min(len(p), runSize)]); n > 0 {
			p = p[n:]
		} else {
			line := p
			i := bytes.IndexByte(p, '\n')
			if i >= 0 {
				line = p[:i]
			}
			p = p[min(len(line)+1, len(p)):]
			w.line(line, i >= 0)
		}
		if w.Flush != nil && len(w.Buf) >= chunkSize {
			if err := w.Flush(w.Buf); err != nil {
				return err
			}
			w.Buf = w.Buf[:0]
		}
	}
	return nil
}

// plain takes the lines at the start of p that leave as they are, and says how many bytes these have.
func (w *Writer) plain(p []byte) int {
	n := 0
	for !w.inLine && !w.cr && n < len(p) && p[n] != '.' && p[n] != 0 {
		end := bytes.IndexByte(p[n:], '\n')
		if end < 1 || bytes.IndexByte(p[n:n+end], '\r') != end-1 {
			break
		}
		w.Long = w.Long || end-1 > MaxLine
		n += end + 1
	}
	w.Size += int64(n)
	w.EightBit = w.EightBit || Has8Bit(p[:n])
	w.Buf = append(w.Buf, p[:n]...)
	return n
}

// line takes bytes without LF; ended says that an LF follows them.
func (w *Writer) line(b []byte, ended bool) {
	if w.cr && (len(b) > 0 || !ended) {
		w.endLine() // a lone CR
	}
	for {
		j := bytes.IndexByte(b, '\r')
		if j < 0 {
			break
		}
		w.text(b[:j])
		b = b[j+1:]
		if w.cr = len(b) == 0; w.cr {
			break
		}
		w.endLine()
	}
	w.text(b)
	if ended {
		w.endLine()
	}
}

func (w *Writer) text(b []byte) {
	if len(b) == 0 {
		return
	}
	w.Size += int64(len(b))
	w.EightBit = w.EightBit || Has8Bit(b)
	w.length += len(b)
	w.Long = w.Long || w.length > MaxLine
	w.inLine = true
	if !w.begun {
		// A relay that drops NUL would take NUL "." CRLF for the end of the message.
		text := bytes.TrimLeft(b, "\x00")
		w.Buf = append(w.Buf, b[:len(b)-len(text)]...)
		if b = text; len(b) > 0 && b[0] == '.' {
			w.Buf = append(w.Buf, '.')
		}
		w.begun = len(b) > 0
	}
	w.Buf = append(w.Buf, b...)
}

func (w *Writer) endLine() {
	w.inLine, w.begun, w.cr, w.length = false, false, false, 0
	w.Size += 2
	w.Buf = append(w.Buf, '\r', '\n')
}

// End ends the last line and adds the final dot.
func (w *Writer) End() {
	if w.cr || w.inLine {
		w.endLine()
	}
	w.Buf = append(w.Buf, ".\r\n"...)
}

// Has8Bit reports whether some octet has its high bit set.
func Has8Bit(p []byte) bool {
	for len(p) >= 8 {
		if binary.LittleEndian.Uint64(p)&0x8080808080808080 != 0 {
			return true
		}
		p = p[8:]
	}
	for _, b := range p {
		if b >= 0x80 {
			return true
		}
	}
	return false
}
