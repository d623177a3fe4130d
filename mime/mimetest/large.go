package mimetest

import (
	"io"
	"strings"
)

// Large is a message of any size that needs no memory: a unit repeated between a head and a tail. It is a
// source of package mime.
type Large struct {
	head, unit, tail string
	times            int64
}

// Size is in bytes.
func (l *Large) Size() int64 {
	return int64(len(l.head)) + l.times*int64(len(l.unit)) + int64(len(l.tail))
}

// ReadAt implements io.ReaderAt.
func (l *Large) ReadAt(p []byte, off int64) (n int, err error) {
	for n < len(p) {
		at, text := off+int64(n), l.head
		if at >= int64(len(text)) {
			at -= int64(len(l.head))
			text = l.unit
			if middle := l.times * int64(len(l.unit)); at < middle {
				at %= int64(len(l.unit))
			} else {
				at, text = at-middle, l.tail
			}
		}
		if at >= int64(len(text)) {
			return n, io.EOF
		}
		n += copy(p[n:], text[at:])
	}
	return n, nil
}

// Open reads the message.
func (l *Large) Open() io.Reader { return io.NewSectionReader(l, 0, l.Size()) }

// LargeMessages returns messages of about size bytes that are hard to hold in memory.
func LargeMessages(size int64) map[string]*Large {
	make := func(head, unit, tail string) *Large {
		unit = strings.Repeat(unit, 1+4096/len(unit))
		return &Large{head: head, unit: unit, tail: tail, times: (size - int64(len(head)+len(tail))) / int64(len(unit))}
	}
	text := func(charset, encoding, unit string) *Large {
		return make(from+"Content-Type: text/plain; charset="+charset+"\r\nContent-Transfer-Encoding: "+encoding+"\r\n\r\n", unit, "")
	}
	line := strings.Repeat("All work and no play. ", 3) + "\r\n"
	html := "<p>" + line
	mixed := from + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nhello\r\n"
	file := "--b\r\nContent-Type: application/octet-stream\r\nContent-Transfer-Encoding: base64\r\nContent-Disposition: attachment; filename=f\r\n\r\n"
	encoded := strings.Repeat("QUJD", 19) + "\r\n"
	all := map[string]*Large{
		"text":              text("utf-8", "8bit", line),
		"HTML":              make(from+"Content-Type: text/html; charset=utf-8\r\n\r\n", html, ""),
		"one line":          text("utf-8", "8bit", "word "),
		"base64":            text("utf-8", "base64", encoded),
		"quoted-printable":  text("utf-8", "quoted-printable", "Gr=C3=BC=C3=9Fe, a soft =\r\nbreak\r\n"),
		"quoted, 8-bit":     text("utf-8", "quoted-printable", "Gr\xc3\xbc=C3=9Fe\r\n"),
		"latin-1":           text("iso-8859-1", "8bit", "Gr\xfc\xdfe\r\n"),
		"ISO-2022-JP":       text("iso-2022-jp", "7bit", "\x1b$BF|K\\8l\x1b(B\r\n"),
		"UTF-16":            text("utf-16", "base64", "YQDpAA0A"+"CgBhAOkA\r\n"),
		"UTF-7":             text("utf-7", "7bit", "Gr+APwA3w-e\r\n"),
		"no charset":        text("no-such-charset", "8bit", "Gr\xfc\xdfe \xc3\xa9\r\n"),
		"quotes":            text("utf-8", "8bit", "\"\\\x01\r\n"),
		"wrong base64":      text("utf-8", "base64", encoded+"=="),
		"a wrong multipart": make(from+"Content-Type: multipart/mixed; boundary=never\r\n\r\n", line, ""),
		"nested message":    make(mixed+"--b\r\nContent-Type: message/rfc822\r\n\r\n"+from+"\r\n", line, "\r\n--b--\r\n"),
		"8-bit file":        make(mixed+"--b\r\nContent-Type: application/octet-stream\r\n\r\n", "\xe9\xff\x00", "\r\n--b--\r\n"),
		"calendar":          make(from+"Content-Type: text/calendar; method=REQUEST\r\n\r\n", line, ""),
		"a large header":    make(from+strings.Repeat("X-A: b\r\n", 95_000)+"\r\n", line, ""),
		"many different words": make(mixed[:len(mixed)-len("\r\nhello\r\n")]+"\r\n"+numbered(func(s string) string { return strings.Repeat(s, 200_000) }, "w%d ")+
			"\r\n--b\r\nContent-Type: text/html\r\n\r\n", html, "\r\n--b--\r\n"),
	}
	half := make("", line, "").times / 2 * int64(len(make("", line, "").unit))
	all["text and HTML"] = make(from+"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\n"+strings.Repeat(line, int(half)/len(line))+
		"\r\n--b\r\nContent-Type: text/html\r\n\r\n", html, "\r\n--b--\r\n")
	all["twins"] = make(mixed[:len(mixed)-len("\r\nhello\r\n")]+"\r\n"+strings.Repeat(line, int(half)/len(line))+
		"\r\n--b\r\nContent-Type: text/html\r\n\r\n", html, "\r\n--b--\r\n")
	all["texts and HTML in turn"] = make(mixed+strings.Repeat("--b\r\n\r\n"+strings.Repeat("Some other <words>.\r\n", int(half)/40)+
		"\r\n--b\r\nContent-Type: text/html\r\n\r\n<style>p {color: red}</style><table><p>x\r\n", 2), html, "\r\n--b--\r\n")
	var files strings.Builder
	for range 48 {
		files.WriteString(file + strings.Repeat(encoded, int(size/50)/len(encoded)))
	}
	all["48 files"] = make(mixed+files.String()+file, encoded, "\r\n--b--\r\n")
	return all
}
