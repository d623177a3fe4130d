package mime

import (
	"bytes"
	"io"
	"strings"
	"testing"
)

// plainHeader is that of a message as programs write most of them; it ends in the empty line.
const plainHeader = "From: Mailbench <load@mailbench.example>\r\nTo: rcpt@sink.example\r\nSubject: A message of mailbench\r\n" +
	"Date: Thu, 01 Jan 2026 00:00:00 +0000\r\nMessage-ID: <deadbeef-0000001@mailbench.example>\r\n" +
	"X-Load-Id: deadbeef-0000001\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n"

func BenchmarkPlain(b *testing.B) {
	message := []byte(plainHeader + strings.Repeat(strings.Repeat("x", 70)+"\r\n", 52))
	header := []byte(plainHeader)
	src := NewBytesSource(message)
	received := Edit{Op: Prepend, Name: "Received", UTF8: true, Value: "from mailbench.example ([127.0.0.1]) by gateway.example (mailhatch)" +
		" with ESMTP id 01JDEADBEEF000000 for <rcpt@sink.example>; Thu, 01 Jan 2026 00:00:00 +0000"}
	for _, c := range []struct {
		name string
		run  func() error
	}{
		{"ReadHeader", func() error {
			_, rest, err := ReadHeader(struct{ io.Reader }{bytes.NewReader(message)}, 1<<20)
			if err == nil {
				_, err = io.Copy(io.Discard, rest)
			}
			return err
		}},
		{"ParseHeader", func() error { ParseHeader(header); return nil }},
		{"EditNothing", func() error { EditHeader(header); return nil }},
		{"EditReceived", func() error { EditHeader(header, received); return nil }},
		{"Parse", func() error { _, err := Parse(src); return err }},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := c.run(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
