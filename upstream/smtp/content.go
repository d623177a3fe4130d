package smtp

import (
	"bytes"
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

	left      string        // where lines of more than 998 octets are left, and why; "": nowhere
	asWritten *mime.Message // with its long lines, where msg is without; nil: msg
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
	if left != "" {
		c.left = left + ", which a change would break"
	}
	c.asWritten = m
	return c, nil
}

// lengthen takes back that lines were made shorter, which made the message larger than the relay takes. A relay may
// take long lines, but not a message beyond its SIZE.
func (u *relay) lengthen(c *content, caps capabilities) (*content, error) {
	if c.asWritten == nil || c.asWritten.Source.Size() > caps.size {
		return c, nil
	}
	long, err := u.measure(c.asWritten)
	if err != nil {
		return nil, fmt.Errorf("reading the message: %w", err)
	}
	if long.size > caps.size || long.eightBit && !caps.eightBit {
		u.release(long)
		return c, nil
	}
	u.release(c)
	long.left = "the message, which would be too large for the relay otherwise"
	return long, nil
}

// measure reads a message through, and keeps its wire form where it is small.
func (u *relay) measure(m *mime.Message) (*content, error) {
	c := &content{msg: m, eightBitHeader: wire.Has8Bit(m.HeaderBytes()) || partHeaderHas8Bit(m.Root)}
	var w wire.Writer
	if m.Source.Size() <= smallSize {
		w.Buf = u.buffer()
	} else {
		w.Flush = func([]byte) error { return nil } // counting only
	}
	if err := u.feed(&w, m); err != nil {
		u.recycle(w.Buf)
		return nil, err
	}
	if w.Flush == nil {
		c.wire = w.Buf
	} else {
		u.recycle(w.Buf)
	}
	c.size, c.eightBit, c.long = w.Size, w.EightBit, w.Long
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
	var edits []mime.Edit
	if u.service.Keyed { // it gets one of ours
		edits = append(edits, mime.Edit{Op: mime.Remove, Name: keyField})
	}
	if slices.ContainsFunc(m.Header, func(f mime.Field) bool { return upstream.MatchesField(f.Name, u.removed) }) {
		// One edit for each pattern: with one for each field, a message could make the cost the square of its size.
		for _, pattern := range u.removed {
			edits = append(edits, mime.Edit{Op: mime.Remove, Name: pattern, Except: own})
		}
	}
	return wire.Fit(m, append(edits, u.keepID(m.Header, own)...)...)
}

// keepID does against a service that replaces Message-ID what can be done.
func (u *relay) keepID(h mime.Header, own []string) []mime.Edit {
	switch name := u.service.KeepID; {
	case name == "":
	case h.Has(name) && (!upstream.MatchesField(name, u.removed) || upstream.MatchesField(name, own)):
		return nil // the program, or the operator, has said it
	default:
		return []mime.Edit{{Op: mime.Replace, Name: name, Value: "true"}}
	}
	if u.service.NewID {
		return wire.KeepID(h)
	}
	return nil
}

// note tells the operator what a strict relay may take offence at.
func (c *content) note() string {
	if c.left == "" {
		return ""
	}
	return fmt.Sprintf("lines of more than %d bytes were left as they are in %s", wire.MaxLine, c.left)
}

// send writes the message and its final dot. Errors of reading are *readError; after any error
// the final dot has not left completely.
func (c *content) send(u *relay, write func([]byte) error) error {
	if c.wire != nil {
		return write(c.wire)
	}
	w := wire.Writer{Flush: write, Buf: u.buffer()}
	err := u.feed(&w, c.msg)
	if err == nil {
		err = write(w.Buf)
	}
	u.recycle(w.Buf)
	return err
}

// feed passes the message through w; with Flush set, w.Buf holds the end with the final dot.
func (u *relay) feed(w *wire.Writer, m *mime.Message) error {
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
		if err := w.Take(scratch[:n]); err != nil {
			return err
		}
		off += int64(n)
	}
	w.End()
	return nil
}

// readError is a failure to read the message.
type readError struct{ err error }

func (e *readError) Error() string { return "reading the message: " + e.err.Error() }
func (e *readError) Unwrap() error { return e.err }

const chunkSize = 64 << 10 // of a large message in one write

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

// toCRLF returns p with CR before each LF.
func toCRLF(p []byte) []byte {
	p = bytes.ReplaceAll(p, []byte("\r\n"), []byte("\n"))
	return bytes.ReplaceAll(p, []byte("\n"), []byte("\r\n"))
}

func hasLoneLF(p []byte) bool {
	return bytes.Count(p, []byte("\n")) != bytes.Count(p, []byte("\r\n"))
}

// partHeaderHas8Bit looks for raw 8-bit in the headers of parts, as SMTPUTF8 messages have it.
func partHeaderHas8Bit(p *mime.Part) bool {
	if p == nil {
		return false
	}
	for _, child := range p.Children {
		for _, f := range child.Header {
			if wire.Has8Bit(f.Raw) {
				return true
			}
		}
		if partHeaderHas8Bit(child) {
			return true
		}
	}
	return false
}
