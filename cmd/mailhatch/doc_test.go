package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestEveryCommandIsDocumented: the table of doc/operations.md has each command, with the flags that its
// --help shows and no others. -c and --config are for all.
func TestEveryCommandIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../doc/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(b), "\n## The log")
	documented := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z -]+)`(.*?) \\|").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = flagNames(`(?:^|[\[ ])--?([a-z][a-z-]*)`, m[2])
	}
	for _, name := range allCommands() {
		flags, ok := documented[name]
		delete(documented, name)
		if !ok {
			t.Errorf("%s is not in doc/operations.md", name)
			continue
		}
		if name == "sendmail" || name == "queue" { // the flags of sendmail are in doc/sendmail.md, those of queue below it
			continue
		}
		var help bytes.Buffer
		a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: &help}
		if code := a.main(context.Background(), append(strings.Fields(name), "--help")); code != 0 {
			t.Errorf("%s --help: exit code %d", name, code)
		}
		want := slices.DeleteFunc(flagNames(`(?m)^  -([a-z-]+)`, help.String()), func(f string) bool { return f == "c" || f == "config" })
		if !slices.Equal(flags, want) {
			t.Errorf("%s: its flags are %q, doc/operations.md has %q", name, want, flags)
		}
	}
	for name := range documented {
		t.Errorf("doc/operations.md has %s, which is no command", name)
	}
}

// allCommands gives the words after mailhatch.
func allCommands() []string {
	var names []string
	for _, c := range commands() {
		names = append(names, c.name)
	}
	for _, c := range queueCommands() {
		names = append(names, "queue "+c.name)
	}
	return names
}

// flagNames finds the names of flags in a text, sorted.
func flagNames(pattern, text string) []string {
	var names []string
	for _, m := range regexp.MustCompile(pattern).FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	slices.Sort(names)
	return slices.Compact(names)
}
