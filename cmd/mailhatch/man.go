package main

import (
	"context"
	_ "embed"
	"fmt"
	"slices"
	"strings"
)

// The config reference is the example of the repository; go generate copies it here, where it can be
// embedded.
//
//go:generate cp ../../config.example.toml man/config.example.toml

//go:embed man/config.example.toml
var exampleConfig string

//go:embed man/mailhatch.1
var mailhatchPage string

//go:embed man/sendmail.1mailhatch
var sendmailPage string

//go:embed man/mailhatch.toml.5
var configPage string

// manPages gives the manual pages by the names of their files, in man(7). Their prose lies in man/;
// commands, flags and keys are put in place of .\" COMMANDS, .\" FLAGS and .\" KEYS.
func manPages() map[string]string {
	fill := func(page, mark, text string) string {
		return manWrap(strings.Replace(page, ".\\\" "+mark+"\n", text, 1))
	}
	var commands, flags strings.Builder
	for _, c := range help() {
		manCommand(&commands, &c)
		if c.name == "sendmail" {
			manFlags(&flags, c.flags)
		}
	}
	return map[string]string{
		"mailhatch.1":         fill(mailhatchPage, "COMMANDS", commands.String()),
		"sendmail.1mailhatch": fill(sendmailPage, "FLAGS", flags.String()),
		"mailhatch.toml.5":    fill(configPage, "KEYS", manConfig(exampleConfig)),
	}
}

// runMan prints a manual page, for man -l - and for packages.
func runMan(_ context.Context, a *app, args []string) error {
	rest, err := parse(a.flags("man"), args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		rest = []string{"mailhatch"}
	}
	pages := manPages()
	for file, page := range pages {
		name := file[:strings.LastIndexByte(file, '.')]
		if len(rest) == 1 && (rest[0] == file || rest[0] == name) {
			fmt.Fprint(a.stdout, page)
			return nil
		}
	}
	var files []string
	for file := range pages {
		files = append(files, file)
	}
	slices.Sort(files)
	return usagef("man: there are the pages %s", strings.Join(files, ", "))
}

// manCommand writes a command and those below it. The flags of sendmail have a page of their own.
func manCommand(w *strings.Builder, c *commandHelp) {
	fmt.Fprintf(w, ".SS %s\n%s.\n", manText(c.synopsis()), manText(sentence(c.doc)))
	if c.name == "sendmail" {
		w.WriteString("See\n.BR sendmail (1mailhatch).\n")
		return
	}
	manFlags(w, slices.DeleteFunc(slices.Clone(c.flags), func(f flagHelp) bool { return slices.Contains(f.names, "--config") }))
	for i := range c.sub {
		manCommand(w, &c.sub[i])
	}
}

func manFlags(w *strings.Builder, flags []flagHelp) {
	for _, f := range flags {
		var names []string
		for _, name := range f.names {
			names = append(names, "\\fB"+manText(name)+"\\fR")
		}
		w.WriteString(".TP\n" + strings.Join(names, ", "))
		if f.value != "" {
			w.WriteString(" \\fI" + manText(f.value) + "\\fR")
		}
		w.WriteString("\n" + manText(sentence(f.doc)) + ".\n")
	}
}

// sentence begins with a capital letter.
func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

// manText keeps text from being read as requests of roff.
func manText(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "'", `\(aq`, "`", `\(ga`, "^", `\(ha`, "~", `\(ti`, `"`, `\(dq`).Replace(s)
	if strings.HasPrefix(s, ".") {
		s = `\&` + s
	}
	return s
}

// manWrap breaks lines of text as manual pages have them; tags and examples stay as they are.
func manWrap(page string) string {
	const limit = 78
	var w strings.Builder
	asIs := false
	before := ""
	for line := range strings.Lines(page) {
		switch {
		case strings.HasPrefix(line, ".EX"), strings.HasPrefix(line, ".EE"):
			asIs = strings.HasPrefix(line, ".EX")
		case asIs, strings.HasPrefix(line, "."), strings.HasPrefix(before, ".TP"):
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
		before = line
	}
	return w.String()
}
