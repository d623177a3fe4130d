package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"
	"syscall"

	"mailhatch/gateway/admin/api"

	"golang.org/x/sync/errgroup"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway"
	"mailhatch/gateway/config"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/systemd"
)

// runServe runs the gateway until the context ends.
func runServe(ctx context.Context, a *app, args []string) error {
	flags := a.flags("serve")
	listen := flags.String("listen", "", "accept mail at this `address` instead of the config's listeners, as in 127.0.0.1:2525")
	if err := command.ParseAlone(flags, args); err != nil {
		return err
	}
	opts := a.loadOptions()
	opts.Listen = *listen
	cfg, err := config.Load(config.Find(a.configPath), opts)
	if err != nil {
		return err
	}
	// Mail goes on when nobody reads the output any more: a write fails then, as on any other file.
	pipe := make(chan os.Signal, 1)
	signal.Notify(pipe, syscall.SIGPIPE)
	defer signal.Stop(pipe)
	lines := journal.NewWriter(a.stderr)
	log := newLogger(lines, cfg.Log.Level, logFormat(a.stderr, cfg.Log.Format), isJournal(a.stderr))
	// The log ends last.
	logging, stop := context.WithCancel(context.WithoutCancel(ctx))
	var group errgroup.Group
	group.Go(func() error { return lines.Run(logging, log) })
	group.Go(func() error {
		defer stop()
		return a.serve(ctx, cfg, *listen, log, lines)
	})
	return group.Wait()
}

// serve runs the gateway of a config.
func (a *app) serve(ctx context.Context, cfg *config.Config, listen string, log *slog.Logger, lines *journal.Writer) error {
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, reloadSignals()...)
	defer signal.Stop(hup)
	defer collectLess()()
	g, err := gateway.New(ctx, cfg, gateway.Options{Version: versionString(), Kinds: a.upstreamKinds(), Stdout: a.stdout, Listen: listen, Log: log, Reload: hup,
		Metrics: []meter.Metric{lines.Dropped()}})
	if err != nil {
		return err
	}
	return g.Run(ctx, func() {
		if cfg.File == "" {
			link, _ := g.PageLink("console") // nil where the page is off
			welcome(lines, cfg, link)
		}
	})
}

// gcPercent lets the heap grow to two and a half times what is in use before it is collected. What is in use is
// a few MB and most of it is short-lived: the default of twice costs more CPU; three times passes 150 MB with 2,500 clients (TestSessionsMemory).
const gcPercent = 150

// collectLess sets gcPercent unless the environment sets GOGC, until restore is called.
func collectLess() (restore func()) {
	if os.Getenv("GOGC") != "" {
		return func() {}
	}
	before := debug.SetGCPercent(gcPercent)
	return func() { debug.SetGCPercent(before) }
}

// welcome shows what to do next after a start without a config. link opens the page; nil where there is none.
func welcome(w io.Writer, cfg *config.Config, link *api.Link) {
	address := cfg.Listeners[0].Address
	fmt.Fprintf(w, `
mailhatch listens on %[1]s. No config was found: mail is shown here, on the console.
Send a first message from another terminal:

  printf 'From: me@example.com\nTo: you@example.com\nSubject: Hello\n\nIt works.\n' | curl -sS smtp://%[1]s --mail-from me@example.com --mail-rcpt you@example.com --upload-file -

or: %[2]s send --from me@example.com --to you@example.com --subject Hello

`, address, os.Args[0])
	if link != nil {
		fmt.Fprintf(w, "See it all in a browser, by this link, which works once (%s page prints another):\n\n  %s\n\n", os.Args[0], link.URL)
	}
}

// newLogger returns what writes lines to w, with their priorities if that is the journal of systemd.
func newLogger(w io.Writer, level, format string, toJournal bool) *slog.Logger {
	var least slog.Level
	_ = least.UnmarshalText([]byte(level)) // the config is checked: it is a level
	options := &slog.HandlerOptions{Level: least}
	handler := func(w io.Writer) slog.Handler {
		if format == "text" {
			return slog.NewTextHandler(w, options)
		}
		return slog.NewJSONHandler(w, options)
	}
	if toJournal {
		return slog.New(journal.NewPriorities(w, handler))
	}
	return slog.New(handler(w))
}

// isJournal reports whether f is the journal of systemd.
func isJournal(f any) bool {
	file, ok := f.(*os.File)
	return ok && systemd.IsJournal(file)
}

// logFormat decides what "auto" is for a log that goes to f: text for people, and for the journal of systemd, which is
// read by people too.
func logFormat(f any, format string) string {
	if format = strings.ToLower(format); format != "auto" {
		return format
	}
	if terminal.Interactive(f) || isJournal(f) {
		return "text"
	}
	return "json"
}
