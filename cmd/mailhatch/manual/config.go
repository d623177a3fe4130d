package manual

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

// configKeys turns the commented example of a config into the reference of its keys: a section of the
// example is a section, a table a subsection, and the comment above a table or key explains it.
func configKeys(example string) string {
	var w strings.Builder
	var comment []string
	text := func() {
		for _, line := range comment {
			fmt.Fprintln(&w, Escape(line))
		}
		comment = nil
	}
	fmt.Fprintln(&w, ".SH THE FILE")
	first := true // the comment at the top belongs to no key
	for line := range strings.SplitSeq(example, "\n") {
		switch {
		case exampleSection.MatchString(line):
			fmt.Fprintf(&w, ".SH %s\n", strings.ToUpper(Escape(exampleSection.FindStringSubmatch(line)[1])))
		case exampleTable.MatchString(line):
			fmt.Fprintf(&w, ".SS %s\n", Escape(line))
			text()
		case exampleKey.MatchString(line):
			fmt.Fprintf(&w, ".TP\n\\fB%s\\fR\n", Escape(strings.TrimPrefix(line, "#")))
			if comment == nil { // its name says it, or a table above does
				fmt.Fprintln(&w, `\&`)
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
