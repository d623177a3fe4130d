package mime

import (
	"html"
	"strings"
	"unicode"
	"unicode/utf8"

	"mailhatch/mime/charset"
)

// charsetOf returns the charset of a text part: its label, or where that cannot be right and it is HTML, what
// its <meta> says, as browsers and mail programs read it.
func (p *Part) charsetOf(raw []byte) string {
	label := p.Params["charset"]
	switch strings.ToLower(label) {
	case "", "us-ascii", "ascii", "unknown-8bit", "x-unknown":
	default:
		return label
	}
	if p.Type != "text/html" || utf8.Valid(raw) {
		return label
	}
	const prescan = 1024 // as HTML 13.2.3.2 has it
	head := strings.ToLower(string(raw[:min(len(raw), prescan)]))
	for {
		meta, found := "", false
		if _, head, found = strings.Cut(head, "<meta"); !found {
			return label
		}
		meta, _, _ = strings.Cut(head, ">")
		if _, value, found := strings.Cut(meta, "charset="); found {
			value = strings.TrimLeft(value, "\"' ")
			if end := strings.IndexAny(value, "\"'; />"); end >= 0 {
				value = value[:end]
			}
			return value
		}
	}
}

// shownIDs returns the content ids that cid: URLs of an HTML text name (RFC 2392 2).
func shownIDs(html string) map[string]bool {
	ids := map[string]bool{}
	for {
		_, rest, found := strings.Cut(html, "cid:")
		if !found {
			return ids
		}
		html = rest
		end := strings.IndexAny(rest[:min(len(rest), 500)], "\"'<>) \t\r\n\\")
		if end > 0 {
			ids[rest[:end]] = true
			ids[string(decodeHex(rest[:end], '%'))] = true
		}
	}
}

// twin takes an HTML part as the HTML body when it has the same words as the plain text body right before
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
	shown, exact := charset.Decode(raw, p.charsetOf(raw))
	if !exact || !saysSame(text.Text, shown) {
		return false, nil
	}
	s.content.HTML = &Body{Text: shown, Part: p}
	return true, nil
}

// saysSame reports whether nearly all words of a text are in an HTML text; all in their order where they
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

// visible returns the text of HTML: no tags, and a space where each stood.
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
