package wire

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"mailhatch/mime"
)

func TestLineMeter(t *testing.T) {
	full, over := strings.Repeat("x", MaxLine), strings.Repeat("x", MaxLine+1)
	for text, want := range map[string]bool{
		"": false, full: false, over: true, full + "\r\n" + full + "\r\n": false, full + "\n" + full: false, full + "\r" + full: false,
		"\r\n" + over: true, over + "\r\n": true, full + "\rx" + full: true, strings.Repeat("\r", 3000): false, strings.Repeat("x\r", 3000): false,
		"a\r" + full + "\n": false, "a\r" + over + "\n": true, full + "\r\r\n": false, over + "\r\r\n": true,
	} {
		for _, piece := range []int{1, 2, 7, 997, 998, 999, 1 << 20} {
			var l LineMeter
			for rest := []byte(text); len(rest) > 0; {
				n := min(piece, len(rest))
				l.Write(rest[:n])
				rest = rest[n:]
			}
			if l.TooLong() != want {
				t.Errorf("%.10q of %d bytes in pieces of %d: %v", text, len(text), piece, !want)
			}
		}
	}
}

// longest is the longest line of a message.
func longest(text string) int {
	n := 0
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\r' || r == '\n' }) {
		n = max(n, len(line))
	}
	return n
}

var long = strings.Repeat("long ", 300) + "end" // a line

// letters is base64 on one line.
var letters = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("file ", 500)))

const multi = "MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n"

// TestShortLines: parts with long lines say the same in another encoding, and nothing else changes.
func TestShortLines(t *testing.T) {
	signed := "Content-Type: multipart/signed; boundary=s\r\n\r\n--s\r\n\r\n" + long + "\r\n--s--\r\n"
	for _, tt := range []struct{ name, in, left string }{
		{name: "a text", in: "Subject: s\r\n\r\n" + long + "\r\n"},
		{name: "a text of 8 bits", in: "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\nMIME-Version: 1.0\r\n\r\nö" + long + "\r\n"},
		{name: "a text with a lone CR", in: "Subject: s\r\n\r\na\r" + long + "\r\nb\r\n"},
		{name: "a text in LF", in: "Subject: s\n\n" + long + "\nb\n"},
		{name: "no end of line", in: "Subject: s\r\n\r\n" + long},
		{name: "a large text", in: "Subject: s\r\n\r\n" + strings.Repeat(long+"\r\n", 1000)},
		{name: "quoted-printable", in: "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=C3=B6" + long + "\r\n"},
		{name: "a large quoted-printable", in: "MIME-Version: 1.0\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n" + strings.Repeat("=C3=B6"+long+"\r\n", 1000)},
		{name: "base64 on one line", in: "MIME-Version: 1.0\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n\r\n" + letters},
		{name: "parts", in: multi + "--b\r\nContent-Type: text/html\r\n\r\n<p>" + long + "</p>\r\n--b\r\nContent-Type: text/plain\r\n\r\nshort \xff\r\n" +
			"--b\r\nContent-Type: application/json\r\nContent-Transfer-Encoding: binary\r\n\r\n" + long + "\x00\r\n--b--\r\n"},
		{name: "attached message", in: multi + "--b\r\nContent-Type: message/rfc822\r\n\r\nReferences: " + strings.Join(ids(40), " ") + "\r\n\r\n" + long + "\r\n--b--\r\n"},
		{name: "header of a part", in: multi + "--b\r\nContent-Type: text/plain\r\nX: " + long + "\r\n\r\ntext\r\n--b--\r\n"},
		{name: "lone CR in the header of a part", in: multi + "--b\r\nX: a\rContent-Type: text/html\r\n\r\ntext\r\n--b--\r\n"},
		{name: "between parts", in: multi + long + "\r\n--b\r\n\r\ntext\r\n--b--\r\n" + strings.Repeat("-", 3000) + "\r\n"},
		{name: "signed", in: "MIME-Version: 1.0\r\n" + signed, left: "multipart/signed"},
		{name: "signed, header long", in: "X: " + long + "\r\nMIME-Version: 1.0\r\n" + signed, left: "multipart/signed"},
		{name: "signed beside a text", in: multi + "--b\r\n" + signed + "--b\r\n\r\n" + long + "\r\n--b--\r\n", left: "multipart/signed"},
		{name: "encrypted", in: "MIME-Version: 1.0\r\nContent-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" + letters, left: "application/pkcs7-mime"},
		{name: "encoding that nobody knows", in: "MIME-Version: 1.0\r\nContent-Transfer-Encoding: x-secret\r\n\r\n" + long, left: "text/plain"},
		{name: "delivery status", in: multi + "--b\r\nContent-Type: message/delivery-status\r\n\r\nX: " + long + "\r\n--b--\r\n", left: "message/delivery-status"},
		{name: "multipart without parts", in: "MIME-Version: 1.0\r\nContent-Type: multipart/mixed\r\n\r\n" + long, left: "multipart/mixed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := parse(t, tt.in)
			short, left, err := ShortLines(m)
			if err != nil || left != tt.left {
				t.Fatalf("%v, left %q", err, left)
			}
			text := string(readAll(t, short.Reader()))
			if tt.left == "" && longest(text) > MaxLine {
				t.Errorf("a line of %d octets in\n%s", longest(text), text)
			}
			again := parse(t, text)
			if d := cmp.Diff(contents(t, m), contents(t, again)); d != "" {
				t.Error(d)
			}
			for i, p := range m.Root.Leaves() {
				q := again.Root.Leaves()[i]
				if q.Type != p.Type || longest(string(readAll(t, p.Raw()))) <= MaxLine && !bytes.Equal(readAll(t, p.Raw()), readAll(t, q.Raw())) {
					t.Errorf("part %d changed: %s %q, %s %q", i, p.Type, p.Encoding, q.Type, q.Encoding)
				}
			}
			if again.Header.Has("Content-Transfer-Encoding") && !again.Header.Has("MIME-Version") {
				t.Errorf("an encoding without MIME-Version: %q", again.HeaderBytes())
			}
		})
	}
}

// contents are the decoded leaves, those of attached messages too.
func contents(t *testing.T, m *mime.Message) []string {
	t.Helper()
	var list []string
	for _, p := range m.Root.Leaves() {
		if p.Type == "message/rfc822" {
			list = append(list, contents(t, parse(t, string(readAll(t, p.Raw()))))...)
			continue
		}
		list = append(list, string(readAll(t, p.Open())))
	}
	return list
}

// TestShortLinesAreFree: a message without long lines is given back as it is.
func TestShortLinesAreFree(t *testing.T) {
	for _, text := range []string{"Subject: s\r\n\r\ntext \xff", multi + "--b\r\n\r\n" + strings.Repeat("x", MaxLine) + "\r\n--b--\r\n"} {
		m := parse(t, text)
		if short, left, err := ShortLines(m); err != nil || short != m || left != "" {
			t.Errorf("%q became %q, left %q, %v", text, readAll(t, short.Reader()), left, err)
		}
	}
}

func TestShortLinesOfEditedMessages(t *testing.T) {
	m, err := parse(t, multi+"--b\r\n\r\n"+long+"\r\n--b--\r\n").With(mime.Edit{Op: mime.Append, Name: "X-More", Value: "more"})
	if err != nil {
		t.Fatal(err)
	}
	short, _, err := ShortLines(m)
	if err != nil {
		t.Fatal(err)
	}
	if text := string(readAll(t, short.Reader())); longest(text) > MaxLine || !strings.Contains(text, "X-More: more\r\n") || contents(t, short)[0] != long {
		t.Errorf("%s", text)
	}
}

type failing struct{ mime.Source }

func (f failing) ReadAt(p []byte, off int64) (int, error) {
	if off+int64(len(p)) > 70_000 {
		return 0, io.ErrClosedPipe
	}
	return f.Source.ReadAt(p, off)
}

func TestReadErrors(t *testing.T) {
	m := parse(t, "Subject: s\r\n\r\n"+strings.Repeat("text\r\n", 20_000)+long)
	m.Source = failing{m.Source}
	if _, err := To7Bit(m); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("To7Bit: %v", err)
	}
	if _, _, err := ShortLines(m); !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("ShortLines: %v", err)
	}
}

// FuzzLines rewrites any message for relays. What is rewritten says the same, and once is enough.
func FuzzLines(f *testing.F) {
	f.Add([]byte(multi + "--b\r\nX: a\rb\r\n\r\n" + long + "\r\n--b--\r\n"))
	f.Add([]byte("To: a@x\rb\nTo: c@x\n>From x\n\n" + long))
	f.Add([]byte(multi + long + "\n--b\nContent-Type: message/rfc822\n\nReferences: " + strings.Join(ids(90), "") + "\n\n" + letters + "\n--b--"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		m := parse(t, string(raw))
		fit, err := Fit(m)
		if err != nil {
			t.Fatal(err)
		}
		if len(m.Root.Leaves()) == len(fit.Root.Leaves()) && !bytes.HasSuffix(readAll(t, fit.Reader()), raw[m.BodyOffset():]) {
			t.Fatalf("the body of %q changed", raw)
		}
		short, left, err := ShortLines(fit)
		if err != nil {
			t.Fatal(err)
		}
		text := readAll(t, short.Reader())
		if int64(len(text)) != short.Source.Size() {
			t.Fatalf("%d bytes of %d", len(text), short.Source.Size())
		}
		if seven, err := To7Bit(short); err == nil {
			check7Bit(t, seven)
		}
		again, leftAgain, err := ShortLines(parse(t, string(text)))
		if err != nil || left == "" && leftAgain != "" || short == fit && again.Source.Size() != short.Source.Size() {
			t.Fatalf("%q became %q, left %q, %v", text, readAll(t, again.Reader()), leftAgain, err)
		}
	})
}
