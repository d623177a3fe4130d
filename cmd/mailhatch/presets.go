package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway/config/hint"
	"mailhatch/upstream"
	"mailhatch/upstream/smtp/preset"
)

// runPresets lists the services that `preset` of an SMTP upstream names, or shows one.
func runPresets(_ context.Context, a *app, args []string) error {
	fs := a.flags("presets")
	asJSON := fs.Bool("json", false, "JSON for programs")
	rest, err := command.Parse(fs, args)
	if err != nil {
		return err
	}
	list := preset.All()
	switch {
	case len(rest) > 1:
		return command.Usagef("presets takes one name, or none")
	case len(rest) == 1:
		p, ok := preset.Find(rest[0])
		if !ok {
			names := preset.Names()
			return command.Hintf(upstream.OneOf("preset", rest[0], names...), "%s", cmp.Or(preset.Meant(rest[0]), hint.DidYouMean(rest[0], names), "mailhatch presets lists them"))
		}
		if !*asJSON {
			a.showPreset(p)
			return nil
		}
		list = []preset.Preset{p}
	}
	if *asJSON {
		e := json.NewEncoder(a.stdout)
		e.SetIndent("", "  ")
		return e.Encode(list)
	}
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	for _, p := range list {
		fmt.Fprintf(w, "%s\t%s\t%s:%d\n", p.Name, p.Service, p.Host, p.Port)
	}
	return w.Flush()
}

// showPreset writes all that is known about a service, and what to put into the config.
func (a *app) showPreset(p preset.Preset) {
	w := tabwriter.NewWriter(a.stdout, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" && value != "0" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("service", p.Service)
	row("documentation", p.Doc)
	row("host", p.Host)
	row("port", fmt.Sprintf("%d, %s", p.Port, p.TLS))
	row("auth", p.Auth)
	row("username", p.Username)
	row("login", p.Login)
	row("rate", p.Rate)
	row("connections", fmt.Sprint(p.Concurrent))
	row("recipients", fmt.Sprint(p.Recipients))
	if p.Bytes > 0 {
		row("message", fmt.Sprintf("%d MiB", p.Bytes>>20))
	}
	row("Message-ID", p.MessageID())
	for i, s := range append(append([]string{}, p.Changes...), p.Notes...) {
		row(map[bool]string{true: "changes", false: "note"}[i < len(p.Changes)], s)
	}
	_ = w.Flush() // to a buffer's end or a closed pipe
	var b strings.Builder
	fmt.Fprintf(&b, "\n[upstream.main]\ntype = \"smtp\"\npreset = %q\n", p.Name)
	if p.Regions != nil {
		fmt.Fprintf(&b, "region = %q\n", p.Regions[0])
	}
	if p.Username == "" {
		b.WriteString("username = \"…\"\n")
	}
	if p.ByToken() {
		b.WriteString("[upstream.main.oauth2]\ntenant = \"…\"\nclient_id = \"…\"\nclient_secret = \"env:ENTRA_SECRET\"\n")
	} else {
		b.WriteString("password = \"env:SMTP_PASSWORD\"\n")
	}
	fmt.Fprint(a.stdout, b.String())
}
