// Package message writes numbered messages and finds the number in a message that arrives.
package message

import (
	"bytes"
	"fmt"
	"strings"
)

// IDHeader carries the identity by which the sink tells messages apart.
const IDHeader = "X-Load-Id"

// idWidth is the length of every id: eight of the run, a dash, ten digits.
const idWidth = 8 + 1 + 10

// ID names message n of a run. run has eight characters.
func ID(run string, n int64) string { return fmt.Sprintf("%s-%010d", run, n) }

// Template is a message in which only the id changes.
type Template struct {
	raw   []byte
	holes []int // where the id stands
}

// New makes a plain-text message of exactly size bytes, header included, all lines ending in
// CRLF and none beginning with a dot, so that its bytes can follow DATA as they are.
func New(from string, to []string, size int) (*Template, error) {
	hole := strings.Repeat("0", idWidth)
	var b bytes.Buffer
	fmt.Fprintf(&b, "From: Mailbench <%s>\r\nTo: %s\r\n", from, strings.Join(to, ",\r\n "))
	b.WriteString("Subject: A message of mailbench\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <")
	t := &Template{holes: []int{b.Len()}}
	b.WriteString(hole + "@mailbench.example>\r\n" + IDHeader + ": ")
	t.holes = append(t.holes, b.Len())
	b.WriteString(hole + "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n")
	if size < b.Len()+2 {
		return nil, fmt.Errorf("a message of %d bytes has no room for its header of %d", size, b.Len())
	}
	fill(&b, size-b.Len())
	t.raw = b.Bytes()
	return t, nil
}

// fill writes n bytes (at least 2) of lines of at most 76 characters.
func fill(b *bytes.Buffer, n int) {
	const letters = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ 0123456789"
	seed := uint32(1)
	for n > 0 {
		line := min(n, 78)
		if n-line == 1 { // one byte alone cannot hold a CRLF
			line--
		}
		for range line - 2 {
			seed = seed*1664525 + 1013904223
			b.WriteByte(letters[(seed>>16)%uint32(len(letters))])
		}
		b.WriteString("\r\n")
		n -= line
	}
}

// Clone returns a copy that another session may stamp.
func (t *Template) Clone() *Template {
	return &Template{raw: bytes.Clone(t.raw), holes: t.holes}
}

// Stamp writes the id and returns the message, which is valid until the next stamp.
func (t *Template) Stamp(id string) []byte {
	for _, at := range t.holes {
		copy(t.raw[at:at+idWidth], id)
	}
	return t.raw
}

// FindID finds the value of X-Load-Id in a body of any of the APIs: a header line of raw MIME, or a
// member of a JSON object. It gives "" when there is none.
func FindID(body []byte) string {
	at := bytes.Index(body, []byte(IDHeader))
	if at < 0 {
		at = bytes.Index(bytes.ToLower(body), []byte(strings.ToLower(IDHeader)))
	}
	if at < 0 {
		return ""
	}
	rest := bytes.TrimLeft(body[at+len(IDHeader):], "\": \t\r\n")
	return IDPrefix(rest)
}

// IDPrefix is the longest beginning of b that can be an id.
func IDPrefix(b []byte) string {
	n := bytes.IndexFunc(b, func(r rune) bool {
		return r != '-' && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	})
	if n < 0 {
		n = len(b)
	}
	return string(b[:n])
}
