package main

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"mailhatch/cmd/mailhatch/command"
)

// TestEveryCommandIsDocumented: the table of doc/operations.md has each command, with the flags that its
// --help shows and no others. -c and --config are for all.
func TestEveryCommandIsDocumented(t *testing.T) {
	b, err := os.ReadFile("../../doc/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(b), "\n## The log")
	for _, m := range regexp.MustCompile(`(?m)^([A-Z]+) stands for `).FindAllStringSubmatch(section, -1) { // flags that rows name by a word
		_, stands, _ := strings.Cut(section, m[0])
		stands, _, _ = strings.Cut(stands, "\n\n")
		section = regexp.MustCompile(`(?m)^(\| .*?)\[?\b`+m[1]+`\b\]?`).ReplaceAllString(section, "${1}"+strings.ReplaceAll(stands, "\n", " "))
	}
	documented := map[string][]string{}
	for _, m := range regexp.MustCompile("(?m)^\\| `([a-z -]+)`(.*?) \\|").FindAllStringSubmatch(section, -1) {
		documented[m[1]] = flagNames(`(?:^|[\[ ])--?([a-z][a-z-]*)`, m[2])
	}
	for _, c := range command.Flatten(help()) {
		flags, ok := documented[c.Name]
		delete(documented, c.Name)
		if !ok {
			t.Errorf("%s is not in doc/operations.md", c.Name)
			continue
		}
		if c.Name == "sendmail" || c.Name == "queue" { // the flags of sendmail are in doc/sendmail.md, those of queue below it
			continue
		}
		var names []string
		for _, f := range c.Flags {
			names = append(names, f.Names...)
		}
		want := slices.DeleteFunc(flagNames(`(?m)^--?([a-z-]+)$`, strings.Join(names, "\n")), func(f string) bool { return f == "c" || f == "config" })
		if !slices.Equal(flags, want) {
			t.Errorf("%s: its flags are %q, doc/operations.md has %q", c.Name, want, flags)
		}
	}
	for name := range documented {
		t.Errorf("doc/operations.md has %s, which is no command", name)
	}
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
