package markup

import (
	"bytes"
	"html"
	"io"
)

// generated is a reader of what step appends to out, some at a time. The error of step comes with its last bytes.
type generated struct {
	step func(out []byte) ([]byte, error)
	out  []byte
	read int // bytes of out
	err  error
}

const generatedAtOnce = 4 << 10 // bytes, or one more step

func (g *generated) Read(p []byte) (int, error) {
	for g.read == len(g.out) {
		if g.err != nil {
			return 0, g.err
		}
		g.out, g.read = g.out[:0], 0
		for len(g.out) < generatedAtOnce && g.err == nil {
			g.out, g.err = g.step(g.out)
		}
	}
	n := copy(p, g.out[g.read:])
	g.read += n
	return n, nil
}

// mapped reads r in chunks that convert appends to out. convert gets what it left of the chunk before, too, and
// returns how much it takes: all of the last one.
func mapped(r io.Reader, convert func(out, chunk []byte, last bool) (more []byte, taken int)) io.Reader {
	buf := make([]byte, 0, generatedAtOnce)
	return &generated{step: func(out []byte) ([]byte, error) {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && err != io.EOF {
			return out, err
		}
		out, taken := convert(out, buf, err == io.EOF)
		buf = buf[:copy(buf, buf[taken:])]
		return out, err
	}}
}

// longReference is more bytes than a character reference of HTML has.
const longReference = 40

// unescaped resolves the character references of a text (HTML 13.2.5.72).
func unescaped(r io.Reader) io.Reader {
	return mapped(r, func(out, chunk []byte, last bool) ([]byte, int) {
		n := len(chunk)
		if !last {
			n = uncut(chunk, "&")
		}
		if bytes.IndexByte(chunk[:n], '&') < 0 {
			return append(out, chunk[:n]...), n
		}
		return append(out, html.UnescapeString(string(chunk[:n]))...), n
	})
}

// uncut is how much of b stands before the last of some characters, where that is near the end: it may begin what
// goes on behind b.
func uncut(b []byte, marks string) int {
	if i := bytes.LastIndexAny(b[max(0, len(b)-longReference):], marks); i >= 0 {
		if i += max(0, len(b)-longReference); i > 0 || len(b) < longReference {
			return i
		}
	}
	return len(b)
}

// Escaped is a plain text as it stands in HTML.
func Escaped(r io.Reader) io.Reader {
	return mapped(r, func(out, chunk []byte, _ bool) ([]byte, int) {
		for rest := chunk; len(rest) > 0; {
			i := bytes.IndexAny(rest, "&<>")
			if i < 0 {
				out = append(out, rest...)
				break
			}
			out = append(out, rest[:i]...)
			switch rest[i] {
			case '&':
				out = append(out, "&amp;"...)
			case '<':
				out = append(out, "&lt;"...)
			default:
				out = append(out, "&gt;"...)
			}
			rest = rest[i+1:]
		}
		return out, len(chunk)
	})
}
