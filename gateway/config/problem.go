package config

import (
	"cmp"
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"mailhatch/gateway/config/hint"
	"mailhatch/upstream"
)

// Error is everything that is wrong with a config, in the order of its lines.
type Error struct {
	File     string
	Problems []Problem
}

// Problem is one thing that is wrong.
type Problem struct {
	Line    int    `json:"line,omitempty"` // 0 when the problem has no line of its own
	Key     string `json:"key,omitempty"`  // "route.via"; "" for the file as a whole
	Problem string `json:"problem"`
	Hint    string `json:"hint,omitempty"` // what to do; may be empty
}

// Error returns one line for each problem, "file:line: key: problem", and one for its hint.
func (e *Error) Error() string {
	var b strings.Builder
	for i, p := range e.Problems {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(place(e.File, p.Line))
		if p.Key != "" {
			b.WriteString(p.Key + ": ")
		}
		b.WriteString(p.Problem)
		if p.Hint != "" {
			b.WriteString("\n  hint: " + p.Hint)
		}
	}
	return b.String()
}

// place returns "file:line: ", as far as it is known.
func place(file string, line int) string {
	switch {
	case file == "":
		return ""
	case line == 0:
		return file + ": "
	}
	return fmt.Sprintf("%s:%d: ", file, line)
}

// reporter collects problems, at most one for a key: what follows from an error is not reported again.
type reporter struct {
	file     string
	lines    lineIndex
	problems []Problem
	bad      map[string]bool
	warnings []string

	references map[string]reference // by the paths of the values that they stand for
}

func (r *reporter) report(path, problem, hint string) {
	if r.isBad(path) {
		return
	}
	r.bad[path] = true
	r.problems = append(r.problems, Problem{
		Line: r.lines.at(path), Key: displayKey(path), Problem: r.conceal(path, problem), Hint: r.conceal(path, hint),
	})
}

// isBad reports whether the key, or what it stands in, has a problem already.
func (r *reporter) isBad(path string) bool {
	for ; path != ""; path = parentPath(path) {
		if r.bad[path] {
			return true
		}
	}
	return false
}

func (r *reporter) warn(path, format string, args ...any) {
	text := place(r.file, r.lines.at(path))
	if path != "" {
		text += displayKey(path) + ": "
	}
	r.warnings = append(r.warnings, text+r.conceal(path, fmt.Sprintf(format, args...)))
}

func (r *reporter) err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: r.file, Problems: r.problems}
}

// oneOf reports a value that is none of the allowed ones.
func (r *reporter) oneOf(path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	r.report(path, fmt.Sprintf("must be %s, not %q", either(allowed), value), didYouMean(value, allowed))
}

// either returns `"a", "b" or "c"`.
func either(list []string) string {
	var b strings.Builder
	for i, s := range list {
		switch {
		case i == 0:
		case i == len(list)-1:
			b.WriteString(" or ")
		default:
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%q", s)
	}
	return b.String()
}

// displayKey removes the indices from a path: the line number identifies the element.
func displayKey(path string) string {
	return regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")
}

// didYouMean returns a hint with the known name nearest to a mistyped one, "" when none is near.
func didYouMean(name string, known []string) string {
	if best := hint.Nearest(name, known); best != "" {
		return fmt.Sprintf("did you mean %q?", best)
	}
	return ""
}

// unknownKey returns the key that was probably meant, "" when none is near.
func (d *decoder) unknownKey(keyPath, key, tablePath string, known []string, present func(string) bool) string {
	where := "the top level of the config"
	if tablePath != "" {
		where = "[" + displayKey(tablePath) + "]"
	}
	table := displayKey(tablePath)
	if parentPath(tablePath) == "upstream" {
		table = "upstream"
	}
	meant, what := hint.Key(table, key, known, present, d.places[key])
	d.report(keyPath, "is not a key of "+where, what)
	return meant
}

// keyPlaces returns the tables of each key, as people write them; "" is the top level.
func keyPlaces(kinds []upstream.Kind) map[string][]string {
	places := map[string][]string{}
	addPlaces(places, "", reflect.ValueOf(&document{}).Elem())
	fields := map[string][]field{}
	collectFields(reflect.ValueOf(&upstreamTable{}).Elem(), fields)
	for _, k := range kinds {
		collectFields(reflect.ValueOf(k.New()).Elem(), fields)
	}
	for key := range fields {
		places[key] = append(places[key], "[upstream.NAME]")
	}
	return places
}

func addPlaces(places map[string][]string, table string, v reflect.Value) {
	fields := map[string][]field{}
	collectFields(v, fields)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		f := fields[key][0]
		_, ownForm := f.Addr().Interface().(encoding.TextUnmarshaler)
		inner := joinPath(strings.Trim(table, "[]"), key)
		switch {
		case f.Kind() == reflect.Struct && !ownForm:
			addPlaces(places, "["+inner+"]", f.Value)
		case f.Kind() == reflect.Slice && f.Type().Elem().Kind() == reflect.Struct && !takesText(f.Type().Elem()):
			addPlaces(places, "[["+inner+"]]", reflect.New(f.Type().Elem()).Elem())
		case f.Kind() != reflect.Map:
			places[key] = append(places[key], table)
		}
	}
}
