package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/manual"
)

// runMan prints a manual page, for man -l - and for packages.
func runMan(_ context.Context, a *app, args []string) error {
	rest, err := command.Parse(a.flags("man"), args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		rest = []string{"mailhatch"}
	}
	pages := manual.Pages(help())
	for file, page := range pages {
		name := file[:strings.LastIndexByte(file, '.')]
		if len(rest) == 1 && (rest[0] == file || rest[0] == name) {
			fmt.Fprint(a.stdout, page)
			return nil
		}
	}
	return command.Usagef("man: name one of the pages %s", strings.Join(slices.Sorted(maps.Keys(pages)), ", "))
}
