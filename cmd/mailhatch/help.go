package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
)

// What --help prints, the manual pages and the completions of shells all come from commands and from
// the flags that each command makes, so they cannot tell different things.

// flagHelp describes a flag.
type flagHelp struct {
	names []string // with their dashes: "-c", "--config"
	value string   // what the value is; "" for a switch
	doc   string
}

// String gives the flag as a line of help begins.
func (f flagHelp) String() string {
	s := strings.Join(f.names, ", ")
	if f.value != "" {
		s += " " + strings.ToUpper(f.value)
	}
	return s
}

// commandHelp describes a command, of which queue has further ones.
type commandHelp struct {
	name  string // "queue list"
	args  string
	doc   string
	flags []flagHelp
	sub   []commandHelp
}

// synopsis is how the command is typed.
func (c *commandHelp) synopsis() string {
	return strings.TrimSpace("mailhatch " + c.name + " " + c.args)
}

// help describes all commands.
func help() []commandHelp { return describeAll("", commands()) }

func describeAll(prefix string, list []command) []commandHelp {
	var all []commandHelp
	for _, c := range list {
		h := commandHelp{name: prefix + c.name, args: c.args, doc: c.doc}
		switch h.name {
		case "queue":
			h.sub = describeAll("queue ", queueCommands())
		case "sendmail":
			h.flags = sendmailHelp()
		default:
			h.flags = flagsOf(c)
		}
		all = append(all, h)
	}
	return all
}

// flagsOf gives the flags of a command: asked for help, it makes them and does nothing else.
func flagsOf(c command) []flagHelp {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	_ = c.run(context.Background(), a, []string{"--help"}) // flag.ErrHelp
	var all []flagHelp
	var values []flag.Value // of all, by the same index
	a.flagSet.VisitAll(func(f *flag.Flag) {
		h := describeFlag(f)
		i := slices.IndexFunc(values, func(v flag.Value) bool { return sameValue(v, f.Value) })
		if i < 0 {
			all, values = append(all, h), append(values, f.Value)
			return
		}
		h.names = append(all[i].names, h.names...)
		if !strings.HasPrefix(all[i].doc, "the same as") {
			h.value, h.doc = all[i].value, all[i].doc
		}
		all[i] = h
	})
	return all
}

// sameValue says whether two flags are names of one: they set the same variable.
func sameValue(a, b flag.Value) bool {
	return reflect.TypeOf(a).Comparable() && reflect.TypeOf(b).Comparable() && a == b // those of Func are not
}

func describeFlag(f *flag.Flag) flagHelp {
	value, doc := flag.UnquoteUsage(f)
	if d := f.DefValue; d != "" && d != "0" && d != "false" && !strings.Contains(doc, "default") {
		doc += " (default: " + d + ")"
	}
	name := "--" + f.Name
	if len(f.Name) == 1 {
		name = "-" + f.Name
	}
	return flagHelp{names: []string{name}, value: value, doc: doc}
}

// usage lists the commands.
func (a *app) usage() {
	w := a.stdout
	fmt.Fprint(w, "usage: mailhatch [-c FILE] [COMMAND] [ARGUMENTS]\n\ncommands:\n")
	for _, c := range help() {
		fmt.Fprintf(w, "  %-14s %s\n                 %s\n", c.name, c.doc, c.synopsis())
	}
	fmt.Fprint(w, "\nThe config is FILE, else $MAILHATCH_CONFIG, ./mailhatch.toml or /etc/mailhatch/config.toml; without any,\nmail is shown on the console. mailhatch COMMAND --help tells the flags of a command.\n")
}

// commandUsage tells about one command, by its name: "check", "queue list".
func (a *app) commandUsage(name string) {
	all := help()
	for len(all) > 0 {
		c := all[0]
		all = append(all[1:], c.sub...)
		if c.name == name {
			c.print(a.stdout)
			return
		}
	}
}

func (c *commandHelp) print(w io.Writer) {
	fmt.Fprintf(w, "usage: %s\n\n%s\n", c.synopsis(), c.doc)
	if len(c.sub) > 0 {
		fmt.Fprint(w, "\ncommands:\n")
	}
	for i := range c.sub {
		fmt.Fprintf(w, "  %-14s %s\n                 %s\n", strings.TrimPrefix(c.sub[i].name, c.name+" "), c.sub[i].doc, c.sub[i].synopsis())
	}
	if len(c.flags) > 0 {
		fmt.Fprint(w, "\nflags:\n")
	}
	for _, f := range c.flags {
		fmt.Fprintf(w, "  %s\n        %s\n", f, f.doc)
	}
}
