// Package lineend gives the lines of messages the ends that SMTP wants (RFC 5321 2.3.8): a lone LF ends a line
// everywhere, a lone CR only in a body. In a header a CR would make a field of what strangers wrote into another
// one, as programs filter LF alone.
package lineend

// Header tells whether the header of a message goes on while its lines come by. Its zero value is at the start of a
// message. A message whose first line, but for the separator line of a mailbox file, is no field has no header.
type Header struct {
	state state
	line  line
	begun bool    // the line has a byte
	name  [6]byte // the first bytes of a line that may be a field
	n     int     // bytes of the name
}

type state int

const (
	undecided state = iota // no field so far
	inHeader
	inBody
)

// line is what a line seems to be before the first field is found.
type line int

const (
	naming line = iota // all bytes so far may be those of a field's name
	named              // white space follows the name
	separator
)

// Write takes bytes of a line without its end.
func (h *Header) Write(p []byte) {
	if h.state == inBody || len(p) == 0 {
		return
	}
	h.begun = true
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
	if !h.begun || h.state == undecided && h.line != separator {
		h.state = inBody
	}
	h.begun, h.line, h.n = false, naming, 0
}

// Continues reports whether the line so far is one of the header, in which a lone CR ends nothing.
func (h *Header) Continues() bool {
	return h.state == inHeader || h.state == undecided && h.line == separator
}
