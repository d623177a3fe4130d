package mime

import (
	"io"
	"testing"
)

func TestConcat(t *testing.T) {
	s := Concat(NewBytesSource([]byte("ab")), NewBytesSource(nil), Section(NewBytesSource([]byte("xcdex")), 1, 3), NewBytesSource([]byte("f")))
	const want = "abcdef"
	for from := 0; from < len(want); from++ {
		for to := from; to <= len(want); to++ {
			b := make([]byte, to-from)
			if n, err := s.ReadAt(b, int64(from)); n != to-from || err != nil || string(b) != want[from:to] {
				t.Errorf("%d to %d: %q, %d, %v", from, to, b, n, err)
			}
		}
	}
	b := make([]byte, 10)
	if n, err := s.ReadAt(b, 4); n != 2 || err != io.EOF {
		t.Errorf("beyond the end: %d, %v", n, err)
	}
	if _, err := s.ReadAt(b, 6); err != io.EOF {
		t.Errorf("at the end: %v", err)
	}
	if _, err := s.ReadAt(b, -1); err == nil {
		t.Error("before the start")
	}
	if _, err := Concat(shrunk{NewBytesSource([]byte("ab"))}, s).ReadAt(b, 0); err != io.ErrUnexpectedEOF {
		t.Errorf("short source: %v", err)
	}
}

// shrunk is a source shorter than it says.
type shrunk struct{ Source }

func (shrunk) ReadAt([]byte, int64) (int, error) { return 0, io.EOF }
