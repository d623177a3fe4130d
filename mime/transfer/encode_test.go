package transfer

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func readAll(t *testing.T, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBase64Source(t *testing.T) {
	plain := bytes.Repeat([]byte("0123456789\xff"), 50)
	for _, n := range []int{0, 1, 2, 3, 56, 57, 58, 114, 550} {
		s := NewBase64Source(bytes.NewReader(plain[:n]))
		all := readAll(t, io.NewSectionReader(s, 0, s.Size()))
		if got := readAll(t, Base64.Decoder(bytes.NewReader(all))); !bytes.Equal(got, plain[:n]) || int64(len(all)) != s.Size() {
			t.Errorf("%d bytes: %q", n, all)
		}
		for at := range all {
			b := make([]byte, min(5, len(all)-at))
			if _, err := s.ReadAt(b, int64(at)); err != nil || !bytes.Equal(b, all[at:at+len(b)]) {
				t.Fatalf("at %d: %q, %v", at, b, err)
			}
		}
		if _, err := s.ReadAt(make([]byte, 1), s.Size()); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
	short := NewBase64Source(shrunk{bytes.NewReader(make([]byte, 10))})
	if _, err := short.ReadAt(make([]byte, 10), 0); err != io.ErrUnexpectedEOF {
		t.Errorf("short source: %v", err)
	}
}

// TestBase64OfStream: in order, whatever the size of the pieces, a stream is read once.
func TestBase64OfStream(t *testing.T) {
	plain := bytes.Repeat([]byte("0123456789\xff"), 20_000)
	for _, piece := range []int{1, 77, 78, 79, 1000, 4096, 32 << 10, 1 << 20} {
		opened := 0
		open := func() io.Reader { opened++; return bytes.NewReader(plain) }
		s := NewBase64Source(NewStreamSource(open, int64(len(plain))))
		p, n := make([]byte, piece), 0
		for off := int64(0); off < s.Size(); off += int64(n) {
			var err error
			if n, err = s.ReadAt(p[:min(int64(piece), s.Size()-off)], off); err != nil {
				t.Fatal(err)
			}
		}
		if opened != 1 {
			t.Errorf("pieces of %d bytes: opened %d times", piece, opened)
		}
	}
}

// shrunk is a source shorter than it says.
type shrunk struct{ Source }

func (shrunk) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }

func TestStreamSource(t *testing.T) {
	text := make([]byte, 5*streamBuffer+17)
	for i := range text {
		text[i] = byte(i * 7 >> 3)
	}
	opened := 0
	s := NewStreamSource(func() io.Reader { opened++; return iotest.HalfReader(bytes.NewReader(text)) }, int64(len(text)))
	p := make([]byte, 3*streamBuffer)
	for _, c := range []struct{ off, n int }{
		{0, 10}, {10, streamBuffer}, {streamBuffer - 1000, 2000}, {streamBuffer + 900, 3 * streamBuffer}, {len(text) - 5, 5}, {len(text) - 100, 50},
	} {
		if n, err := s.ReadAt(p[:c.n], int64(c.off)); err != nil || !bytes.Equal(p[:n], text[c.off:c.off+c.n]) {
			t.Errorf("%d bytes at %d: %d, %v", c.n, c.off, n, err)
		}
	}
	if opened != 1 {
		t.Errorf("opened %d times", opened)
	}
	if n, err := s.ReadAt(p[:10], 5); err != nil || !bytes.Equal(p[:n], text[5:15]) || opened != 2 {
		t.Errorf("at the start again: %d, %v, opened %d times", n, err, opened)
	}
	if n, err := s.ReadAt(p[:10], int64(len(text)-3)); err != io.EOF || n != 3 {
		t.Errorf("at the end: %d, %v", n, err)
	}
}
