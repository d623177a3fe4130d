package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	exampleSection = regexp.MustCompile(`^# -{20,} (.+)$`)
	exampleTable   = regexp.MustCompile(`^\[.+\]$`)
	exampleKey     = regexp.MustCompile(`^#?("[^"]+"|[a-z_]+) = .+$`)
)

// manConfig turns the commented example of a config into the reference of its keys: a section of the
// example is a section, a table a subsection, and the comment above a table or key explains it.
func manConfig(example string) string {
	var w strings.Builder
	var comment []string
	text := func() {
		for _, line := range comment {
			fmt.Fprintln(&w, manText(line))
		}
		comment = nil
	}
	fmt.Fprintln(&w, ".SH THE FILE")
	first := true // the comment at the top is no key's
	for line := range strings.SplitSeq(example, "\n") {
		switch {
		case exampleSection.MatchString(line):
			fmt.Fprintf(&w, ".SH %s\n", strings.ToUpper(manText(exampleSection.FindStringSubmatch(line)[1])))
		case exampleTable.MatchString(line):
			fmt.Fprintf(&w, ".SS %s\n", manText(line))
			text()
		case exampleKey.MatchString(line):
			fmt.Fprintf(&w, ".TP\n\\fB%s\\fR\n", manText(strings.TrimPrefix(line, "#")))
			if comment == nil {
				comment = []string{"As above."}
			}
			text()
		case strings.HasPrefix(line, "#"):
			comment = append(comment, strings.TrimPrefix(strings.TrimPrefix(line, "#"), " "))
		case line == "" && first:
			comment = comment[2:] // its title
			text()
			first = false
		case line == "" && comment != nil:
			fmt.Fprintln(&w, ".PP")
			text()
		}
	}
	return w.String()
}
