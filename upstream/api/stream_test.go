package api_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"

	"mailhatch/mime"
	"mailhatch/upstream"
)

// bigSource is a message with one large attachment that is nowhere in memory.
type bigSource struct {
	head, tail string
	lines      int64
}

const bigLine = "QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVphYmNkZWZnaGlqa2xtbm9wcXJzdHV2d3h5ejAxMjM0\r\n"

func (s *bigSource) Size() int64 {
	return int64(len(s.head)) + s.lines*int64(len(bigLine)) + int64(len(s.tail))
}

func (s *bigSource) ReadAt(p []byte, off int64) (int, error) {
	if off >= s.Size() {
		return 0, io.EOF
	}
	n := 0
	for n < len(p) && off+int64(n) < s.Size() {
		at := off + int64(n)
		body := at - int64(len(s.head))
		switch {
		case body < 0:
			n += copy(p[n:], s.head[at:])
		case body < s.lines*int64(len(bigLine)):
			n += copy(p[n:], bigLine[body%int64(len(bigLine)):])
		default:
			n += copy(p[n:], s.tail[body-s.lines*int64(len(bigLine)):])
		}
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// bigMessage has a file of about so many bytes in base64.
func bigMessage(size int64) *bigSource {
	return &bigSource{lines: size / int64(len(bigLine)), tail: "--M--\r\n", head: strings.ReplaceAll("From: app@example.com\nTo: ann@example.org\nSubject: s\nMessage-ID: <m@x.org>\nMIME-Version: 1.0\n"+
		"Content-Type: multipart/mixed; boundary=M\n\n--M\nContent-Type: text/plain\n\nbig\n--M\nContent-Type: application/octet-stream; name=big.pdf\nContent-Transfer-Encoding: base64\n\n", "\n", "\r\n")}
}

// TestLargeAttachmentIsStreamed sends 4.6 MB of base64 and counts what was allocated: far less than the file.
func TestLargeAttachmentIsStreamed(t *testing.T) {
	src := bigMessage(60_000 * int64(len(bigLine)))
	msg, err := mime.Parse(src)
	if err != nil {
		t.Fatal(err)
	}
	m := &upstream.Mail{ID: "Q", From: "app@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
	for _, kind := range apiKinds {
		if kind.limit < src.Size() {
			continue
		}
		up := mustOpen(t, kind.name, kind.with(apiKey))
		var before, after runtime.MemStats
		sum := sha256.New()
		runtime.ReadMemStats(&before)
		if err := up.(upstream.Renderer).Render(m, sum); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		if n := after.TotalAlloc - before.TotalAlloc; n > 2<<20 {
			t.Errorf("%s: %d bytes allocated in all", kind.name, n)
		}
		first := sum.Sum(nil)
		sum.Reset()
		if err := up.(upstream.Renderer).Render(m, sum); err != nil || !bytes.Equal(first, sum.Sum(nil)) {
			t.Errorf("%s: the request differs from one time to the next (%v)", kind.name, err)
		}
	}
	up, fake := start(t, "sendgrid", "")
	if out := up.Send(t.Context(), m); out[0].Err != nil {
		t.Fatal(out[0].Err)
	}
	line, err := base64.StdEncoding.DecodeString(strings.TrimSpace(bigLine))
	if err != nil {
		t.Fatal(err)
	}
	if data := fake.Accepted()[0].Attachments[0].Data; !bytes.Equal(data, bytes.Repeat(line, 60_000)) {
		t.Errorf("%d bytes arrived changed", len(data))
	}
}

// failingSource is a disk that breaks after the message was parsed.
type failingSource struct {
	mime.Source
	after *atomic.Int64 // reads that still work
}

func (s failingSource) ReadAt(p []byte, off int64) (int, error) {
	if s.after.Add(-1) < 0 {
		return 0, errors.New("input/output error")
	}
	return s.Source.ReadAt(p, off)
}

// TestUnreadableMessage breaks the disk after each number of reads: nothing is ever taken in part.
func TestUnreadableMessage(t *testing.T) {
	raw := strings.ReplaceAll(plainMessage, "\n", "\r\n") + strings.Repeat("a line of the body\r\n", 20_000)
	for _, kind := range apiKinds {
		up, fake := start(t, kind.name, "")
		worked := false
		for reads := int64(0); reads < 1000 && !worked; reads++ {
			src := failingSource{mime.NewBytesSource([]byte(raw)), &atomic.Int64{}}
			src.after.Store(1 << 40)
			msg, err := mime.Parse(src)
			if err != nil {
				t.Fatal(err)
			}
			m := &upstream.Mail{ID: "Q", From: "a@example.com", To: []upstream.Recipient{{Address: "ann@example.org"}}, Message: msg}
			src.after.Store(reads)
			out := up.Send(t.Context(), m)
			if worked = out[0].Err == nil; worked {
				continue
			}
			if e := asError(t, out[0].Err); e.Class != upstream.Temporary || e.Connect {
				t.Fatalf("%s after %d reads: %+v", kind.name, reads, e)
			}
		}
		if !worked || len(fake.Accepted()) != 1 || len(fake.Rejected()) != 0 {
			t.Errorf("%s: taken %d times, refused %v", kind.name, len(fake.Accepted()), fake.Rejected())
		}
	}
}
