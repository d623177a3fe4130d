package view

import "mailhatch/mime"

// Together is how many bytes, as they are in the message, the texts of a body may have for them to be put together,
// for HTML to be compared with the text before it, and for pictures to be put or named in it: all that reads HTML tag by
// tag, which takes a hundred times as long as to pass it on. Where there are more, the first text is the body as it is,
// and others and pictures are files.
const Together = 2 << 20

// sizes are how many bytes of texts are in the two bodies.
type sizes struct{ text, html int64 }

func (s *sizes) add(p *mime.Part, in views) {
	if in&asText != 0 {
		s.text += p.RawSize()
	}
	if in&asHTML != 0 {
		s.html += p.RawSize()
	}
}

// hasRoom reports whether a text is the first one in all the bodies that it may be in, or small enough to stand with those
// before it.
func (s *sorter) hasRoom(p *mime.Part, in views) bool {
	after := s.size
	after.add(p, in)
	return (s.size.text == 0 || after.text == s.size.text || after.text <= Together) &&
		(s.size.html == 0 || after.html == s.size.html || after.html <= Together)
}
