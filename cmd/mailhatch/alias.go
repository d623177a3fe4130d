package main

import (
	"path/filepath"
	"strings"
)

// byName returns the arguments of a program that may be called by the name of one it stands for:
// sendmail, mailq or newaliases, as the links of a package have it.
func byName(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	switch strings.TrimSuffix(filepath.Base(argv[0]), ".exe") {
	case "sendmail":
		return append([]string{"sendmail"}, argv[1:]...)
	case "mailq":
		return append([]string{"sendmail", "-bp"}, argv[1:]...)
	case "newaliases":
		return append([]string{"sendmail", "-bi"}, argv[1:]...)
	}
	return argv[1:]
}
