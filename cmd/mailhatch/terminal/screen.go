package terminal

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"sync"
	"unicode"
	"unicode/utf8"
)

// Output returns f, or a Screen if f is a terminal.
func Output(f *os.File) io.Writer {
	if !isTerminal(f) {
		return f
	}
	return &Screen{file: f}
}

// Screen is a terminal for text that others wrote. It shows what could control the terminal, or make text look like
// another, as escapes: controls but tab and line ends, marks of the direction of writing, invisible marks, separators
// of lines, and bytes that are not UTF-8. The escapes of characters are those of JSON.
type Screen struct {
	mu   sync.Mutex
	file io.Writer
	rest []byte // the start of a character or of CRLF
}

// Write implements io.Writer.
func (s *Screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := append(s.rest, p...)
	n := len(text) - unfinished(text)
	s.rest = bytes.Clone(text[n:])
	if _, err := s.file.Write(harmless(text[:n])); err != nil {
		return 0, err
	}
	return len(p), nil
}

// Flush shows what ended within a character.
func (s *Screen) Flush() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := s.rest
	s.rest = nil
	_, err := s.file.Write(harmless(text))
	return err
}

// Raw returns the terminal of a Screen, for controls of the program's own, and any other writer itself.
func Raw(w io.Writer) io.Writer {
	if s, ok := w.(*Screen); ok {
		return s.file
	}
	return w
}

// Interactive reports whether f, an *os.File, a Screen or anything else, is a terminal.
func Interactive(f any) bool {
	switch f := f.(type) {
	case *Screen:
		return true
	case *os.File:
		return isTerminal(f)
	}
	return false
}

// unfinished returns the length of the end of text whose meaning depends on what follows.
func unfinished(text []byte) int {
	for n := 1; n < utf8.UTFMax && n <= len(text); n++ {
		end := text[len(text)-n:]
		if n == 1 && end[0] == '\r' || utf8.RuneStart(end[0]) && !utf8.FullRune(end) {
			return n
		}
	}
	return 0
}

// harmless returns text with escapes for all that is not.
func harmless(text []byte) []byte {
	out := make([]byte, 0, len(text)+16)
	for i := 0; i < len(text); {
		r, n := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			out = fmt.Appendf(out, `\x%02x`, text[i])
		case r == '\r' && bytes.HasPrefix(text[i:], []byte("\r\n")): // the terminal adds one
		case r == '\n', r == '\t', !hazardous(r):
			out = append(out, text[i:i+n]...)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		i += n
	}
	return out
}

// hazardous reports whether a character can control a terminal or make text look like another. The joiners that
// scripts and emoji need (U+200C, U+200D) are not among them.
func hazardous(r rune) bool {
	switch r {
	case '\u2028', '\u2029', '\u200b', '\u2060', '\ufeff':
		return true
	}
	return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
}
