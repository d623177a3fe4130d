package decode

import (
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"mailhatch/gateway/config/hint"
	"mailhatch/upstream"
)

// reference is a text of the config, such as "env:NAME", and the value that it stands for.
type reference struct{ name, value string }

// wellFormed matches references that can be meant as such, whatever form the text has.
var wellFormed = regexp.MustCompile(`^(env:[A-Za-z_][\w.-]*|cred:[^\s/*?]+|file:[^\s*?][^*?]*)$`)

// dereference returns what a text stands for. It is false where that cannot be told, which it reports.
func (d *Decoder) Dereference(path, text string, f hint.Form) (string, bool) {
	switch {
	case d.referenceAt(path) != nil: // a value looks like anything
		return text, true
	case wellFormed.MatchString(text):
	case upstream.IsReference(text) && !f.IsText():
		d.Report(path, fmt.Sprintf("%q does not say where the value is", text), hint.Reference(text))
		return "", false
	default:
		problem, what := hint.Placeholder(text, f)
		if problem != "" {
			d.Report(path, problem, what)
		}
		return text, problem == ""
	}
	value, err := upstream.Resolve(text)
	if err != nil {
		d.lacks(path, err)
		return "", false
	}
	if d.references == nil {
		d.references = map[string]reference{}
	}
	d.references[path] = reference{text, value}
	return value, true
}

// standIn is what a secret is taken for that is not known here: any kind of upstream opens with it.
const standIn = "not-known-here"

// lacks reports a value that cannot be told. It is true where that is a warning: then nothing that follows from it is
// a problem.
func (d *Decoder) lacks(path string, err error) bool {
	if !d.Lenient || !errors.Is(err, upstream.ErrElsewhere) {
		d.Report(path, err.Error(), "")
		return false
	}
	if !d.IsBad(path) {
		d.Warn(path, err.Error()+" (the service may have it)")
		d.Bad[path] = true
		d.Lacking = append(d.Lacking, Problem{Line: d.Lines.At(path), Key: path, Problem: err.Error()})
	}
	return true
}

// typed returns a value that was referred to as what the key takes: a number, true or false, or text.
func (d *Decoder) typed(path, text string, into reflect.Value) any {
	if d.referenceAt(path) == nil {
		return text
	}
	if _, ownForm := into.Addr().Interface().(interface{ UnmarshalText([]byte) error }); ownForm {
		return text
	}
	switch into.Kind() {
	case reflect.Bool:
		if b, err := strconv.ParseBool(text); err == nil {
			return b
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Float32, reflect.Float64:
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			return n
		}
		if n, err := strconv.ParseFloat(text, 64); err == nil {
			return n
		}
	}
	return text
}

// split returns the items of a list that is written as one text: the text itself or, where it was referred to,
// what stands there between commas or white space. Free text may hold both: there each line is an item.
func (d *Decoder) split(path, text string, f hint.Form) []any {
	ref := d.referenceAt(path)
	if ref == nil {
		return []any{text}
	}
	between := isSeparator
	if f.IsText() {
		between = func(r rune) bool { return r == '\n' || r == '\r' }
	}
	var items []any
	for i, item := range strings.FieldsFunc(text, between) {
		items = append(items, item)
		d.references[Index(path, i)] = reference{ref.name, item}
	}
	return items
}

func isSeparator(r rune) bool { return r == ',' || unicode.IsSpace(r) }

// splice puts the items that references of a list stand for in their places.
func (d *Decoder) splice(path string, items []any, f hint.Form) []any {
	isReference := func(item any) bool { text, ok := item.(string); return ok && wellFormed.MatchString(text) }
	if d.referenceAt(path) != nil || !slices.ContainsFunc(items, isReference) {
		return items
	}
	lines := make([]int, len(items))
	for i := range items {
		lines[i] = d.Lines.At(Index(path, i))
	}
	var all []any
	for i, item := range items {
		at := Index(path, len(all))
		d.Lines[at] = lines[i]
		if !isReference(item) {
			all = append(all, item)
			continue
		}
		value, known := d.Dereference(at, item.(string), f)
		if !known {
			all = append(all, "")
			continue
		}
		ref := d.references[at]
		for _, part := range d.split(at, value, f) {
			at = Index(path, len(all))
			d.Lines[at], d.references[at] = lines[i], reference{ref.name, part.(string)}
			all = append(all, part)
		}
	}
	return all
}

// referenceAt returns the reference that a value, or what it stands in, was taken from; nil for none.
func (r *Reporter) referenceAt(path string) *reference {
	for ; path != ""; path = parent(path) {
		if ref, ok := r.references[path]; ok {
			return &ref
		}
	}
	return nil
}

// told returns a message about a value with the reference that it was taken from.
func (r *Reporter) told(path, text string) string {
	ref := r.referenceAt(path)
	if ref == nil {
		return text
	}
	hidden := r.conceal(path, text)
	if hidden == text {
		return fmt.Sprintf("%s (in %s)", text, ref.name)
	}
	return fmt.Sprintf("%s (%s is what %s holds)", hidden, upstream.Redacted, ref.name)
}

// conceal takes the value of a reference out of a message: it may be a secret, put where none belongs.
func (r *Reporter) conceal(path, text string) string {
	ref := r.referenceAt(path)
	if ref == nil {
		return text
	}
	hidden := hide(text, ref.value)
	if hidden == text {
		for _, part := range strings.FieldsFunc(ref.value, isSeparator) {
			hidden = hide(hidden, part)
		}
	}
	return hidden
}

// hide takes a value out of a text, also where it stands in lower case.
func hide(text, value string) string {
	for _, v := range []string{value, strings.ToLower(value)} {
		text = strings.ReplaceAll(text, strconv.Quote(v), strconv.Quote(upstream.Redacted))
		const guessable = 3 // characters of a word that may stand in any message
		if len(v) > guessable {
			text = strings.ReplaceAll(text, v, upstream.Redacted)
		}
	}
	return text
}
