package mime

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"mailhatch/mime/mimetest"
)

// hostile returns inputs of about 1 MB.
func hostile() map[string]string {
	size := 1 << 20
	if raceEnabled { // the race detector is no judge of time
		size >>= 3
	}
	return mimetest.Hostile(size)
}

// TestHostile holds the promise: no input of 1 MB takes more than a second or 64 MB.
func TestHostile(t *testing.T) {
	limit := 4 * time.Second // a machine busy with other tests is not the parser's fault
	if raceEnabled {
		limit *= 4
	}
	for name, raw := range hostile() {
		t.Run(name, func(t *testing.T) {
			if len(raw) > 1<<20+150_000 {
				t.Fatalf("%d bytes are too many for this test", len(raw))
			}
			base := heapOf()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			m := parseTexts(t, raw)
			runtime.ReadMemStats(&after)
			if spent := fastest(limit, func() { parseTexts(t, raw) }); spent > limit {
				t.Errorf("took %v", spent)
			}
			if live := heapOf(m) - base; int64(live) > 64<<20 {
				t.Errorf("keeps %d bytes", live)
			}
			used := after.TotalAlloc - before.TotalAlloc
			t.Logf("allocates %d MB in all", used>>20)
			if used > 100<<20 {
				t.Errorf("allocates %d bytes in all", used)
			}
			checkWhole(t, m)
			edit := func() {
				if _, err := m.With(Edit{Op: Replace, Name: "From", Value: raw}, Edit{Op: Prepend, Name: "X", Value: raw}); err != nil {
					t.Fatal(err)
				}
			}
			if spent := fastest(limit, edit); spent > limit {
				t.Errorf("editing took %v", spent)
			}
		})
	}
}

func parseTexts(t *testing.T, raw string) *Message {
	t.Helper()
	m, err := Parse(NewBytesSource([]byte(raw)))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Root.Text(TextInMemory); err != nil {
		t.Fatal(err)
	}
	return m
}

// fastest measures f; a busy machine gets further tries.
func fastest(limit time.Duration, f func()) time.Duration {
	best := time.Hour
	for i := 0; i < 5 && best > limit; i++ {
		start := time.Now()
		f()
		best = min(best, time.Since(start))
	}
	return best
}

// heapOf is what lives in the heap while the values are held.
func heapOf(held ...any) uint64 {
	runtime.GC()
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	runtime.KeepAlive(held)
	return s.HeapAlloc
}

func TestCaps(t *testing.T) {
	parse := func(s string) *Message {
		m, err := Parse(NewBytesSource([]byte(s)))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	head := "Content-Type: multipart/mixed; boundary=b\r\n\r\n"
	t.Run("parts", func(t *testing.T) {
		leaves := parse(head + strings.Repeat("--b\r\n\r\nx\r\n", maxParts+50)).Root.Leaves()
		last := leaves[len(leaves)-1]
		if len(leaves) != maxParts+1 || last.Defect != ErrTooManyParts {
			t.Errorf("%d leaves, %v", len(leaves), last.Defect)
		}
		if got := string(readAll(t, last.Open())); got != strings.Repeat("--b\r\n\r\nx\r\n", 50) {
			t.Errorf("the rest is %d bytes", len(got))
		}
	})
	t.Run("depth", func(t *testing.T) {
		p := parse(hostile()["deep"]).Root
		depth := 0
		for ; len(p.Children) > 0; depth++ {
			p = p.Children[0]
		}
		if depth != maxDepth || p.Defect != ErrTooDeep || p.RawSize() == 0 {
			t.Errorf("depth %d, %v", depth, p.Defect)
		}
	})
	t.Run("part header", func(t *testing.T) {
		field := "X-A: " + strings.Repeat("a", 90) + "\r\n"
		m := parse(head + "--b\r\n" + strings.Repeat(field, 1000) + "\r\nbody\r\n--b--\r\n")
		p := m.Root.Children[0]
		kept := int(p.Span().HeaderEnd - p.Span().Header)
		if p.Defect != ErrHeaderTooLarge || kept > maxPartHeader || kept+int(p.RawSize()) != 1000*len(field)+6 {
			t.Errorf("%v, header %d, body %d", p.Defect, kept, p.RawSize())
		}
	})
	t.Run("message header", func(t *testing.T) {
		m := parse("From: a@x.example\r\n" + strings.Repeat("X-A: "+strings.Repeat("a", 90)+"\r\n", 20_000) + "\r\nbody")
		if m.Root.Defect != ErrHeaderTooLarge || len(m.HeaderBytes()) > maxHeader || m.From[0].Addr != "a@x.example" {
			t.Errorf("%v, %d", m.Root.Defect, len(m.HeaderBytes()))
		}
		checkWhole(t, m)
	})
}

// pattern is a source of any size that costs no memory.
type pattern struct {
	head, line string
	size       int64
}

func (p *pattern) Size() int64 { return p.size }

func (p *pattern) ReadAt(b []byte, off int64) (int, error) {
	for i := range b {
		at := off + int64(i)
		switch {
		case at >= p.size:
			return i, io.EOF
		case at < int64(len(p.head)):
			b[i] = p.head[at]
		default:
			b[i] = p.line[(at-int64(len(p.head)))%int64(len(p.line))]
		}
	}
	return len(b), nil
}

// TestMemory asserts that memory does not grow with the body.
func TestMemory(t *testing.T) {
	src := &pattern{
		head: "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		line: strings.Repeat("QUJD", 19) + "\r\n",
		size: 64 << 20,
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	n, err := m.Root.Children[0].DecodedSize()
	if err != nil || n < 46<<20 {
		t.Fatal(n, err)
	}
	runtime.ReadMemStats(&after)
	if used := after.TotalAlloc - before.TotalAlloc; used > 1<<20 {
		t.Errorf("%d bytes allocated for a body of 64 MiB", used)
	}
}

type failing struct{ Source }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 70_000 {
		return 0, io.ErrClosedPipe
	}
	return f.Source.ReadAt(p, off)
}

// TestReadErrors asserts that an error of the source is told, not taken for the end.
func TestReadErrors(t *testing.T) {
	body := bytes.Repeat([]byte("text\xe9 of a line\r\n"), 10_000)
	multi := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n"
	if _, err := Parse(failing{NewBytesSource(append([]byte(multi), body...))}); err != io.ErrClosedPipe {
		t.Errorf("Parse: %v", err)
	}
	m, err := Parse(NewBytesSource(append([]byte("A: b\r\n\r\n"), body...)))
	if err != nil {
		t.Fatal(err)
	}
	m.Source = failing{m.Source}
	m.Root.source = m.Source
	if _, _, err := m.Root.Text(TextInMemory); err != io.ErrClosedPipe {
		t.Errorf("Text: %v", err)
	}
}
