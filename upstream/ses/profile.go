package ses

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// shared is what AWS's config and credentials files say, https://docs.aws.amazon.com/sdkref/latest/guide/file-format.html.
// The library reads them too, in a package that brings the clients of three services which no gateway uses, a fortieth
// of the program.
type shared struct {
	profiles map[string]section
	services map[string]section
}

// section has the values of a profile by their keys in lower case. Those indented below an empty value have its key and a
// dot before their own.
type section map[string]string

// readShared reads both files; those that are not there are empty.
func readShared() (*shared, error) {
	s := &shared{map[string]section{}, map[string]section{}}
	home, _ := os.UserHomeDir() // without one, the files have to be named
	for _, f := range []struct {
		env, name string
		isConfig  bool
	}{{"AWS_CONFIG_FILE", "config", true}, {"AWS_SHARED_CREDENTIALS_FILE", "credentials", false}} {
		text, err := os.ReadFile(cmp.Or(os.Getenv(f.env), filepath.Join(home, ".aws", f.name)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		s.read(string(text), f.isConfig)
	}
	return s, nil
}

// read adds the values of a file. As in AWS's tools, what is neither section nor value is passed over, and what comes later wins.
func (s *shared) read(text string, isConfig bool) {
	var in section
	above := ""
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n")
		bare := strings.TrimLeft(line, " \t")
		switch {
		case bare == "" || bare[0] == '#' || bare[0] == ';':
		case line[0] == '[':
			in, above = s.section(line, isConfig), ""
		default:
			i := strings.IndexAny(bare, "=:")
			if in == nil || i < 0 {
				continue
			}
			key, value := strings.ToLower(strings.TrimSpace(bare[:i])), strings.TrimSpace(withoutComment(bare[i+1:]))
			if len(bare) == len(line) {
				above = key
			} else if above != "" && in[above] == "" {
				key = above + "." + key
			}
			in[key] = value
		}
	}
}

// withoutComment cuts off what begins with a blank and # or ;.
func withoutComment(value string) string {
	for _, mark := range []string{" #", " ;", "\t#", "\t;"} {
		value, _, _ = strings.Cut(value, mark)
	}
	return value
}

// section returns the one that a line begins, nil for one that does not matter here. In the credentials file the profiles
// stand without the word.
func (s *shared) section(line string, isConfig bool) section {
	title, _, _ := strings.Cut(line[1:], "]")
	kind, name, two := strings.Cut(strings.TrimSpace(title), " ")
	name = strings.Trim(strings.TrimSpace(name), `"'`)
	of := s.profiles
	switch {
	case !two && (!isConfig || kind == defaultProfile):
		name = strings.Trim(kind, `"'`)
	case isConfig && kind == "services":
		of = s.services
	case !isConfig || kind != "profile" || name == "":
		return nil
	}
	if of[name] == nil {
		of[name] = section{}
	}
	return of[name]
}

const defaultProfile = "default"

// environment returns the first of these variables that is set.
func environment(names ...string) string {
	for _, name := range names {
		if v := os.Getenv(name); v != "" {
			return v
		}
	}
	return ""
}
