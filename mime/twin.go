package mime

import (
	"html"
	"strings"
	"unicode"
)

// twin takes an HTML part as the HTML body when it says the same as the plain text body right before
// it: many programs write multipart/mixed where multipart/alternative is meant.
func (s *sorter) twin(before, p *Part) (bool, error) {
	text := s.content.Text
	if text == nil || text.Part != before || s.content.HTML != nil || len(p.Children) > 0 ||
		p.Type != "text/html" || !isBodyPart(p, false) || p.Defect != nil {
		return false, nil
	}
	raw, err := readWhole(p.Open(), p)
	if err != nil {
		return false, err
	}
	shown, exact := decodeCharset(raw, p.charsetOf(raw))
	if !exact || !saysSame(text.Text, shown) {
		return false, nil
	}
	s.content.HTML = &Body{Text: shown, Part: p}
	return true, nil
}

// saysSame tells whether nearly all words of a text are in an HTML text; all in their order where they
// are few.
func saysSame(text, markup string) bool {
	const few = 8
	want, have := words(text), words(visible(markup))
	if len(want) < few {
		return len(want) > 0 && strings.Contains(" "+strings.Join(have, " ")+" ", " "+strings.Join(want, " ")+" ")
	}
	count := map[string]int{}
	for _, w := range have {
		count[w]++
	}
	found := 0
	for _, w := range want {
		if count[w] > 0 {
			count[w]--
			found++
		}
	}
	return found*10 >= len(want)*9
}

func words(s string) []string {
	return strings.FieldsFunc(strings.ToLower(s), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// visible gives the text of HTML: no tags, and a space where each stood.
func visible(markup string) string {
	var out strings.Builder
	for {
		text, rest, tag := strings.Cut(markup, "<")
		out.WriteString(text)
		out.WriteByte(' ')
		if !tag {
			return html.UnescapeString(out.String())
		}
		_, markup, _ = strings.Cut(rest, ">")
	}
}
