// Package manual generates manual pages and the completions of shells from the descriptions of commands.
package manual

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
)

// The config reference is the example of the repository; go generate copies it to where it can be
// embedded.
//
//go:generate cp ../../../config.example.toml pages/config.example.toml

//go:embed pages/config.example.toml
var ExampleConfig string

//go:embed pages/mailhatch.1
var mailhatchPage string

//go:embed pages/sendmail.1mailhatch
var sendmailPage string

//go:embed pages/mailhatch.toml.5
var configPage string

// Pages returns the manual pages by the names of their files, in man(7). Their prose is in pages/;
// commands, flags and keys replace .\" COMMANDS, .\" FLAGS and .\" KEYS.
func Pages(list []command.Description) map[string]string {
	fill := func(page, mark, text string) string {
		return wrap(strings.Replace(page, ".\\\" "+mark+"\n", text, 1))
	}
	var commands, flags strings.Builder
	for _, c := range list {
		writeCommand(&commands, &c)
		if c.Name == "sendmail" {
			writeFlags(&flags, c.Flags)
		}
	}
	return map[string]string{
		"mailhatch.1":         fill(mailhatchPage, "COMMANDS", commands.String()),
		"sendmail.1mailhatch": fill(sendmailPage, "FLAGS", flags.String()),
		"mailhatch.toml.5":    fill(configPage, "KEYS", configKeys(ExampleConfig)),
	}
}

// writeCommand writes a command and those below it. The flags of sendmail have a page of their own.
func writeCommand(w *strings.Builder, c *command.Description) {
	fmt.Fprintf(w, ".SS %s\n%s.\n", Escape(c.Synopsis()), Escape(sentence(c.Doc)))
	if c.Name == "sendmail" {
		w.WriteString("See\n.BR sendmail (1mailhatch).\n")
		return
	}
	writeFlags(w, slices.DeleteFunc(slices.Clone(c.Flags), func(f command.Flag) bool { return slices.Contains(f.Names, "--config") }))
	for i := range c.Sub {
		writeCommand(w, &c.Sub[i])
	}
}

func writeFlags(w *strings.Builder, flags []command.Flag) {
	for _, f := range flags {
		var names []string
		for _, name := range f.Names {
			names = append(names, "\\fB"+Escape(name)+"\\fR")
		}
		w.WriteString(".TP\n" + strings.Join(names, ", "))
		if f.Value != "" {
			w.WriteString(" \\fI" + Escape(f.Value) + "\\fR")
		}
		w.WriteString("\n" + Escape(sentence(f.Doc)) + ".\n")
	}
}

// sentence returns s with a capital first letter.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// Escape protects text from being interpreted by roff.
func Escape(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// wrap breaks long lines of text; tags and examples stay as they are.
func wrap(page string) string {
	const limit = 78
	var w strings.Builder
	verbatim := false
	previous := ""
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, ".EX"), strings.HasPrefix(line, ".EE"):
			verbatim = strings.HasPrefix(line, ".EX")
		case verbatim, strings.HasPrefix(line, "."), strings.HasPrefix(previous, ".TP"):
		default:
			for len(line) > limit {
				i := strings.LastIndexByte(line[:limit], ' ')
				if i <= 0 {
					break
				}
				w.WriteString(line[:i] + "\n")
				if line = line[i+1:]; line[0] == '.' {
					line = `\&` + line
				}
			}
		}
		w.WriteString(line)
		previous = line
	}
	return w.String()
}
