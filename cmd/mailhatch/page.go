package main

import (
	"context"
	"fmt"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
)

// runPage prints a link that opens the page of the running gateway.
func runPage(ctx context.Context, a *app, args []string) error {
	flags := a.flags("page")
	asJSON := flags.Bool("json", false, "one JSON object")
	if err := command.ParseAlone(flags, args); err != nil {
		return err
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	link, err := client.Link(ctx)
	if err != nil {
		return err
	}
	if *asJSON {
		return a.printJSON(link)
	}
	fmt.Fprintln(a.stdout, terminal.Plain(link.URL))
	fmt.Fprintf(a.stderr, "it opens the page once, until %s; on another machine forward the port first, as by ssh -L\n", terminal.Clock(link.Ends))
	return nil
}
