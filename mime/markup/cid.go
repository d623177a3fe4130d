// Package markup reads the HTML of mail in streams, however large it is.
package markup

import (
	"bytes"
	"encoding/hex"
	"io"
	"slices"
)

const streamBuffer = 16 << 10 // bytes of a text that are looked at in one go

// windows reads r through a buffer in which each byte is seen together with at least ahead bytes that follow
// it, but at the end. see returns how many bytes it is done with, and whether it wants to see more.
func windows(r io.Reader, ahead int, see func(window []byte, last bool) (done int, more bool)) error {
	buf := make([]byte, 0, streamBuffer+ahead)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && err != io.EOF {
			return err
		}
		if last := err == io.EOF; last || len(buf) == cap(buf) {
			done, more := see(buf, last)
			if last || !more {
				return nil
			}
			buf = buf[:copy(buf, buf[done:])]
		}
	}
}

const cidScheme = "cid:"

const maxShownID = 500 // bytes of a cid: URL

// eachID yields what stands behind each cid: of an HTML text, its character references resolved: at least ahead
// bytes where the text has so many, until yield wants no more.
func eachID(text io.Reader, ahead int, yield func(rest []byte) bool) error {
	return windows(unescaped(text), len(cidScheme)+ahead, func(window []byte, last bool) (done int, more bool) {
		for {
			i := indexScheme(window[done:])
			if i < 0 {
				return max(done, len(window)-len(cidScheme)+1), true
			}
			rest := window[done+i+len(cidScheme):]
			if len(rest) < ahead && !last {
				return done + i, true
			}
			if !yield(rest) {
				return done, false
			}
			done += i + len(cidScheme)
		}
	})
}

// indexScheme finds cid: in any case (RFC 3986 3.1).
func indexScheme(b []byte) int {
	const colon = len(cidScheme) - 1
	for from := 0; ; {
		i := bytes.IndexByte(b[from:], ':')
		if i < 0 {
			return -1
		}
		if at := from + i - colon; at >= 0 && b[at]|0x20 == 'c' && b[at+1]|0x20 == 'i' && b[at+2]|0x20 == 'd' {
			return at
		}
		from += i + 1
	}
}

// MarkShown sets those of ids that cid: URLs of an HTML text name (RFC 2392 2). Errors are those of reading it.
func MarkShown(html io.Reader, ids map[string]bool) error {
	mark := func(id []byte) {
		if _, known := ids[string(id)]; known {
			ids[string(id)] = true
		}
	}
	return eachID(html, maxShownID, func(rest []byte) bool {
		if end := bytes.IndexAny(rest[:min(len(rest), maxShownID)], "\"'<>) \t\r\n\\"); end > 0 {
			mark(rest[:end])
			if bytes.IndexByte(rest[:end], '%') >= 0 {
				mark(percentDecoded(rest[:end]))
			}
		}
		return true
	})
}

// percentDecoded takes what is no %XX as it is (RFC 3986 2.1).
func percentDecoded(b []byte) []byte {
	out := make([]byte, 0, len(b))
	for i := 0; i < len(b); i++ {
		c := b[i:]
		var one [1]byte
		if c[0] == '%' && len(c) > 2 {
			if _, err := hex.Decode(one[:], c[1:3]); err == nil {
				out = append(out, one[0])
				i += 2
				continue
			}
		}
		out = append(out, c[0])
	}
	return out
}

// FindShown returns one of these content ids, none of them empty, that stands behind a cid: in the text; "" for none.
// Errors are those of reading it.
func FindShown(text io.Reader, ids []string) (shown string, err error) {
	// Without those that begin with another one, only the last id before a text can be its start.
	var sorted [][]byte
	longest := 0
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if n := len(sorted); n == 0 || !bytes.HasPrefix([]byte(id), sorted[n-1]) {
			sorted = append(sorted, []byte(id))
			longest = max(longest, len(id))
		}
	}
	err = eachID(text, longest, func(rest []byte) bool {
		at, found := slices.BinarySearchFunc(sorted, rest, bytes.Compare)
		if !found {
			at--
		}
		if at >= 0 && bytes.HasPrefix(rest, sorted[at]) {
			shown = string(sorted[at])
		}
		return shown == ""
	})
	return shown, err
}
