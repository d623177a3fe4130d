package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
)

// stuffed is the wire form of a message, octet by octet.
func stuffed(p []byte) (wire []byte, size int64) {
	p = []byte(strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(string(p)))
	if len(p) > 0 && !bytes.HasSuffix(p, []byte("\n")) {
		p = append(p, "\r\n"...)
	}
	start := true // of a line, NULs aside
	for _, b := range p {
		if start && b == '.' {
			wire = append(wire, '.')
		}
		wire = append(wire, b)
		start = b == '\n' || start && b == 0
	}
	return append(wire, ".\r\n"...), int64(len(p))
}

// TestWriterOfAll makes the wire form of all short messages of a few octets, cut in two at each place.
func TestWriterOfAll(t *testing.T) {
	const alphabet, length = "a.\r\n\x00\xe4", 6
	text := make([]byte, length)
	for number, more := 0, true; more; number++ {
		rest := number
		for i := range text {
			text[i] = alphabet[rest%len(alphabet)]
			rest /= len(alphabet)
		}
		more = rest == 0
		want, size := stuffed(text)
		for cut := range length {
			var w Writer
			if err := errors.Join(w.Take(text[:cut]), w.Take(text[cut:])); err != nil {
				t.Fatal(err)
			}
			if w.End(); !bytes.Equal(w.Buf, want) || w.Size != size || w.EightBit != bytes.Contains(text, []byte("\xe4")) {
				t.Fatalf("%q cut at %d: %q of %d octets, want %q of %d", text, cut, w.Buf, w.Size, want, size)
			}
		}
	}
}

// A relay that drops NUL must not find the end of the message, wherever the bytes are cut.
func TestDotBehindNUL(t *testing.T) {
	const text, want = "hi\r\n\x00.\r\n\x00\x00.\r\na\x00.\r\n.\x00\r\n", "hi\r\n\x00..\r\n\x00\x00..\r\na\x00.\r\n..\x00\r\n.\r\n"
	for cut := range len(text) {
		var w Writer
		if err := errors.Join(w.Take([]byte(text[:cut])), w.Take([]byte(text[cut:]))); err != nil {
			t.Fatal(err)
		}
		if w.End(); string(w.Buf) != want {
			t.Errorf("cut at %d: %q", cut, w.Buf)
		}
	}
}

// TestWriterFlushes: what goes in pieces is the same, and lines are measured over their ends.
func TestWriterFlushes(t *testing.T) {
	text := strings.Repeat(".a line\nanother\r\n", 20_000)
	for _, piece := range []int{1000, 1 << 20} {
		var out []byte
		w := Writer{Flush: func(p []byte) error { out = append(out, p...); return nil }}
		for rest := []byte(text + strings.Repeat("x", MaxLine+1)); len(rest) > 0; {
			n := min(piece, len(rest))
			if err := w.Take(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		w.End()
		want, size := stuffed([]byte(text + strings.Repeat("x", MaxLine+1)))
		if out = append(out, w.Buf...); !bytes.Equal(out, want) || w.Size != size || !w.Long {
			t.Errorf("%d octets of %d, size %d of %d, long %v", len(out), len(want), w.Size, size, w.Long)
		}
	}
	w := Writer{Flush: func([]byte) error { return io.ErrClosedPipe }}
	if err := w.Take([]byte(text)); err != io.ErrClosedPipe {
		t.Errorf("%v", err)
	}
}
