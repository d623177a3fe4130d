package bounce

import (
	"bufio"
	"bytes"
	"io"
	stdmime "mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/textproto"
	"strings"
	"testing"
)

// checkLines asserts that the message can go out as it is: CRLF, no line over 998 bytes.
func checkLines(t *testing.T, msg []byte) {
	t.Helper()
	for line := range bytes.Lines(msg) {
		text, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.ContainsAny(text, "\r\n\x00") || len(text) > 998 {
			t.Errorf("bad line %q", line)
		}
	}
}

// read is a report as an independent reader sees it.
type read struct {
	header    mail.Header
	words     string
	message   textproto.MIMEHeader
	rcpts     []textproto.MIMEHeader
	original  string
	kinds     []string
	encodings []string
}

func readBack(t *testing.T, msg []byte) read {
	t.Helper()
	m, err := mail.ReadMessage(bytes.NewReader(msg))
	if err != nil {
		t.Fatal(err)
	}
	out := read{header: m.Header}
	kind, params, err := stdmime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil || kind != "multipart/report" || params["report-type"] != "delivery-status" {
		t.Fatalf("Content-Type %q %v %v", kind, params, err)
	}
	parts := multipart.NewReader(m.Body, params["boundary"])
	for {
		p, err := parts.NextRawPart()
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		var body io.Reader = p
		if p.Header.Get("Content-Transfer-Encoding") == "quoted-printable" {
			body = quotedprintable.NewReader(p)
		}
		content, err := io.ReadAll(body)
		if err != nil {
			t.Fatal(err)
		}
		out.kinds = append(out.kinds, p.Header.Get("Content-Type"))
		out.encodings = append(out.encodings, p.Header.Get("Content-Transfer-Encoding"))
		switch len(out.kinds) {
		case 1:
			out.words = string(content)
		case 2:
			blocks := textproto.NewReader(bufio.NewReader(io.MultiReader(bytes.NewReader(content), strings.NewReader("\r\n"))))
			if out.message, err = blocks.ReadMIMEHeader(); err != nil {
				t.Fatal(err)
			}
			for {
				h, err := blocks.ReadMIMEHeader()
				if len(h) > 0 {
					out.rcpts = append(out.rcpts, h)
				}
				if err != nil {
					break
				}
			}
		case 3:
			out.original = string(content)
		}
	}
}
