package mime

import (
	"bytes"
	"hash/maphash"
	"html"
	"io"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailhatch/mime/charset"
)

// charsetOf returns the charset of a text part: its label, or where that cannot be right and it is HTML, what
// its <meta> names, as browsers and mail programs read it.
func (p *Part) charsetOf(e *charset.Encoded) (string, error) {
	label := p.Params["charset"]
	switch strings.ToLower(label) {
	case "", "us-ascii", "ascii", "unknown-8bit", "x-unknown":
	default:
		return label, nil
	}
	if p.Type != "text/html" || e.IsUTF8() {
		return label, nil
	}
	const prescan = 1024 // as HTML 13.2.3.2 has it
	raw, err := e.Head()
	if err != nil {
		return "", err
	}
	head := strings.ToLower(string(raw[:min(len(raw), prescan)]))
	for {
		meta, found := "", false
		if _, head, found = strings.Cut(head, "<meta"); !found {
			return label, nil
		}
		meta, _, _ = strings.Cut(head, ">")
		if _, value, found := strings.Cut(meta, "charset="); found {
			value = strings.TrimLeft(value, "\"' ")
			if end := strings.IndexAny(value, "\"'; />"); end >= 0 {
				value = value[:end]
			}
			return value, nil
		}
	}
}

const streamBuffer = 16 << 10 // bytes of a text that are looked at in one go

// windows reads r through a buffer in which each byte is seen together with at least ahead bytes that follow
// it, but at the end. see returns how many bytes it is done with, and whether it wants to see more.
func windows(r io.Reader, ahead int, see func(window []byte, last bool) (done int, more bool)) error {
	buf := make([]byte, 0, streamBuffer+ahead)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err != nil && err != io.EOF {
			return err
		}
		if last := err == io.EOF; last || len(buf) == cap(buf) {
			done, more := see(buf, last)
			if last || !more {
				return nil
			}
			buf = buf[:copy(buf, buf[done:])]
		}
	}
}

const cidScheme = "cid:"

const maxShownID = 500 // bytes of a cid: URL

// eachID yields what stands behind each cid: of a text, at least ahead bytes where the text has so many,
// until it wants no more.
func eachID(text io.Reader, ahead int, yield func(rest []byte) bool) error {
	return windows(text, len(cidScheme)+ahead, func(window []byte, last bool) (done int, more bool) {
		for {
			i := bytes.Index(window[done:], []byte(cidScheme))
			if i < 0 {
				return max(done, len(window)-len(cidScheme)+1), true
			}
			rest := window[done+i+len(cidScheme):]
			if len(rest) < ahead && !last {
				return done + i, true
			}
			if !yield(rest) {
				return done, false
			}
			done += i + len(cidScheme)
		}
	})
}

// markShown sets those of ids that cid: URLs of an HTML text name (RFC 2392 2).
func markShown(html io.Reader, ids map[string]bool) error {
	mark := func(id []byte) {
		if _, known := ids[string(id)]; known {
			ids[string(id)] = true
		}
	}
	return eachID(html, maxShownID, func(rest []byte) bool {
		if end := bytes.IndexAny(rest[:min(len(rest), maxShownID)], "\"'<>) \t\r\n\\"); end > 0 {
			mark(rest[:end])
			if bytes.IndexByte(rest[:end], '%') >= 0 {
				mark(decodeHex(string(rest[:end]), '%'))
			}
		}
		return true
	})
}

// Shows returns one of these content ids, none of them empty, that stands behind a cid: in the text; "" for none.
// Errors are those of reading the message.
func (b *Body) Shows(ids []string) (shown string, err error) {
	// Without those that begin with another one, only the last id before a text can be its start.
	var sorted [][]byte
	longest := 0
	for _, id := range slices.Sorted(slices.Values(ids)) {
		if n := len(sorted); n == 0 || !bytes.HasPrefix([]byte(id), sorted[n-1]) {
			sorted = append(sorted, []byte(id))
			longest = max(longest, len(id))
		}
	}
	err = eachID(b.Open(), longest, func(rest []byte) bool {
		at, found := slices.BinarySearchFunc(sorted, rest, bytes.Compare)
		if !found {
			at--
		}
		if at >= 0 && bytes.HasPrefix(rest, sorted[at]) {
			shown = string(sorted[at])
		}
		return shown == ""
	})
	return shown, err
}

// twin takes an HTML part as the HTML body when it has the same words as the plain text body right before
// it: many programs write multipart/mixed where multipart/alternative is meant.
func (s *sorter) twin(before, p *Part) (bool, error) {
	text := s.content.Text
	if text == nil || text.Part != before || s.content.HTML != nil || len(p.Children) > 0 ||
		p.Type != "text/html" || !isBodyPart(p, false) || p.Defect != nil {
		return false, nil
	}
	shown, _, err := p.body(s.limit)
	if err != nil || !shown.Exact {
		return false, err
	}
	same, err := saysSame(text.Open(), shown.Open())
	if err != nil || !same {
		return false, err
	}
	s.content.HTML = shown
	return true, nil
}

// maxWords is how many different words of a text are counted. A text with more of them is the same as
// no other: its HTML stays a file.
const maxWords = 1 << 17

// saysSame reports whether nearly all words of a text are in an HTML text; all in their order where they
// are few.
func saysSame(text, markup io.Reader) (bool, error) {
	const few = 8
	seed := maphash.MakeSeed()
	var first []uint64 // words, while they are few
	count, wanted := map[uint64]int{}, 0
	err := words(text, func(w []byte) bool {
		h := maphash.Bytes(seed, w)
		count[h]++
		if wanted++; wanted <= few {
			first = append(first, h)
		}
		return len(count) <= maxWords
	})
	if err != nil || wanted == 0 || len(count) > maxWords {
		return false, err
	}
	found, together := 0, false
	var last []uint64 // of the markup, as many as the text has
	err = words(&visibleReader{r: markup}, func(w []byte) bool {
		h := maphash.Bytes(seed, w)
		if wanted < few {
			if last = append(last, h); len(last) > wanted {
				last = slices.Delete(last, 0, 1)
			}
			together = slices.Equal(last, first)
			return !together
		}
		if count[h] > 0 {
			count[h]--
			found++
		}
		return true
	})
	if wanted < few {
		return together, err
	}
	return found*10 >= wanted*9, err
}

const longWord = 4 << 10 // bytes; a longer word is taken for several

// words yields the words of a text in lower case until yield wants no more.
func words(text io.Reader, yield func(w []byte) bool) error {
	return windows(text, longWord, func(window []byte, last bool) (done int, more bool) {
		window = window[:wholeRunes(window, last)]
		for {
			start := bytes.IndexFunc(window[done:], isWord)
			if start < 0 {
				return len(window), true
			}
			word := window[done+start:]
			end := bytes.IndexFunc(word, func(r rune) bool { return !isWord(r) })
			if end < 0 && !last && len(word) < longWord {
				return done + start, true
			}
			if end < 0 {
				end = len(word)
			}
			if end > longWord {
				end = wholeRunes(word[:longWord], false)
			}
			if !yield(bytes.ToLower(word[:end])) {
				return done, false
			}
			done += start + end
		}
	})
}

func isWord(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) }

// wholeRunes is how many bytes of b are whole characters.
func wholeRunes(b []byte, last bool) int {
	for n := 1; !last && n < utf8.UTFMax && n <= len(b); n++ {
		if c := b[len(b)-n]; utf8.RuneStart(c) {
			if !utf8.FullRune(b[len(b)-n:]) {
				return len(b) - n
			}
			break
		}
	}
	return len(b)
}

// visibleReader reads the text of HTML: no tags, and a space where each stood.
type visibleReader struct {
	r     io.Reader
	inTag bool
	raw   []byte // text that is not read as HTML yet
	out   string
	err   error
}

func (v *visibleReader) Read(p []byte) (int, error) {
	buf := make([]byte, 4<<10)
	for len(v.out) == 0 {
		if v.err != nil {
			return 0, v.err
		}
		var n int
		n, v.err = v.r.Read(buf)
		v.text(buf[:n])
		// What stands for a character has no white space in it.
		end := bytes.LastIndexAny(v.raw, " \n") + 1
		if v.err != nil || end == 0 && len(v.raw) > longWord {
			end = len(v.raw)
		}
		v.out = html.UnescapeString(string(v.raw[:end]))
		v.raw = v.raw[:copy(v.raw, v.raw[end:])]
	}
	n := copy(p, v.out)
	v.out = v.out[n:]
	return n, nil
}

// text adds what is outside of tags to raw.
func (v *visibleReader) text(b []byte) {
	for len(b) > 0 {
		mark := byte('<')
		if v.inTag {
			mark = '>'
		}
		piece, rest, found := bytes.Cut(b, []byte{mark})
		if !v.inTag {
			v.raw = append(v.raw, piece...)
			if found {
				v.raw = append(v.raw, ' ')
			}
		}
		if found {
			v.inTag = !v.inTag
		}
		b = rest
	}
}
