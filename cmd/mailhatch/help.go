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
		switch d.Name {
		case "queue":
			d.Sub = describe("queue ", queueCommands())
		case "sendmail":
			d.Flags = sendmail.Flags()
		default:
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
	fmt.Fprint(a.stdout, "\nThe config is FILE, else $MAILHATCH_CONFIG, ./mailhatch.toml or /etc/mailhatch/config.toml; without any,\nmail is shown on the console. mailhatch COMMAND --help lists the flags of a command.\n")
}

// commandUsage describes one command, by its name: "check", "queue list".
func (a *app) commandUsage(name string) {
	for _, d := range command.Flatten(help()) {
		if d.Name == name {
			d.Write(a.stdout)
			return
		}
	}
}
