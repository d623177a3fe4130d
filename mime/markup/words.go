package markup

import (
	"bytes"
	"hash/maphash"
	"html"
	"io"
	"slices"
	"unicode"
	"unicode/utf8"
)

// maxWords is how many different words of a text are counted. A text with more of them is the same as
// no other: its HTML stays a file.
const maxWords = 1 << 17

// SaysSame reports whether nearly all words of a text are in an HTML text; all in their order where they
// are few.
func SaysSame(text, markup io.Reader) (bool, error) {
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
