// Package letter shows mail that nobody trusts: the text with its links, the files, and the HTML so that a browser
// runs nothing of it and fetches nothing for it.
package letter

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"mailhatch/mime"
	"mailhatch/mime/view"
)

// Letter is a message to be shown. It reads its source as long as it is used.
type Letter struct {
	Message *mime.Message
	content *view.Content
}

// Read reads a message. Errors are those of reading its source.
func Read(src mime.Source) (*Letter, error) {
	m, err := mime.Parse(src)
	if err != nil {
		return nil, err
	}
	c, err := view.Of(m)
	if err != nil {
		return nil, err
	}
	return &Letter{m, c}, nil
}

// HasText reports whether there is a plain text to read.
func (l *Letter) HasText() bool { return l.content.Text != nil && !l.content.Text.IsBlank() }

// HasHTML reports whether there is an HTML text to read.
func (l *Letter) HasHTML() bool { return l.content.HTML != nil && !l.content.HTML.IsBlank() }

// MaxText is how many bytes of a text, a header or a source are shown; a file has the rest.
const MaxText = 256 << 10

// Text returns the start of the plain text, and whether there is more.
func (l *Letter) Text() (text string, more bool, err error) {
	if l.content.Text == nil {
		return "", false, nil
	}
	return Start(l.content.Text.Open())
}

// Start reads as much of r as is shown, as valid UTF-8 with LF, and whether there is more.
func Start(r io.Reader) (text string, more bool, err error) {
	b, err := io.ReadAll(io.LimitReader(r, MaxText+1))
	if err != nil {
		return "", false, err
	}
	if more = len(b) > MaxText; more {
		b = b[:MaxText]
		for n := 1; n < utf8.UTFMax; n++ { // a character that is cut
			if at := len(b) - n; utf8.RuneStart(b[at]) {
				if !utf8.FullRune(b[at:]) {
					b = b[:at]
				}
				break
			}
		}
	}
	return strings.ToValidUTF8(strings.ReplaceAll(string(b), "\r\n", "\n"), "\uFFFD"), more, nil
}

// File is a part that is offered as a file.
type File struct {
	Name, Type string
	Size       int64 // bytes
	Shown      bool  // it is a picture of the HTML
	part       *mime.Part
}

// Files lists the files: attachments, then other ways to show the text.
func (l *Letter) Files() ([]File, error) {
	var list []File
	for _, a := range l.content.Attachments {
		list = append(list, File{Name: a.Name, Type: a.Type, Shown: a.Inline, part: a.Part})
	}
	for _, p := range l.content.Alternatives {
		name := p.Name
		if name == "" {
			name = "alternative" + mime.Extension(p.Type)
		}
		list = append(list, File{Name: name, Type: p.Type, part: p})
	}
	for i := range list {
		size, err := list[i].part.DecodedSize()
		if err != nil {
			return nil, err
		}
		list[i].Size = size
	}
	return list, nil
}

// Open reads a file, decoded.
func (f *File) Open() io.Reader { return f.part.Open() }

// Field is a field of a header.
type Field struct{ Name, Value string }

// Header returns the fields of a raw header as people read them: decoded.
func Header(raw []byte) []Field {
	var list []Field
	for _, f := range mime.ParseHeader(raw) {
		list = append(list, Field{f.Name, mime.DecodeText(f.Value())})
	}
	return list
}

// Structure returns a line for each part of the message, indented as they are in each other.
func (l *Letter) Structure() []string {
	var list []string
	var walk func(p *mime.Part, depth int)
	walk = func(p *mime.Part, depth int) {
		line := strings.Repeat("  ", depth) + p.Type
		if p.Name != "" {
			line += " " + p.Name
		}
		if p.Defect != nil {
			line += fmt.Sprintf(" (%v)", p.Defect)
		}
		list = append(list, line)
		for _, c := range p.Children {
			walk(c, depth+1)
		}
	}
	walk(l.Message.Root, 0)
	return list
}

// Piece is text, or a link in it.
type Piece struct{ Text, URL string }

// Links divides a text at the addresses of the web in it, which get a URL.
func Links(text string) []Piece {
	var list []Piece
	for text != "" {
		start := nextLink(text)
		if start < 0 {
			return append(list, Piece{Text: text})
		}
		end := start + strings.IndexFunc(text[start:]+" ", func(r rune) bool { return r <= ' ' || strings.ContainsRune("<>\"`{}|\\^\u00a0", r) })
		url := strings.TrimRight(text[start:end], ".,;:!?'*_")
		for strings.HasSuffix(url, ")") && strings.Count(url, ")") > strings.Count(url, "(") { // it ends a parenthesis around the link
			url = strings.TrimRight(url[:len(url)-1], ".,;:!?'*_")
		}
		if start > 0 {
			list = append(list, Piece{Text: text[:start]})
		}
		list = append(list, Piece{Text: url, URL: url})
		text = text[start+len(url):]
	}
	return list
}

// nextLink returns where a link begins, -1 for nowhere.
func nextLink(text string) int {
	for from := 0; ; {
		i := strings.Index(text[from:], "http")
		if i < 0 {
			return -1
		}
		i += from
		rest := strings.TrimPrefix(text[i+len("http"):], "s")
		if host, ok := strings.CutPrefix(rest, "://"); ok && host != "" && (host[0] >= 'a' && host[0] <= 'z' || host[0] >= 'A' && host[0] <= 'Z' ||
			host[0] >= '0' && host[0] <= '9' || host[0] == '[' || host[0] >= utf8.RuneSelf) {
			return i
		}
		from = i + len("http")
	}
}
