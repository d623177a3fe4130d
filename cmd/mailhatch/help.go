package main

import (
	"context"
	"fmt"
	"io"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/sendmail"
)

// What --help prints, the manual pages and the completions of shells are all generated from the commands and
// the flags that each command defines, so they cannot contradict each other.

// help describes all commands.
func help() []command.Description { return describe("", subcommands()) }

func describe(prefix string, list []subcommand) []command.Description {
	var all []command.Description
	for _, c := range list {
		d := command.Description{Name: prefix + c.name, Args: c.args, Doc: c.doc}
		if words, ok := groups()[d.Name]; ok {
			d.Sub = describe(d.Name+" ", words)
		} else if d.Name == "sendmail" {
			d.Flags = sendmail.Flags()
		} else {
			d.Flags = flagsOf(c)
		}
		all = append(all, d)
	}
	return all
}

// flagsOf returns the flags of a command: asked for help, it defines them and does nothing else.
func flagsOf(c subcommand) []command.Flag {
	a := &app{stdin: strings.NewReader(""), stdout: io.Discard, stderr: io.Discard}
	_ = c.run(context.Background(), a, []string{"--help"}) // flag.ErrHelp
	return command.Flags(a.flagSet)
}

// usage lists the commands.
func (a *app) usage() {
	fmt.Fprint(a.stdout, "usage: mailhatch [-c FILE] [COMMAND] [ARGUMENTS]\n\ncommands:\n")
	for _, d := range help() {
		d.WriteLine(a.stdout)
	}
	fmt.Fprint(a.stdout, "\nThe config is FILE, else $MAILHATCH_CONFIG, ./mailhatch.toml or /etc/mailhatch/config.toml. Without a config,\nmail is shown on the console. mailhatch help COMMAND lists the flags of a command.\n")
}

// help describes the command that words name, or lists all.
func (a *app) help(words []string) error {
	if len(words) == 0 {
		a.usage()
		return nil
	}
	if name := strings.Join(words, " "); !a.commandUsage(name) {
		return command.Usagef("no command %q", name)
	}
	return nil
}

// commandUsage describes one command, by its name: "check", "queue list". It is false where there is none.
func (a *app) commandUsage(name string) bool {
	for _, d := range command.Flatten(help()) {
		if d.Name == name {
			d.Write(a.stdout)
			return true
		}
	}
	return false
}
