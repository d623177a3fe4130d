package decode

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

// Reporter collects problems, at most one for a key: what follows from an error is not reported again.
type Reporter struct {
	File     string
	Lines    Lines
	Bad      map[string]bool // paths that have a problem
	Warnings []string        // "file:line: key: what is odd"

	problems []Problem

	references map[string]reference // by the paths of the values that they stand for
}

// Report notes a problem with a key and, if hint is not empty, what to do.
func (r *Reporter) Report(path, problem, hint string) {
	if r.IsBad(path) {
		return
	}
	r.Bad[path] = true
	r.problems = append(r.problems, Problem{
		Line: r.Lines.At(path), Key: display(path), Problem: r.told(path, problem), Hint: r.conceal(path, hint),
	})
}

// IsBad reports whether the key, or what it stands in, has a problem already.
func (r *Reporter) IsBad(path string) bool {
	for ; path != ""; path = parent(path) {
		if r.Bad[path] {
			return true
		}
	}
	return false
}

// Warn notes what is odd with a key.
func (r *Reporter) Warn(path, text string) {
	at := place(r.File, r.Lines.At(path))
	if path != "" {
		at += display(path) + ": "
	}
	r.Warnings = append(r.Warnings, at+r.told(path, text))
}

// Err returns the problems as an *Error, nil where there are none.
func (r *Reporter) Err() error {
	if len(r.problems) == 0 {
		return nil
	}
	slices.SortStableFunc(r.problems, func(a, b Problem) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: r.File, Problems: r.problems}
}

// OneOf reports a value that is none of the allowed ones.
func (r *Reporter) OneOf(path, value string, allowed ...string) {
	if slices.Contains(allowed, value) {
		return
	}
	r.Report(path, fmt.Sprintf("must be %s, not %q", hint.Either(allowed), value), hint.DidYouMean(value, allowed))
}

// display removes the indices from a path: the line number identifies the element.
func display(path string) string {
	return regexp.MustCompile(`\[\d+\]`).ReplaceAllString(path, "")
}

// unknownKey returns the key that was probably meant, "" when none is near.
func (d *Decoder) unknownKey(keyPath, key, tablePath string, known []string, present func(string) bool) string {
	where := "the top level of the config"
	if tablePath != "" {
		where = "[" + display(tablePath) + "]"
	}
	table := display(tablePath)
	if parent(tablePath) == "upstream" {
		table = "upstream"
	}
	meant, what := hint.Key(table, key, known, present, d.Places[key])
	d.Report(keyPath, "is not a key of "+where, what)
	return meant
}

// AddPlaces adds the keys of a struct and of the tables in it to the places of keys; the struct is that of a table as people
// write it, "" is the top level.
func AddPlaces(places map[string][]string, table string, pointer any) {
	addPlaces(places, table, reflect.ValueOf(pointer).Elem())
}

func addPlaces(places map[string][]string, table string, v reflect.Value) {
	fields := map[string][]field{}
	collectFields(v, fields)
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		f := fields[key][0]
		_, ownForm := f.Addr().Interface().(encoding.TextUnmarshaler)
		inner := Join(strings.Trim(table, "[]"), key)
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
