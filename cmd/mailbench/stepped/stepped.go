// Package stepped is the gateway of mailhatch with a time of day that somebody else shifts.
package stepped

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/gateway"
	"mailhatch/gateway/config"
	"mailhatch/upstream/kinds"
)

// lookEvery is how soon a new offset counts.
const lookEvery = 100 * time.Millisecond

// Command is `mailbench stepped`: what `mailhatch serve` runs, by a clock that is off by what stands in a file.
func Command(ctx context.Context, args []string, _, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench stepped", flag.ContinueOnError)
	fs.SetOutput(stderr)
	file := fs.String("config", os.Getenv("MAILHATCH_CONFIG"), "config `file` of mailhatch; its listeners must be on loopback")
	offset := fs.String("offset", "", "`file` with the offset of the time of day, such as 240h; it may change at any time")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	if *file == "" || *offset == "" {
		return fmt.Errorf("%w: -config and -offset are needed", command.ErrUsage)
	}
	cfg, err := config.Load(*file, config.Options{Kinds: kinds.Kinds(), Stdout: stderr})
	if err != nil {
		return err
	}
	for _, l := range cfg.Listeners {
		if err := host.RequireLoopback(l.Address); err != nil {
			return err
		}
	}
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	defer signal.Stop(hup)
	var off atomic.Int64
	g, err := gateway.New(ctx, cfg, gateway.Options{
		Kinds: kinds.Kinds(), Stdout: stderr, Log: slog.New(slog.NewJSONHandler(stderr, nil)), Reload: hup,
		Wall: func() time.Time { return time.Now().Add(time.Duration(off.Load())) },
	})
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Run(ctx, nil) })
	group.Go(func() error { return follow(ctx, *offset, &off) })
	return group.Wait()
}

// follow reads the offset until ctx ends. A file that is missing or being written leaves it as it is.
func follow(ctx context.Context, path string, off *atomic.Int64) error {
	for host.Pause(ctx, lookEvery) {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		if d, err := time.ParseDuration(strings.TrimSpace(string(text))); err == nil {
			off.Store(int64(d))
		}
	}
	return nil
}
