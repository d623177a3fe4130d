package decode

import (
	"encoding"
	"fmt"
	"maps"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"mailhatch/gateway/config/hint"
	"mailhatch/upstream"
)

// Setting is a key as it is in force.
type Setting struct {
	Key   string // its path
	Value string // as a config might spell it; secrets are ***
	Line  int    // where it stands; 0: it has its default
	From  string // what it was read from, such as "env:NAME"
}

// Cut splits the path of a key: "upstream.main" and "type". The table of a key outside of tables is "".
func (s *Setting) Cut() (table, key string) {
	i := strings.LastIndexByte(s.Key, '.')
	return s.Key[:max(i, 0)], s.Key[i+1:]
}

// decoded is a table that was put into structs.
type decoded struct {
	path    string
	table   map[string]any
	structs []any
}

// Settings returns all keys that have a value, those of one table together, the tables in the order of the file. What
// was decoded may have been completed meanwhile.
func (d *Decoder) Settings() []Setting {
	tables := map[string]decoded{} // the last one of a path has most keys
	for _, t := range d.tables {
		tables[t.path] = t
	}
	var all [][]Setting
	for paths := slices.Sorted(maps.Keys(tables)); len(paths) > 0; paths = paths[1:] {
		t := tables[paths[0]]
		fields := map[string][]field{}
		for _, s := range t.structs {
			collectFields(reflect.ValueOf(s).Elem(), fields)
		}
		var list []Setting
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			path, f := Join(t.path, key), fields[key][0]
			if s, ok := d.setting(path, t.table[key], f); ok {
				list = append(list, s)
			}
			if _, known := tables[path]; !known && isTable(f.Value) { // it is not in the file
				tables[path] = decoded{path: path, structs: []any{f.Addr().Interface()}}
				paths = append(paths, path)
			}
		}
		if list != nil {
			all = append(all, list)
		}
	}
	first := func(list []Setting) int {
		line := 1 << 30 // what is not in the file comes last
		for _, s := range list {
			if s.Line > 0 {
				line = min(line, s.Line)
			}
		}
		return line
	}
	slices.SortStableFunc(all, func(a, b []Setting) int { return first(a) - first(b) })
	return slices.Concat(all...)
}

// setting shows a key; false where it has no value, or its table shows it.
func (d *Decoder) setting(path string, raw any, f field) (Setting, bool) {
	s := Setting{Key: path, Line: d.Lines[path], From: d.references[path].name}
	if text, ok := raw.(string); ok && upstream.IsReference(text) && (f.form == hint.Secret || isSecret(f.Value)) {
		s.From = text
	}
	value, ok := spelled(f.Value)
	if ok && f.form == hint.Secret {
		value = upstream.Redacted
	}
	s.Value = value
	return s, ok && (s.Line > 0 || !f.IsZero())
}

// isTable reports whether a value is a table of keys of its own.
func isTable(v reflect.Value) bool {
	_, text := spelled(v)
	return v.Kind() == reflect.Struct && v.CanAddr() && !text && !isSecret(v)
}

// spelled writes a value as a config might spell it. It is false for what has no value of its own.
func spelled(v reflect.Value) (string, bool) {
	if v.CanAddr() && v.Kind() != reflect.Pointer {
		v = v.Addr() // which has all methods
	}
	switch x := v.Interface().(type) {
	case upstream.Secret:
		return upstream.Redacted, !x.IsZero()
	case *upstream.Secret:
		return upstream.Redacted, !x.IsZero()
	case *upstream.Duration:
		return quoted(span(x.Duration)), true
	case upstream.Duration:
		return quoted(span(x.Duration)), true
	case encoding.TextMarshaler:
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return "", false
		}
		b, err := x.MarshalText()
		return quoted(string(b)), err == nil && len(b) > 0
	case fmt.Stringer:
		if v.Kind() == reflect.Pointer && v.IsNil() {
			return "", false
		}
		return quoted(x.String()), true
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return "", false
		}
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return quoted(v.String()), true
	case reflect.Bool, reflect.Int, reflect.Int64, reflect.Float64:
		return fmt.Sprint(v.Interface()), true
	case reflect.Uint32:
		return fmt.Sprintf("%q", fmt.Sprintf("%04o", v.Uint())), true // of files
	case reflect.Slice:
		return items(v)
	case reflect.Map:
		return entries(v)
	}
	return "", false
}

// span writes a duration as a config spells it: "30d", "1h30m".
func span(d time.Duration) string {
	if day := 24 * time.Hour; d >= day && d%day == 0 {
		return strconv.Itoa(int(d/day)) + "d"
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func items(v reflect.Value) (string, bool) {
	list := make([]string, v.Len())
	for i := range list {
		text, ok := spelled(v.Index(i))
		if !ok {
			return "", false
		}
		list[i] = text
	}
	return "[" + strings.Join(list, ", ") + "]", v.Len() > 0
}

func entries(v reflect.Value) (string, bool) {
	var list []string
	for _, key := range v.MapKeys() {
		text, ok := spelled(v.MapIndex(key))
		if !ok {
			return "", false
		}
		list = append(list, Join("", key.String())+" = "+text)
	}
	slices.Sort(list)
	return "{ " + strings.Join(list, ", ") + " }", len(list) > 0
}

// quoted quotes a text; of an address with a password that is left out.
func quoted(s string) string {
	if u, err := url.Parse(s); err == nil && u.User != nil && u.Host != "" {
		s = u.Redacted()
	}
	return strconv.Quote(s)
}
