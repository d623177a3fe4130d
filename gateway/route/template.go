package route

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"mailhatch/gateway/glob"
	"mailhatch/mime"
)

// template is a text that a rule writes. A star in it stands for what a star of the rule's pattern matched, the
// first for the first; {user}, {host} and {listener} for who handed the message over. A backslash before either
// makes it a plain character.
type template struct {
	pieces []piece
	stars  int
	from   *valueCondition // whose patterns have the stars; nil where the text has none
}

// piece is a part of a template: plain text, the star of that number (from 0), or a name.
type piece struct {
	text string
	star int
	name string // "" where it is not a name
}

const noStar = -1

// placeholder matches what is special in a template.
var placeholder = regexp.MustCompile(`\\[*{\\]|\*|\{[A-Za-z_]+\}`)

const placeholderHint = "{user}, {host} and {listener} are known; for the character itself write \\{ (in single quotes)"

// splitTemplate finds the pieces of a text; without stars they are plain characters. The error is about a name
// that is not known.
func splitTemplate(text string, stars bool) (t template, err error) {
	plain := ""
	flush := func() {
		if plain != "" {
			t.pieces = append(t.pieces, piece{text: plain, star: noStar})
		}
		plain = ""
	}
	end := 0
	for _, at := range placeholder.FindAllStringIndex(text, -1) {
		plain += text[end:at[0]]
		end = at[1]
		switch mark := text[at[0]:at[1]]; mark {
		case "*":
			if !stars {
				plain += mark
				break
			}
			flush()
			t.pieces = append(t.pieces, piece{star: t.stars})
			t.stars++
		case "{user}", "{host}", "{listener}":
			flush()
			t.pieces = append(t.pieces, piece{star: noStar, name: strings.Trim(mark, "{}")})
		default:
			if mark[0] == '{' {
				err = fmt.Errorf("%s is not known here", mark)
			}
			plain += strings.TrimPrefix(mark, `\`)
		}
	}
	plain += text[end:]
	flush()
	return t, err
}

// Sample returns a text of the config with something usual in the place of all that stands for something else,
// so that its form can be checked.
func Sample(text string) string { return sample(text, "x") }

func sample(text, usual string) string {
	t, _ := splitTemplate(text, true)
	var b strings.Builder
	for _, p := range t.pieces {
		if p.star != noStar || p.name != "" {
			p.text = usual
		}
		b.WriteString(p.text)
	}
	return b.String()
}

// IsFixed reports whether a text of the config is the same for all mail.
func IsFixed(text string) bool {
	t, _ := splitTemplate(text, true)
	return !slices.ContainsFunc(t.pieces, func(p piece) bool { return p.star != noStar || p.name != "" })
}

// template compiles a text. Its stars are those of the first of the rule's conditions named that has as many of
// them in each of its patterns; without names they are plain characters.
func (c *compiler) template(key, text string, conditions []condition, names ...string) *template {
	t, err := splitTemplate(text, len(names) > 0)
	if err != nil {
		c.fail(key, err.Error(), placeholderHint)
		return nil
	}
	if t.stars == 0 {
		return &t
	}
	for _, name := range names {
		for _, one := range conditions {
			if v, ok := one.(*valueCondition); ok && v.isNamed(name) && v.patterns.stars() >= t.stars {
				t.from = v
				return &t
			}
		}
	}
	where := names[len(names)-1]
	if before := names[:len(names)-1]; len(before) > 0 {
		where = strings.Join(before, ", ") + " or " + where
	}
	hint := fmt.Sprintf("it stands for what the * in %s matched: each pattern there needs %s", where, starCount(t.stars))
	if !slices.Contains(addressKeys, key) {
		hint += `; for the character itself write \* (in single quotes)`
	}
	c.fail(key, fmt.Sprintf("has a * in %q that no pattern of this rule gives a text to", text), hint)
	return nil
}

// addressKeys are the keys of a rule that hold addresses.
var addressKeys = []string{"set_from", "set_envelope_from", "redirect_to"}

func starCount(n int) string {
	if n == 1 {
		return "a *"
	}
	return fmt.Sprintf("%d of them", n)
}

// isNamed reports whether a condition is that of a key; "header" is any header.NAME.
func (c *valueCondition) isNamed(key string) bool {
	return c.key == key || key == "header" && strings.HasPrefix(c.key, "header.")
}

// stars returns how many stars each of the patterns has at least that are not negated.
func (p *patterns) stars() int {
	if len(p.plain) == 0 {
		return 0
	}
	least := strings.Count(p.plain[0].glob, "*")
	for _, m := range p.plain {
		least = min(least, strings.Count(m.glob, "*"))
	}
	return least
}

// matched returns what the stars of the first pattern that matches stand for.
func (c *valueCondition) matched(in *Input) []string {
	for _, v := range c.values(in) {
		for i := range c.patterns.plain {
			if texts, ok := glob.Stars(c.patterns.plain[i].glob, v); ok {
				return texts
			}
		}
	}
	return nil
}

var errNoText = errors.New("has nothing to stand for")

// text returns a template for the message. The error names what has nothing to stand for.
func (w *work) text(t *template) (string, error) {
	if t.from != nil {
		return w.filled(t, t.from.matched(w.in))
	}
	return w.filled(t, nil)
}

// filled returns a template with these texts in the place of its stars.
func (w *work) filled(t *template, stars []string) (string, error) {
	var b strings.Builder
	for _, p := range t.pieces {
		text := p.text
		switch {
		case p.name != "":
			if text = w.named(p.name); text == "" {
				return "", fmt.Errorf("{%s} %w", p.name, errNoText)
			}
		case p.star >= len(stars):
			return "", fmt.Errorf("* %w", errNoText)
		case p.star >= 0:
			text = stars[p.star]
		}
		b.WriteString(oneLine(text))
	}
	return b.String(), nil
}

// address returns a text that has become the address of a mailbox.
func address(text string, err error) (string, error) {
	if err != nil {
		return "", err
	}
	path, err := mime.ParsePath(text, "")
	if err != nil {
		return "", fmt.Errorf("%q is not an address", text)
	}
	return path.String(), nil
}

// named returns what a name stands for; "" for nothing.
func (w *work) named(name string) string {
	client := &w.m.Envelope.Client
	switch name {
	case "user": // an account of this machine without the mark that tells it from names of users
		return strings.TrimPrefix(client.User, "uid:")
	case "listener":
		return client.Listener
	}
	return w.rule.hostname
}

// oneLine keeps what a program wrote from adding lines: a decoded subject may have them.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
