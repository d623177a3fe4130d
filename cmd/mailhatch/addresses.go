package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/queue"
)

func suppressImport(ctx context.Context, a *app, args []string) error {
	fs := a.flags("suppress import")
	asJSON := fs.Bool("json", false, "one JSON object")
	var f suppressFlags
	f.define(fs, "only for mail from this sender `domain`; without it as the file says, else for all mail", "why, where the file does not say: manual (the default), bounced, complained or unsubscribed (a `reason`)")
	var from string
	fs.Var(&command.Once{Value: &from}, "from", "read the list of the provider of this `upstream` instead of a file")
	files, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if from != "" && (len(files) > 0 || f.reason != "") || from == "" && len(files) != 1 {
		return command.Usagef("suppress import: name one file, - for standard input, or an upstream with --from")
	}
	client, _, err := a.client(ctx)
	if err != nil {
		return err
	}
	defer client.Close()
	var added *suppressed.Added
	if from != "" {
		added, err = client.ImportSuppressed(ctx, suppressed.Import{Upstream: from, Domain: f.sender})
	} else {
		added, err = a.importFile(ctx, client, files[0], suppressed.Suppression{Domain: f.sender, Reason: queue.SuppressionReason(f.reason)})
	}
	if err != nil {
		return err
	}
	return a.tellAdded(added, *asJSON)
}

// importFile reads all of a file before it puts anything on the list: a mistake on its last line leaves nothing half done.
func (a *app) importFile(ctx context.Context, c *api.Client, name string, defaults suppressed.Suppression) (*suppressed.Added, error) {
	var in io.Reader = a.stdin
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	var entries []suppressed.Suppression
	err := suppressed.Read(in, defaults, func(list []suppressed.Suppression) error {
		entries = append(entries, list...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("%s has no address", name)
	}
	return suppress(ctx, c, entries)
}

func suppressExport(ctx context.Context, a *app, args []string) error {
	fs := a.flags("suppress export")
	var f suppressFlags
	f.define(fs, "only entries for mail from this sender `domain`", "only this `reason`")
	words, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	if len(words) > 1 {
		return command.Usagef("suppress export: name one address, or a word in it")
	}
	t, err := suppressed.NewTable(a.stdout)
	if err != nil {
		return err
	}
	_, err = a.eachSuppressed(ctx, suppressed.Filter{Address: search.Address(strings.Join(words, "")), Domain: f.sender, Reason: f.reason}, 0, func(e *suppressed.Suppression) error {
		return t.Write([]suppressed.Suppression{*e})
	})
	if err == nil {
		err = t.Write(nil) // the names of the columns, where there is nothing else
	}
	return err
}
