package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/gateway"
	"mailhatch/gateway/config"
)

// runServe runs the gateway until the context ends.
func runServe(ctx context.Context, a *app, args []string) error {
	if err := command.ParseAlone(a.flags("serve"), args); err != nil {
		return err
	}
	cfg, err := a.load()
	if err != nil {
		return err
	}
	log := newLogger(a, cfg)
	for _, w := range cfg.Warnings {
		log.Warn(w)
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, reloadSignals()...)
	defer signal.Stop(hup)
	defer collectLess()()
	g, err := gateway.New(ctx, cfg, gateway.Options{Version: versionString(), Kinds: a.upstreamKinds(), Stdout: a.stdout, Log: log, Reload: hup})
	if err != nil {
		return err
	}
	return g.Run(ctx, func() {
		if cfg.File == "" {
			a.welcome(cfg)
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

// welcome shows what to do next after a start without a config.
func (a *app) welcome(cfg *config.Config) {
	address := cfg.Listeners[0].Address
	fmt.Fprintf(a.stderr, `
mailhatch listens on %[1]s. No config was found: mail is shown here, on the console.
Send a first message from another terminal:

  printf 'From: me@example.com\nTo: you@example.com\nSubject: Hello\n\nIt works.\n' | curl -sS smtp://%[1]s --mail-from me@example.com --mail-rcpt you@example.com --upload-file -

or: %[2]s send --from me@example.com --to you@example.com --subject Hello

`, address, os.Args[0])
}

func newLogger(a *app, cfg *config.Config) *slog.Logger {
	var level slog.Level
	_ = level.UnmarshalText([]byte(cfg.Log.Level)) // the config is checked: it is a level
	options := &slog.HandlerOptions{Level: level}
	format := cfg.Log.Format
	if format == "auto" {
		format = "json"
		if f, ok := a.stderr.(*os.File); ok {
			// Text for people, and for the journal of systemd, which is read by people too.
			if st, err := f.Stat(); err == nil && (st.Mode()&os.ModeCharDevice != 0 || os.Getenv("JOURNAL_STREAM") != "") {
				format = "text"
			}
		}
	}
	if strings.EqualFold(format, "text") {
		return slog.New(slog.NewTextHandler(a.stderr, options))
	}
	return slog.New(slog.NewJSONHandler(a.stderr, options))
}
