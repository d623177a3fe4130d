// Package wire gives messages the form in which SMTP relays take them: a header that says each thing once and
// no line of more than 998 octets (RFC 5321 4.5.3.1.6, RFC 5322 3.6); and 7 bits for relays without 8BITMIME.
package wire

import (
	"bytes"
	"io"
	"slices"
	"strings"

	"mailhatch/mime"
	"mailhatch/mime/transfer"
)

// MaxLine is the longest line that relays have to take, in octets without CRLF (RFC 5321 4.5.3.1.6).
const MaxLine = 998

// LineMeter measures lines as they go by. A lone CR or LF ends one too, as it does on the wire.
type LineMeter struct {
	length int
	long   bool
}

// Write takes the next bytes.
func (l *LineMeter) Write(p []byte) {
	for len(p) > 0 && !l.long {
		line, rest, ended := bytes.Cut(p, []byte("\n"))
		p = rest
		if !ended || l.length+len(line) > MaxLine {
			l.measure(line)
		}
		if ended {
			l.length = 0
		}
	}
}

// measure takes bytes without LF.
func (l *LineMeter) measure(b []byte) {
	for ended := true; ended; {
		var line []byte
		line, b, ended = bytes.Cut(b, []byte("\r"))
		l.length += len(line)
		l.long = l.long || l.length > MaxLine
		if ended {
			l.length = 0
		}
	}
}

// TooLong reports whether there was a line of more than [MaxLine] octets.
func (l *LineMeter) TooLong() bool { return l.long }

// maskedSource reads 8-bit bytes as "?".
type maskedSource struct{ mime.Source }

func (m *maskedSource) ReadAt(p []byte, off int64) (int, error) {
	n, err := m.Source.ReadAt(p, off)
	for i, c := range p[:n] {
		if c >= 0x80 {
			p[i] = '?'
		}
	}
	return n, err
}

// brokenLines returns a source with a line end and a space wherever a line would become too long.
func brokenLines(src mime.Source) (mime.Source, error) {
	open := func() io.Reader {
		return &lineBreaker{r: io.NewSectionReader(src, 0, src.Size())}
	}
	size, err := io.Copy(io.Discard, open())
	if err != nil {
		return nil, err
	}
	return transfer.NewStreamSource(open, size), nil
}

// lineBreaker breaks lines that would become too long.
type lineBreaker struct {
	r      io.Reader
	length int // of the line so far
	in     [4 << 10]byte
	out    []byte
	err    error
}

// Read implements io.Reader.
func (l *lineBreaker) Read(p []byte) (int, error) {
	for len(l.out) == 0 {
		if l.err != nil {
			return 0, l.err
		}
		var n int
		n, l.err = l.r.Read(l.in[:])
		l.out = l.out[:0]
		for _, c := range l.in[:n] {
			switch {
			case c == '\n' || c == '\r':
				l.length = -1
			case l.length == MaxLine-1:
				l.out = append(l.out, "\r\n "...) // no delimiter begins with a space
				l.length = 1
			}
			l.out = append(l.out, c)
			l.length++
		}
	}
	n := copy(p, l.out)
	l.out = l.out[n:]
	return n, nil
}

// PartHeaderHasCR reports whether the header of a part has a CR that ends no line. On the wire it would end one;
// [ShortLines] makes it a space.
func PartHeaderHasCR(m *mime.Message) bool { return hasLoneCR(m.Root) }

// hasLoneCR reports whether a header below p has a CR that ends no line.
func hasLoneCR(p *mime.Part) bool {
	for _, c := range p.Children {
		if slices.ContainsFunc(c.Header, func(f mime.Field) bool { return loneCR(f.Raw) }) || hasLoneCR(c) {
			return true
		}
	}
	return false
}

// loneCR reports whether a CR is followed by something else than an LF.
func loneCR(raw []byte) bool {
	return bytes.Count(raw, []byte("\r")) != bytes.Count(raw, []byte("\r\n"))
}

// withoutLoneCR returns a header with a space for each CR that ends no line. CR CR LF is one line end.
func withoutLoneCR(raw []byte) []byte {
	if !loneCR(raw) {
		return raw
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\r' {
			out = append(out, raw[i])
			continue
		}
		n := len(raw[i:]) - len(bytes.TrimLeft(raw[i:], "\r"))
		if i += n - 1; i+1 < len(raw) && raw[i+1] == '\n' {
			out = append(out, '\r')
		} else {
			out = append(out, ' ')
		}
	}
	return out
}

// isSeparatorLine reports whether a line that is no field begins a message in a mailbox file (RFC 4155).
func isSeparatorLine(f mime.Field) bool {
	return f.Name == "" && strings.HasPrefix(strings.TrimPrefix(string(f.Raw[:min(len(f.Raw), 6)]), ">"), "From ")
}
