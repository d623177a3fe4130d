package upstream

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"html"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Redactor takes secrets out of the words of a far side, which may repeat what it was sent. It is applied once, to the
// words as they came and before anything is cut from them. A secret is found in clear (whatever its case), in hex, and
// in base64 of either alphabet, also inside a longer text that was encoded; and each of these with its characters
// escaped as in URLs, JSON and HTML, twice over at most, or broken by white space (16 bytes and more). Where the words
// end within a secret its beginning goes too.
//
// Secrets of less than 6 bytes could be parts of ordinary words. They are taken out only where they stand alone,
// and in clear only where they mix letters with other characters: "p4ss", but neither "mail" nor "2525".
type Redactor struct{ forms []form }

const (
	shortSecret  = 6  // bytes, below which a secret must stand alone
	brokenSecret = 16 // bytes, from which on it is found across white space
	cutSecret    = 5  // bytes of a secret at the end of the words
)

// form is one way a secret can look.
type form struct {
	text  string
	fold  bool // in any case; text is in lower case
	run   bool // with all characters of base64 around it, some of which are the secret's too
	alone bool // only between other characters than letters, digits and those of base64
}

// NewRedactor returns a Redactor for these secrets; empty ones are left out.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{}
	for _, s := range secrets {
		switch {
		case s == "":
		case len(s) < shortSecret:
			r.addShort(s)
		default:
			r.add(s)
			for _, undo := range [...]func([]byte) (int, []byte){unescape, squeeze} { // what Redact does to the words
				if v, changed := (view{text: []byte(s)}).rewrite(undo); changed && len(v.text) >= shortSecret {
					r.add(string(v.text))
				}
			}
		}
	}
	return r
}

// lowered is in lower case as to the letters of ASCII; every byte keeps its place.
func lowered(s string) string {
	b := []byte(s)
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c + 'a' - 'A'
		}
	}
	return string(b)
}

func (r *Redactor) add(s string) {
	r.forms = append(r.forms, form{text: lowered(s), fold: true}, form{text: hex.EncodeToString([]byte(s)), fold: true})
	if strings.Contains(s, " ") { // as forms write it
		r.forms = append(r.forms, form{text: lowered(strings.ReplaceAll(s, " ", "+")), fold: true})
	}
	for before, shared := range [...]int{0, 2, 3} { // bytes before it, and the characters that these share with it
		whole := make([]byte, before, before+len(s))
		whole = append(whole, s...)
		for _, encoding := range [...]*base64.Encoding{base64.RawStdEncoding, base64.RawURLEncoding} {
			text := encoding.EncodeToString(whole)
			r.forms = append(r.forms, form{text: text[shared : len(whole)*8/6], run: true})
		}
	}
}

func (r *Redactor) addShort(s string) {
	letters := strings.Trim(lowered(s), "abcdefghijklmnopqrstuvwxyz") == ""
	if !letters && strings.Trim(s, "0123456789") != "" {
		r.forms = append(r.forms, form{text: s, alone: true})
	}
	if len(s) > 2 {
		r.forms = append(r.forms, form{text: hex.EncodeToString([]byte(s)), fold: true, alone: true},
			form{text: base64.StdEncoding.EncodeToString([]byte(s)), alone: true}, form{text: base64.URLEncoding.EncodeToString([]byte(s)), alone: true},
			form{text: base64.RawStdEncoding.EncodeToString([]byte(s)), alone: true}, form{text: base64.RawURLEncoding.EncodeToString([]byte(s)), alone: true})
	}
}

// Redact returns words with *** in place of each secret.
func (r *Redactor) Redact(words string) string {
	if r == nil || len(r.forms) == 0 || words == "" {
		return words
	}
	v := view{text: []byte(words)}
	var hidden []bool
	for depth := 0; ; depth++ {
		hidden = r.hide(v, hidden, len(words), 0)
		if squeezed, changed := v.rewrite(squeeze); changed {
			hidden = r.hide(squeezed, hidden, len(words), brokenSecret)
		}
		decoded, changed := v.rewrite(unescape)
		if !changed || depth == 2 {
			break
		}
		v = decoded
	}
	if hidden == nil {
		return words
	}
	var b strings.Builder
	for i := 0; i < len(words); i++ {
		switch {
		case !hidden[i]:
			b.WriteByte(words[i])
		case i == 0 || !hidden[i-1]:
			b.WriteString(Redacted)
		}
	}
	return b.String()
}

// Error returns an error without secrets: err itself where it has none.
func (r *Redactor) Error(err error) error {
	words := err.Error()
	if clean := r.Redact(words); clean != words {
		return errors.New(clean)
	}
	return err
}

// hide marks the bytes of the words, of which there are size, that show a secret in v.
func (r *Redactor) hide(v view, hidden []bool, size, least int) []bool {
	lower := []byte(lowered(string(v.text)))
	for _, f := range r.forms {
		if len(v.text) == 0 {
			break
		}
		text := v.text
		if f.fold {
			text = lower
		}
		if len(f.text) < least {
			continue
		}
		for from := 0; ; {
			i := bytes.Index(text[from:], []byte(f.text))
			if i < 0 {
				break
			}
			i += from
			hidden = v.mark(f, i, i+len(f.text), hidden, size)
			from = i + 1
		}
		if f.alone {
			continue
		}
		for n := min(len(f.text)-1, len(text)); n >= cutSecret; n-- { // cut off at the end
			if f.text[n-1] == text[len(text)-1] && bytes.HasSuffix(text, []byte(f.text[:n])) {
				hidden = v.mark(f, len(text)-n, len(text), hidden, size)
				break
			}
		}
	}
	return hidden
}

// view is what the words are once something about them is undone.
type view struct {
	text     []byte
	from, to []int // where what each byte stands for begins and ends in the words; nil: it is the byte there
}

func (v view) place(i int) (from, to int) {
	if v.from == nil {
		return i, i + 1
	}
	return v.from[i], v.to[i]
}

// adjoin reports whether a byte and the next one adjoin in the words.
func (v view) adjoin(i int) bool {
	_, end := v.place(i)
	begin, _ := v.place(i + 1)
	return begin == end
}

// mark hides a place at which a form was found.
func (v view) mark(f form, from, to int, hidden []bool, size int) []bool {
	isPart := func(i int) bool { return i >= 0 && i < len(v.text) && isBase64(v.text[i]) }
	if f.alone && (isPart(from-1) || isPart(to)) {
		return hidden
	}
	for f.run && isPart(from-1) && v.adjoin(from-1) {
		from--
	}
	for f.run && isPart(to) && v.adjoin(to-1) {
		to++
	}
	if hidden == nil {
		hidden = make([]bool, size)
	}
	first, _ := v.place(from)
	_, last := v.place(to - 1)
	for i := first; i < last; i++ {
		hidden[i] = true
	}
	return hidden
}

func isBase64(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("+/-_=", c) >= 0
}

// rewrite replaces what undo finds: undo returns how many bytes at the beginning of its argument stand for which
// others, 0 where there is nothing to undo.
func (v view) rewrite(undo func([]byte) (int, []byte)) (out view, changed bool) {
	add := func(b byte, first, last int) {
		from, _ := v.place(first)
		_, to := v.place(last)
		out.text, out.from, out.to = append(out.text, b), append(out.from, from), append(out.to, to)
	}
	for i := 0; i < len(v.text); {
		n, others := undo(v.text[i:])
		if n == 0 {
			if changed {
				add(v.text[i], i, i)
			}
			i++
			continue
		}
		if !changed {
			changed = true
			out = view{text: make([]byte, 0, len(v.text)), from: make([]int, 0, len(v.text)), to: make([]int, 0, len(v.text))}
			for k, b := range v.text[:i] {
				add(b, k, k)
			}
		}
		for _, b := range others {
			add(b, i, i+n-1)
		}
		i += n
	}
	return out, changed
}

func squeeze(b []byte) (int, []byte) {
	if b[0] == ' ' || b[0] == '\t' || b[0] == '\r' || b[0] == '\n' {
		return 1, nil
	}
	return 0, nil
}

// unescape undoes one escape of URLs (%41), JSON and Go (\u0041, \x41, \/) or HTML (&amp;, &#65;). One that the end of the words cut
// short is taken away, so that what stands before it is seen at the end.
func unescape(b []byte) (int, []byte) {
	switch b[0] {
	case '%':
		return unescapeHex(b, 1, 2)
	case '\\':
		switch {
		case len(b) == 1:
			return 1, nil
		case b[1] == 'u':
			return unescapeHex(b, 2, 4)
		case b[1] == 'x':
			return unescapeHex(b, 2, 2)
		case strings.IndexByte(`"'\/`, b[1]) >= 0:
			return 2, b[1:2]
		}
	case '&':
		end := bytes.IndexByte(b[:min(len(b), 12)], ';')
		if end < 0 {
			if len(b) < 8 && strings.Trim(lowered(string(b[1:])), "#0123456789abcdefghijklmnopqrstuvwxyz") == "" {
				return len(b), nil
			}
			return 0, nil
		}
		if s := html.UnescapeString(string(b[:end+1])); len(s) <= end {
			return end + 1, []byte(s)
		}
	}
	return 0, nil
}

// unescapeHex reads so many hex digits behind the beginning of an escape.
func unescapeHex(b []byte, begin, digits int) (int, []byte) {
	if len(b) < begin+digits {
		return len(b), nil
	}
	n, err := strconv.ParseUint(string(b[begin:begin+digits]), 16, 32)
	if err != nil {
		return 0, nil
	}
	if digits == 2 {
		return begin + digits, []byte{byte(n)}
	}
	return begin + digits, utf8.AppendRune(nil, rune(n))
}

// RedactURL returns an address without the password that may be in it.
func RedactURL(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return Redacted
	}
	return u.Redacted()
}
