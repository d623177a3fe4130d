package main

import (
	"context"
	"flag"
	"strings"

	"mailhatch/cmd/mailhatch/command"
)

// groups are the commands that have others below them.
func groups() map[string][]subcommand {
	return map[string][]subcommand{
		"queue":    queueCommands(),
		"alert":    alertCommands(),
		"upstream": upstreamCommands(),
		"events":   eventsCommands(),
		"suppress": suppressCommands(),
	}
}

// runGroup runs the command of a group that the first argument names; the first one of the group where none is named.
func runGroup(group string) func(context.Context, *app, []string) error {
	return func(ctx context.Context, a *app, args []string) error {
		words := groups()[group]
		switch {
		case len(args) == 0 || strings.HasPrefix(args[0], "-") && !isHelp(args[0]):
			return words[0].run(ctx, a, args)
		case isHelp(args[0]):
			return flag.ErrHelp
		}
		names := ""
		for i, c := range words {
			if c.name == args[0] {
				return c.run(ctx, a, args[1:])
			}
			switch i {
			case 0:
			case len(words) - 1:
				names += " or "
			default:
				names += ", "
			}
			names += c.name
		}
		return command.Hintf(command.Usagef("%s has no command %q; use %s", group, args[0], names), "see mailhatch %s --help", group)
	}
}

func isHelp(s string) bool { return s == "help" || s == "-h" || s == "-help" || s == "--help" }
