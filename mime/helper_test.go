package mime

import (
	"bytes"
	"io"
	"testing"
)

func readAll(t testing.TB, r io.Reader) []byte {
	t.Helper()
	b, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// checkWhole asserts what holds for every message, good or bad.
func checkWhole(t testing.TB, m *Message) {
	t.Helper()
	raw := readAll(t, m.Reader())
	if int64(len(raw)) != m.Source.Size() || m.BodyOffset() > m.Source.Size() || !bytes.HasPrefix(raw, m.HeaderBytes()) {
		t.Fatal("header or body offset are wrong")
	}
	if got := EditHeader(m.HeaderBytes()); !bytes.Equal(got, m.HeaderBytes()) {
		t.Fatalf("editing nothing changed the header: %q", got)
	}
	for _, p := range m.Root.Leaves() {
		content := readAll(t, p.Open())
		if n, err := p.DecodedSize(); err != nil || n != int64(len(content)) {
			t.Fatalf("decoded size %d, %v, read %d", n, err, len(content))
		}
		if p.start > p.end || p.end > m.Source.Size() {
			t.Fatalf("part at %d to %d", p.start, p.end)
		}
	}
}
