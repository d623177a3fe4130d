package buffer

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// sink takes bytes into a buffer until that has so many chunks, and then fails.
type sink struct {
	Buffer
	most int
}

var errFull = errors.New("full")

func (s *sink) room() ([]byte, error) {
	if free := s.Free(); len(free) > 0 {
		return free, nil
	}
	if s.Chunks() == s.most || !s.Grow() {
		return nil, errFull
	}
	return s.Free(), nil
}

func (s *sink) took(p []byte) { s.Add(len(p)) }

// TestTake: bytes that are written or read are in the buffer, all that there was room for, and the memory comes back.
func TestTake(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 3*ChunkSize/16) + "end"
	bad := errors.New("bad")
	for _, c := range []struct {
		name string
		most int
		take func(s *sink) (int64, error)
		want int
		err  error
	}{
		{"written", 4, func(s *sink) (int64, error) { n, err := Write([]byte(text), s.room, s.took); return int64(n), err }, len(text), nil},
		{"too much", 3, func(s *sink) (int64, error) { n, err := Write([]byte(text), s.room, s.took); return int64(n), err }, 3 * ChunkSize, errFull},
		{"read", 4, func(s *sink) (int64, error) {
			return ReadFrom(iotest.HalfReader(strings.NewReader(text)), s.room, s.took)
		}, len(text), nil},
		{"data with its end", 4, func(s *sink) (int64, error) {
			return ReadFrom(iotest.DataErrReader(strings.NewReader(text)), s.room, s.took)
		}, len(text), nil},
		{"too much to read", 3, func(s *sink) (int64, error) { return ReadFrom(strings.NewReader(text), s.room, s.took) }, 3 * ChunkSize, errFull},
		{"a bad reader", 4, func(s *sink) (int64, error) {
			return ReadFrom(io.MultiReader(strings.NewReader(text[:100]), iotest.ErrReader(bad)), s.room, s.took)
		}, 100, bad},
	} {
		pool := NewPool()
		left, s := pool.Left(), &sink{Buffer: pool.Buffer(), most: c.most}
		n, err := c.take(s)
		var all bytes.Buffer
		_ = s.Each(func(p []byte) error { all.Write(p); return nil })
		view := make([]byte, s.Len())
		_, viewErr := s.View().ReadAt(view, 0)
		if int(n) != c.want || !errors.Is(err, c.err) || s.Len() != c.want || all.String() != text[:c.want] || string(view) != text[:c.want] || viewErr != nil {
			t.Errorf("%s: %d bytes, want %d; %v, want %v; view %v", c.name, n, c.want, err, c.err, viewErr)
		}
		if s.Shrink(0); pool.Left() != left || s.Len() != 0 {
			t.Errorf("%s: %d of %d bytes came back", c.name, pool.Left(), left)
		}
	}
}
