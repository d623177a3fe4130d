// Package decode puts the TOML text of a config into structs. It goes on after an error, knows the line of each key,
// and reads what stands elsewhere (env:, file:, cred:).
package decode

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"mailhatch/gateway/config/hint"
	"mailhatch/gateway/config/value"
	"mailhatch/upstream"
)

// Decoder puts the keys of TOML tables into structs with `toml` tags. Unlike the library's own
// Decoder it goes on after an error, takes names exactly as they are written and knows all keys.
type Decoder struct {
	*Reporter
	Partial        bool                // other keys than those of the structs are passed over
	Places         map[string][]string // the tables that have a key of this name, as people write them; "" is the top level
	LiteralSecrets []string            // paths of secrets that stand in the file itself
	SecretFiles    []string            // files that hold secrets
	Lenient        bool                // what is not known here, though the service may know it, is a warning
	Lacking        []Problem           // such values by their paths, and why

	tables []decoded
}

// field is what a key is read into.
type field struct {
	reflect.Value
	form hint.Form
}

// Defaulter is implemented by elements of arrays of tables that have defaults.
type Defaulter interface{ SetDefaults() }

// tomlValue is implemented by types that take a TOML value of more than one type.
type tomlValue interface{ UnmarshalTOML(any) error }

// Table decodes one table into several structs (pointers) that share it. A key is unknown when no struct has it.
func (d *Decoder) Table(path string, table map[string]any, structs ...any) {
	d.tables = append(d.tables, decoded{path, table, structs})
	fields := map[string][]field{}
	for _, s := range structs {
		collectFields(reflect.ValueOf(s).Elem(), fields)
	}
	present := func(key string) bool { _, there := table[key]; return there }
	for _, key := range slices.Sorted(maps.Keys(table)) {
		keyPath := Join(path, key)
		if len(fields[key]) == 0 && !d.Partial {
			meant := d.unknownKey(keyPath, key, path, slices.Sorted(maps.Keys(fields)), present)
			if meant != "" && !present(meant) {
				d.Bad[Join(path, meant)] = true // that it is missing needs no telling
			}
		}
		for _, f := range fields[key] {
			d.value(keyPath, table[key], f.Value, f.form)
		}
	}
}

// collectFields finds the fields with toml tags, those of embedded structs included. With the option
// "size" an int64 is written as a value.Size; the other options are forms.
func collectFields(v reflect.Value, into map[string][]field) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		name, option, _ := strings.Cut(f.Tag.Get("toml"), ",")
		switch {
		case name == "-":
		case option == "size":
			into[name] = append(into[name], field{Value: v.Field(i).Addr().Convert(reflect.TypeFor[*value.Size]()).Elem()})
		case name != "" && f.IsExported():
			into[name] = append(into[name], field{v.Field(i), hint.Form(option)})
		case f.Anonymous && f.Type.Kind() == reflect.Struct:
			collectFields(v.Field(i), into)
		}
	}
}

func (d *Decoder) value(path string, value any, into reflect.Value, f hint.Form) {
	if into.Kind() == reflect.Pointer {
		if into.IsNil() {
			into.Set(reflect.New(into.Type().Elem()))
		}
		d.value(path, value, into.Elem(), f)
		return
	}
	if s, isText := value.(string); isText && !isSecret(into) && into.Kind() != reflect.Interface {
		resolved, ok := d.Dereference(path, s, f)
		if !ok {
			return
		}
		value = d.typed(path, resolved, into)
	}
	switch target := into.Addr().Interface().(type) {
	case tomlValue:
		if err := target.UnmarshalTOML(value); err != nil {
			d.Report(path, err.Error(), "")
		}
		return
	case encoding.TextUnmarshaler:
		d.text(path, value, target)
		return
	}
	switch into.Kind() {
	case reflect.Struct:
		if table, ok := value.(map[string]any); ok {
			d.Table(path, table, into.Addr().Interface())
		} else {
			d.mismatch(path, "a table", value)
		}
	case reflect.Slice:
		d.slice(path, value, into, f)
	case reflect.Map:
		d.mapping(path, value, into, f)
	case reflect.Interface:
		into.Set(reflect.ValueOf(value))
	default:
		d.scalar(path, value, into)
	}
}

// text decodes a string into an encoding.TextUnmarshaler.
func (d *Decoder) text(path string, given any, target encoding.TextUnmarshaler) {
	s, isString := given.(string)
	if !isString {
		switch target.(type) {
		case *upstream.Duration, *value.Size:
			s = fmt.Sprint(given) // their error: a unit is missing
		default:
			d.mismatch(path, "text in quotes", given)
			return
		}
	}
	_, secret := target.(*upstream.Secret)
	if secret && strings.HasPrefix(s, "env:") && !wellFormed.MatchString(s) {
		d.Report(path, fmt.Sprintf("%q does not say where the value is", s), hint.Reference(s))
		return
	}
	if problem, what := hint.Placeholder(s, hint.Secret); secret && problem != "" {
		d.Report(path, problem, what)
		return
	}
	if err := target.UnmarshalText([]byte(s)); err != nil {
		if d.lacks(path, err) && secret {
			*target.(*upstream.Secret) = upstream.NewSecret(standIn)
		}
		return
	}
	if !secret {
		return
	}
	if isLiteralSecret(s) {
		d.LiteralSecrets = append(d.LiteralSecrets, path)
	} else if file, ok := strings.CutPrefix(s, "file:"); ok {
		d.SecretFiles = append(d.SecretFiles, file)
	}
}

func isSecret(v reflect.Value) bool { return v.Type() == reflect.TypeFor[upstream.Secret]() }

// isLiteralSecret reports whether a secret stands in the file for all to read; a bcrypt hash may.
func isLiteralSecret(s string) bool {
	return s != "" && !upstream.IsReference(s) && !strings.HasPrefix(s, "$2")
}

func (d *Decoder) slice(path string, value any, into reflect.Value, f hint.Form) {
	var items []any
	switch v := value.(type) {
	case []any:
		items = v
	case []map[string]any:
		for _, t := range v {
			items = append(items, t)
		}
	case string: // a list of one may be written without brackets
		if takesText(into.Type().Elem()) {
			items = d.split(path, v, f)
			break
		}
		d.mismatch(path, "a list", value)
		return
	default:
		if _, isTable := value.(map[string]any); isTable && into.Type().Elem().Kind() == reflect.Struct {
			key := display(path)
			d.Report(path, "is a list of tables", fmt.Sprintf("write [[%s]], not [%s]", key, key))
			return
		}
		d.mismatch(path, "a list", value)
		return
	}
	if takesText(into.Type().Elem()) {
		items = d.splice(path, items, f)
	}
	out := reflect.MakeSlice(into.Type(), len(items), len(items))
	for i, item := range items {
		element := out.Index(i)
		if e, ok := element.Addr().Interface().(Defaulter); ok {
			e.SetDefaults()
		}
		d.value(Index(path, i), item, element, f)
	}
	into.Set(out)
}

// takesText reports whether a list element of this type is written as text.
func takesText(t reflect.Type) bool {
	return t.Kind() == reflect.String || reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

func (d *Decoder) mapping(path string, value any, into reflect.Value, f hint.Form) {
	table, ok := value.(map[string]any)
	if !ok {
		d.mismatch(path, "a table", value)
		return
	}
	out := reflect.MakeMap(into.Type())
	for _, key := range slices.Sorted(maps.Keys(table)) {
		element := reflect.New(into.Type().Elem()).Elem()
		d.value(Join(path, key), table[key], element, f)
		out.SetMapIndex(reflect.ValueOf(key), element)
	}
	into.Set(out)
}

func (d *Decoder) scalar(path string, value any, into reflect.Value) {
	switch into.Kind() {
	case reflect.String:
		if s, ok := value.(string); ok {
			into.SetString(s)
		} else {
			d.mismatch(path, "text in quotes", value)
		}
	case reflect.Bool:
		if b, ok := value.(bool); ok {
			into.SetBool(b)
		} else {
			d.mismatch(path, "true or false", value)
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n, ok := value.(int64); ok && !into.OverflowInt(n) {
			into.SetInt(n)
		} else {
			d.mismatch(path, "a whole number", value)
		}
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n, ok := value.(int64); ok && n >= 0 && !into.OverflowUint(uint64(n)) {
			into.SetUint(uint64(n))
		} else {
			d.mismatch(path, "a whole number that is not negative", value)
		}
	case reflect.Float32, reflect.Float64:
		switch n := value.(type) {
		case int64:
			into.SetFloat(float64(n))
		case float64:
			into.SetFloat(n)
		default:
			d.mismatch(path, "a number", value)
		}
	default:
		d.Report(path, "cannot be set from the config", "")
	}
}

// mismatch names the types only, because the value may be a secret.
func (d *Decoder) mismatch(path, want string, value any) {
	got := "a date or time"
	switch v := value.(type) {
	case string:
		got = "text"
	case bool:
		got = strconv.FormatBool(v)
	case int64, float64:
		got = "a number"
	case map[string]any:
		got = "a table"
	case []any, []map[string]any:
		got = "a list"
	}
	if got == "a number" && strings.Contains(want, "number") {
		got = "this number"
	}
	d.Report(path, "must be "+want+", not "+got, hint.Quoting(want, value))
}

// Fields returns what the keys of structs (pointers) that share a table are read into, by key.
func Fields(structs ...any) map[string]reflect.Value {
	fields := map[string][]field{}
	for _, s := range structs {
		collectFields(reflect.ValueOf(s).Elem(), fields)
	}
	values := map[string]reflect.Value{}
	for key, list := range fields {
		values[key] = list[0].Value
	}
	return values
}
