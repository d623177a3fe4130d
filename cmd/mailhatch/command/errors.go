package command

import (
	"regexp"
	"strings"
)

var (
	unknownFlag = regexp.MustCompile(`^flag provided but not defined: -(.*)$`)
	bareFlag    = regexp.MustCompile(`^flag needs an argument: -(.*)$`)
	wrongValue  = regexp.MustCompile(`(?s)^invalid (?:boolean )?value ("(?:[^"\\]|\\.)*") for (?:flag )?-([^ :]+): (.*)$`)
)

// FlagError returns what package flag reports about a command line, with flags as people write them.
func FlagError(err error) error {
	text := err.Error()
	if m := unknownFlag.FindStringSubmatch(text); m != nil {
		return Usagef("unknown flag %s", Dashes(m[1]))
	}
	if m := bareFlag.FindStringSubmatch(text); m != nil {
		return Usagef("%s needs an argument", Dashes(m[1]))
	}
	if m := wrongValue.FindStringSubmatch(text); m != nil {
		if m[3] == "parse error" {
			return Usagef("%s %s is not a value that it takes", Dashes(m[2]), m[1])
		}
		return Usagef("%s %s: %s", Dashes(m[2]), m[1], m[3])
	}
	return Usagef("%s", text)
}

// Dashes returns a flag as it is typed, by its name: -c, --config.
func Dashes(name string) string {
	if len(name) == 1 {
		return "-" + name
	}
	return "--" + strings.TrimLeft(name, "-")
}
