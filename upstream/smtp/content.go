package smtp

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"slices"

	"mailhatch/mime"
	"mailhatch/mime/wire"
	"mailhatch/upstream"
)

// smallSize is the size up to which a message is prepared in memory and leaves in one write. Larger
// ones are read twice: to know their size and needs, and to send them.
const smallSize = 512 << 10

// content is a message ready to leave: header edited, CRLF at the end of each line.
type content struct {
	msg  *mime.Message // with its header edited
	wire []byte        // dots stuffed, with the final dot; nil when the message is large
	size int64         // octets without dot-stuffing: what SIZE= declares (RFC 1870 5)

	long           bool // some line has more than 998 octets
	eightBit       bool // some octet has its high bit set
	eightBitHeader bool // one of them is in a header, that of a part included

	left string // type of a part with lines of more than 998 octets, which must not be changed
}

// prepare makes m fit to leave and reads it through. Errors are those of reading.
func (u *relay) prepare(m *mime.Message, own []string) (*content, error) {
	m, err := u.editHeader(m, own)
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	c, err := u.measure(m)
	if err != nil || !c.long && !wire.PartHeaderHasCR(m) {
		return c, err
	}
	u.release(c)
	short, left, err := wire.ShortLines(m)
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	if c, err = u.measure(short); err != nil {
		return nil, err
	}
	c.left = left
	return c, nil
}

// measure reads a message through, and keeps its wire form where it is small.
func (u *relay) measure(m *mime.Message) (*content, error) {
	c := &content{msg: m, eightBitHeader: has8Bit(m.HeaderBytes()) || partHeaderHas8Bit(m.Root)}
	var w dotWriter
	if m.Source.Size() <= smallSize {
		w.buf = u.buffer()
	} else {
		w.flush = func([]byte) error { return nil } // counting only
	}
	if err := u.feed(&w, m); err != nil {
		u.recycle(w.buf)
		return nil, err
	}
	if w.flush == nil {
		c.wire = w.buf
	} else {
		u.recycle(w.buf)
	}
	c.size, c.eightBit, c.long = w.size, w.high, w.long
	return c, nil
}

// removedFields returns the fields that must not leave: Bcc, which is never to be shown to anyone (RFC 5322
// 3.6.3), Return-Path, which the last host writes (RFC 5321 4.4), and those by which the relay's provider could be steered.
func removedFields(keepControl bool) []string {
	names := []string{"Bcc", "Resent-Bcc", "Return-Path"}
	if !keepControl {
		names = append(names, upstream.ControlFields()...)
	}
	return names
}

// editHeader takes removedFields away, but for own, and makes the header fit for relays.
func (u *relay) editHeader(m *mime.Message, own []string) (*mime.Message, error) {
	if head := m.HeaderBytes(); hasLoneLF(head) {
		// What is one field now may be two on the wire: look at the header as it will be there.
		rest := mime.Section(m.Source, int64(len(head)), m.Source.Size()-int64(len(head)))
		mended, err := mime.Parse(mime.Concat(mime.NewBytesSource(toCRLF(head)), rest))
		if err != nil {
			return nil, err
		}
		m = mended
	}
	if !slices.ContainsFunc(m.Header, func(f mime.Field) bool { return upstream.MatchesField(f.Name, u.removed) }) {
		return wire.Fit(m)
	}
	// One edit for each pattern: with one for each field, a message could make the cost the square of its size.
	edits := make([]mime.Edit, len(u.removed))
	for i, pattern := range u.removed {
		edits[i] = mime.Edit{Op: mime.Remove, Name: pattern, Except: own}
	}
	return wire.Fit(m, edits...)
}

// note tells the operator what a strict relay may take offence at.
func (c *content) note() string {
	if c.left == "" {
		return ""
	}
	return fmt.Sprintf("lines of more than %d bytes were left as they are in %s, which a change would break", wire.MaxLine, c.left)
}

// send writes the message and its final dot. Errors of reading are *readError; after any error
// the final dot has not left completely.
func (c *content) send(u *relay, write func([]byte) error) error {
	if c.wire != nil {
		return write(c.wire)
	}
	w := dotWriter{flush: write, buf: u.buffer()}
	err := u.feed(&w, c.msg)
	if err == nil {
		err = write(w.buf)
	}
	u.recycle(w.buf)
	return err
}

// feed passes the message through w; with flush set, w.buf holds the end with the final dot.
func (u *relay) feed(w *dotWriter, m *mime.Message) error {
	scratch := u.buffer()
	scratch = scratch[:cap(scratch)]
	defer func() { u.recycle(scratch) }()
	for off, size := int64(0), m.Source.Size(); off < size; {
		n := int(min(int64(len(scratch)), size-off))
		if got, err := m.Source.ReadAt(scratch[:n], off); got < n {
			if err == nil || err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return &readError{err}
		}
		if err := w.write(scratch[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	w.end()
	return nil
}

// readError is a failure to read the message.
type readError struct{ err error }

func (e *readError) Error() string { return "reading the message: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

const (
	chunkSize = 64 << 10 // of a large message in one write
	runSize   = 16 << 10 // of it, what is taken in one go
)

func (u *relay) buffer() []byte { return (*u.buffers.Get().(*[]byte))[:0] }

func (u *relay) recycle(b []byte) {
	if cap(b) >= chunkSize {
		u.buffers.Put(&b)
	}
}

// release recycles the memory of a small message.
func (u *relay) release(c *content) {
	if c != nil && c.wire != nil {
		u.recycle(c.wire)
		c.wire = nil
	}
}

// dotWriter makes the wire form of a message (RFC 5321 4.5.2): a dot doubled at the start of a line and
// behind NULs there, a lone CR or LF made CRLF, and CRLF at the end where it is missing. Nothing else changes.
type dotWriter struct {
	flush func([]byte) error // gets buf when it is full; nil: all stays in buf
	buf   []byte
	size  int64 // octets so far, without the doubled dots
	high  bool  // some had the high bit set
	long  bool  // some line had more than wire.MaxLine of them

	length int // of the line

	inLine bool // the last octet was not the end of a line
	begun  bool // the line has an octet other than NUL
	cr     bool // the last octet was a CR, which has not been written yet
}

func (w *dotWriter) write(p []byte) error {
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
		if w.flush != nil && len(w.buf) >= chunkSize-runSize {
			if err := w.flush(w.buf); err != nil {
				return err
			}
			w.buf = w.buf[:0]
		}
	}
	return nil
}

// plain takes the lines at the start of p that leave as they are, and says how many bytes these have.
func (w *dotWriter) plain(p []byte) int {
	n := 0
	for !w.inLine && !w.cr && n < len(p) && p[n] != '.' && p[n] != 0 {
		end := bytes.IndexByte(p[n:], '\n')
		if end < 1 || bytes.IndexByte(p[n:n+end], '\r') != end-1 {
			break
		}
		w.long = w.long || end-1 > wire.MaxLine
		n += end + 1
	}
	w.size += int64(n)
	w.high = w.high || has8Bit(p[:n])
	w.buf = append(w.buf, p[:n]...)
	return n
}

// line takes bytes without LF; ended says that an LF follows them.
func (w *dotWriter) line(b []byte, ended bool) {
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

func (w *dotWriter) text(b []byte) {
	if len(b) == 0 {
		return
	}
	w.size += int64(len(b))
	w.high = w.high || has8Bit(b)
	w.length += len(b)
	w.long = w.long || w.length > wire.MaxLine
	w.inLine = true
	if !w.begun {
		// A relay that drops NUL would take NUL "." CRLF for the end of the message.
		text := bytes.TrimLeft(b, "\x00")
		w.buf = append(w.buf, b[:len(b)-len(text)]...)
		if b = text; len(b) > 0 && b[0] == '.' {
			w.buf = append(w.buf, '.')
		}
		w.begun = len(b) > 0
	}
	w.buf = append(w.buf, b...)
}

func (w *dotWriter) endLine() {
	w.inLine, w.begun, w.cr, w.length = false, false, false, 0
	w.size += 2
	w.buf = append(w.buf, '\r', '\n')
}

// end adds the final dot.
func (w *dotWriter) end() {
	if w.cr || w.inLine {
		w.endLine()
	}
	w.buf = append(w.buf, ".\r\n"...)
}

// toCRLF returns p with CR before each LF.
func toCRLF(p []byte) []byte {
	p = bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))
}

func hasLoneLF(p []byte) bool {
	return bytes.Count(p, []byte("\n")) != bytes.Count(p, []byte("\r\n"))
}

func has8Bit(p []byte) bool {
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

// partHeaderHas8Bit looks for raw 8-bit in the headers of parts, as SMTPUTF8 messages have it.
func partHeaderHas8Bit(p *mime.Part) bool {
	if p == nil {
		return false
	}
	for _, child := range p.Children {
		for _, f := range child.Header {
			if has8Bit(f.Raw) {
				return true
			}
		}
		if partHeaderHas8Bit(child) {
			return true
		}
	}
	return false
}
