package markup

import (
	"bytes"
	"io"
)

// Enriched is what a text/enriched says (RFC 1896): a single line end is a space, of several one is left out,
// and << is a <.
func Enriched(r io.Reader) io.Reader {
	e := &enriched{hidden: "param"}
	return mapped(r, func(out, chunk []byte, last bool) ([]byte, int) {
		e.out = out
		n := e.take(chunk, last)
		return e.out, n
	})
}

// RichText is what a text/richtext says (RFC 1341 7.1.3): line ends are spaces, <nl> is one and <lt> a <.
func RichText(r io.Reader) io.Reader {
	e := &enriched{hidden: "comment", rich: true}
	return mapped(r, func(out, chunk []byte, last bool) ([]byte, int) {
		e.out = out
		n := e.take(chunk, last)
		return e.out, n
	})
}

type enriched struct {
	out    []byte
	rich   bool   // text/richtext
	hidden string // the command whose text is not shown
	inside int    // such commands that are open
	nofill int    // commands that are open in which line ends count
	lines  int    // line ends just read
}

const longCommand = 200 // bytes; no command is longer

// take reads what is whole.
func (e *enriched) take(chunk []byte, last bool) (n int) {
	for n < len(chunk) {
		rest := chunk[n:]
		switch rest[0] {
		case '\r':
			n++
		case '\n':
			if n++; e.inside == 0 {
				e.lines++
			}
		case '<':
			if !e.rich && len(rest) > 1 && rest[1] == '<' {
				e.write("<")
				n += 2
				continue
			}
			end := bytes.IndexByte(rest[:min(len(rest), longCommand)], '>')
			if end < 0 && !last && len(rest) < longCommand {
				return n
			}
			if end < 0 { // it is none
				e.write("<")
				n++
				continue
			}
			e.command(string(bytes.ToLower(rest[1:end])))
			n += end + 1
		default:
			end := bytes.IndexAny(rest, "\r\n<")
			if end < 0 {
				end = len(rest)
			}
			e.write(string(rest[:end]))
			n += end
		}
	}
	if last && e.lines > 0 && e.inside == 0 {
		e.out = append(e.out, "\r\n"...)
	}
	return n
}

func (e *enriched) command(name string) {
	switch name {
	case e.hidden:
		e.inside++
	case "/" + e.hidden:
		e.inside = max(0, e.inside-1)
	case "nofill", "verbatim":
		e.ends()
		e.nofill++
	case "/nofill", "/verbatim":
		e.ends()
		e.nofill = max(0, e.nofill-1)
	case "lt":
		if e.rich {
			e.write("<")
		}
	case "nl", "np", "paragraph", "/paragraph":
		if e.rich && e.inside == 0 {
			e.out = append(e.out, "\r\n"...)
			e.lines = 0
		}
	}
}

// write shows text with the line ends that came before it.
func (e *enriched) write(s string) {
	e.ends()
	if e.inside == 0 {
		e.out = append(e.out, s...)
	}
}

// ends shows the line ends that were read.
func (e *enriched) ends() {
	n := e.lines
	e.lines = 0
	switch {
	case n == 0 || e.inside > 0:
	case e.rich, n == 1 && e.nofill == 0:
		e.out = append(e.out, ' ')
	default:
		if e.nofill == 0 {
			n--
		}
		for range n {
			e.out = append(e.out, "\r\n"...)
		}
	}
}
