// Package lineend gives the lines of messages the ends that SMTP wants (RFC 5321 2.3.8): a lone LF ends a line
// everywhere, a lone CR only in a body. In a header, that of a part too, a CR would make a field of what strangers
// wrote into another one, as programs filter LF alone.
package lineend

import "strings"

// Header tells whether a header goes on while the lines of a message come by: that of the message or of a part. Its
// zero value is at the start of a message. A message whose first line, but for the separator line of a mailbox file, is
// no field has no header. That of a part follows a line that begins with "--" and begins with a Content- field.
type Header struct {
	state state
	line  line
	begun bool    // the line has a byte
	name  [8]byte // the first bytes of a line that may be a field or a delimiter
	n     int     // bytes of the name; before the first field perhaps more
}

type state int

const (
	undecided state = iota // no field so far
	inHeader
	inBody
	atPart // behind a line that may be a delimiter
)

const contentField = "Content-" // RFC 2045 3

// line is what a line seems to be before the first field is found.
type line int

const (
	naming line = iota // all bytes so far may be those of a field's name
	named              // white space follows the name
	separator
)

// Write takes bytes of a line without its end.
func (h *Header) Write(p []byte) {
	if len(p) == 0 {
		return
	}
	h.begun = true
	if h.state == inBody || h.state == atPart {
		if h.n < len(h.name) {
			h.n += copy(h.name[h.n:], p)
		}
		return
	}
	for i := 0; i < len(p) && h.state == undecided && h.line != separator; i++ {
		h.look(p[i])
	}
}

// look takes a byte while there was no field.
func (h *Header) look(c byte) {
	switch {
	case c == ':' && h.n > 0:
		h.state = inHeader
	case c == ' ' || c == '\t':
		if h.n == 0 {
			h.state = inBody
			return
		}
		h.line = named
		if start := string(h.name[:min(h.n, len(h.name))]); start == "From" || start == ">From" {
			h.line = separator
		}
	case c <= ' ' || c == 0x7f || c == ':' || h.line == named:
		h.state = inBody
	default:
		if h.n < len(h.name) {
			h.name[h.n] = c
		}
		h.n++
	}
}

// EndLine takes the end of a line.
func (h *Header) EndLine() {
	switch h.state {
	case undecided:
		if !h.begun || h.line != separator {
			h.state = inBody
		}
	case inHeader:
		if !h.begun {
			h.state = inBody
		}
	case inBody, atPart:
		switch {
		case h.beginsPart():
			h.state = inHeader
		case h.n >= 2 && h.name[0] == '-' && h.name[1] == '-':
			h.state = atPart
		default:
			h.state = inBody
		}
	}
	h.begun, h.line, h.n = false, naming, 0
}

// CutLine takes a lone CR that ends a line of the body. Where lines end so, the headers of parts do too.
func (h *Header) CutLine() {
	h.state, h.begun, h.n = inBody, false, 0
}

// beginsPart reports whether the line so far is the first field of a part's header.
func (h *Header) beginsPart() bool {
	return h.state == atPart && h.n == len(h.name) && strings.EqualFold(string(h.name[:]), contentField)
}

// Continues reports whether the line so far is one of a header, in which a lone CR ends nothing.
func (h *Header) Continues() bool {
	return h.state == inHeader || h.state == undecided && h.line == separator || h.beginsPart()
}
