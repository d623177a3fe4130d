package config

import (
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"mailhatch/gateway/alert"
	"mailhatch/gateway/config/decode"
	"mailhatch/gateway/route"
	"mailhatch/upstream/api/events"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/oauth"
)

// documentedKeys reads doc/configuration.md: by heading, the keys of its tables and their defaults.
func documentedKeys(t *testing.T) map[string]map[string]string {
	t.Helper()
	b, err := os.ReadFile("../../doc/configuration.md")
	if err != nil {
		t.Fatal(err)
	}
	sections := map[string]map[string]string{}
	heading := ""
	row := regexp.MustCompile("^\\| `([a-z0-9_]+)` \\| (.+?) \\| (.+) \\|$")
	for line := range strings.Lines(string(b)) {
		line = strings.TrimRight(line, "\r\n")
		if strings.HasPrefix(line, "##") {
			heading = strings.TrimLeft(line, "# ")
			sections[heading] = map[string]string{}
		}
		if m := row.FindStringSubmatch(line); m != nil {
			if _, twice := sections[heading][m[1]]; twice {
				t.Errorf("%s: %s stands there twice", heading, m[1])
			}
			sections[heading][m[1]] = m[2]
		}
	}
	return sections
}

// keysOfAPIs is the heading of what the tables of types need not repeat.
const keysOfAPIs = "Keys of all APIs"

// TestEveryKeyIsDocumented: doc/configuration.md has each key of the structs that read the config, no
// other, and the defaults that hold.
func TestEveryKeyIsDocumented(t *testing.T) {
	file := defaultFile()
	listener := Listener{}
	listener.SetDefaults()
	common := defaultUpstream()
	told := alert.Settings{}
	told.SetDefaults()
	structs := map[string]any{
		"Top level": &file, "[[listener]]": &listener, "[[listener.user]]": &User{}, "[upstream.NAME]": &common,
		"[[route]]": &route.Rule{}, "[[rewrite]]": &rewriteTable{}, "[identity]": &file.Identity, "[upstream.NAME.oauth2]": &oauth.Settings{}, "[upstream.NAME.events]": new(events.Defaults()), "[queue]": &file.Queue, "[suppression]": &file.Suppression, "[events]": &file.Events, "[admin]": &file.Admin, "[[alert]]": &told, "[canary]": &file.Canary, "[log]": &file.Log,
	}
	for _, k := range kinds.Kinds() {
		structs[`type = "`+k.Name+`"`] = k.New()
	}
	docs := documentedKeys(t)
	for heading, s := range structs {
		t.Run(heading, func(t *testing.T) { checkDocumented(t, docs, heading, s) })
	}
	for heading, keys := range docs {
		if len(keys) > 0 && structs[heading] == nil && heading != keysOfAPIs {
			t.Errorf("%s is no table of the config", heading)
		}
	}
}

// checkDocumented compares one table of the document with the struct that it is read into.
func checkDocumented(t *testing.T, docs map[string]map[string]string, heading string, defaults any) {
	fields := decode.Fields(defaults)
	for key, field := range fields {
		given, ok := docs[heading][key]
		if shared, is := docs[keysOfAPIs][key]; !ok && is && strings.HasPrefix(heading, "type = ") {
			given, ok = shared, true
		}
		switch {
		case ownHeading(docs, heading, key) || key == "type" && heading != "[upstream.NAME]":
			if ok {
				t.Errorf("%s has a heading or a table of its own", key)
			}
			continue
		case !ok:
			t.Errorf("%s is not in doc/configuration.md", key)
			continue
		}
		value, isValue := strings.CutPrefix(given, "`")
		value = strings.TrimSuffix(value, "`")
		if !isValue || !regexp.MustCompile(`^["\[0-9tf]`).MatchString(value) || fields[value].IsValid() {
			if !field.IsZero() && !ownHeading(docs, "[upstream.NAME]", key) {
				t.Errorf("%s: the default is %v, the document has words: %s", key, field, given)
			}
			continue
		}
		checkDefault(t, key, value, field)
	}
	for key := range docs[heading] {
		if !fields[key].IsValid() {
			t.Errorf("%s is no key", key)
		}
	}
}

// ownHeading tells keys that are a table, or a list of tables, with a heading of its own.
func ownHeading(docs map[string]map[string]string, heading, key string) bool {
	if strings.HasPrefix(heading, "type = ") { // tables of kinds stand below [upstream.NAME]
		return false
	}
	if table := strings.Trim(heading, "[]"); table != heading {
		key = table + "." + key
	}
	return docs["["+key+"]"] != nil || docs["[["+key+"]]"] != nil || docs["["+key+".NAME]"] != nil
}

// checkDefault reads a documented default as the config would be read.
func checkDefault(t *testing.T, key, value string, want reflect.Value) {
	d, root, err := decode.Parse("", key+" = "+value)
	if err != nil {
		t.Errorf("%s: %v", key, err)
		return
	}
	table := reflect.New(reflect.StructOf([]reflect.StructField{{Name: "Value", Type: want.Type(), Tag: reflect.StructTag(`toml:"` + key + `"`)}}))
	d.Table("", root, table.Interface())
	got := table.Elem().Field(0)
	if err := d.Err(); err != nil {
		t.Errorf("%s: the documented default: %v", key, err)
	}
	// Some kinds put their defaults in when they are opened.
	if !want.IsZero() && !reflect.DeepEqual(got.Interface(), want.Interface()) {
		t.Errorf("%s: the default is %v, the document has %s", key, want, value)
	}
}
