package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/carry"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/queue/sqlite/disk"
)

// place is where a queue is kept, as --from and --to of queue copy name it.
type place struct {
	text, engine string
	queue.Settings
}

// parsePlace reads sqlite:DIR, or postgres:URL. The URL may be env:NAME or file:PATH: other accounts see a command line.
func parsePlace(flag, text string) (p place, err error) {
	const hint = "write sqlite:DIR for a state directory, or postgres:URL, as in postgres:env:DATABASE_URL"
	engine, rest, ok := strings.Cut(text, ":")
	p = place{text: text, engine: engine}
	switch {
	case text == "":
		return p, command.Hintf(command.Usagef("queue copy: %s is missing", flag), hint)
	case !ok || rest == "":
		return p, command.Hintf(command.Usagef("queue copy: %s %q is not a queue", flag, text), hint)
	case engine == engines.Default:
		p.Dir = rest
		return p, nil
	case engine == "postgresql":
		p.engine = "postgres"
	case !engines.Shared(engine):
		return p, command.Hintf(command.Usagef("queue copy: %s %q: there is no engine %q", flag, text, engine), hint)
	}
	p.text = p.engine // the rest is a secret
	p.Gateway = "copy"
	if strings.HasPrefix(rest, "//") {
		rest = engine + ":" + rest
	}
	if name, ok := strings.CutPrefix(rest, "env:"); ok {
		if rest = os.Getenv(name); rest == "" {
			return p, fmt.Errorf("queue copy: %s: the environment variable %s is not set", flag, name)
		}
	} else if path, ok := strings.CutPrefix(rest, "file:"); ok {
		b, err := os.ReadFile(path)
		if err != nil {
			return p, fmt.Errorf("queue copy: %s: %w", flag, err)
		}
		rest = strings.TrimSpace(string(b))
	}
	p.URL = rest
	return p, nil
}

// queueCopy copies a queue with its history into another store.
func queueCopy(ctx context.Context, a *app, args []string) (err error) {
	flags := a.flags("queue copy")
	fromText := flags.String("from", "", "the `queue` to read: sqlite:DIR or postgres:URL; its gateway must be stopped")
	toText := flags.String("to", "", "the `queue` to write; it is created if it does not exist")
	asJSON := flags.Bool("json", false, "one JSON object")
	if err := command.ParseAlone(flags, args); err != nil {
		return err
	}
	from, err := parsePlace("--from", *fromText)
	if err != nil {
		return err
	}
	to, err := parsePlace("--to", *toText)
	if err != nil {
		return err
	}
	done, err := carryOver(ctx, a, from, to)
	switch {
	case errors.Is(err, carry.ErrUnclean):
		return command.Hintf(fmt.Errorf("%s: %w", from.text, err), "start the gateway once and stop it, then copy")
	case errors.Is(err, carry.ErrOlder):
		return command.Hintf(fmt.Errorf("%s: %w", to.text, err), "copy into a new directory or an empty database")
	case errors.Is(err, queue.ErrLocked):
		return command.Hintf(err, "stop the gateway first")
	case errors.Is(err, fs.ErrNotExist):
		return command.Hintf(fmt.Errorf("%s: there is no queue: %w", from.text, err), "")
	case err != nil && done.Waiting+done.Ended+done.Known == 0:
		return err
	case err != nil:
		return command.Hintf(fmt.Errorf("%w; copied so far: %s", err, doneText(done)), "run the same command again to continue")
	case *asJSON:
		return a.printJSON(done)
	}
	fmt.Fprintf(a.stdout, "copied: %s\n", doneText(done))
	for _, r := range done.Renamed {
		fmt.Fprintf(a.stdout, "%s is now %s: another message has its id there\n", r.ID, r.Now)
	}
	fmt.Fprintf(a.stdout, "what waits is now in both: do not start a gateway on %s again\n", from.text)
	return nil
}

func doneText(d carry.Done) string {
	text := terminal.Count(d.Waiting, "message") + " in the queue, " + terminal.Count(d.Ended, "message") + " in the history"
	if d.Known > 0 {
		text += fmt.Sprintf("; %d were there already", d.Known)
	}
	return text
}

// carryOver opens both stores and copies.
func carryOver(ctx context.Context, a *app, from, to place) (done carry.Done, err error) {
	release, err := notInUse(ctx, from)
	if err != nil {
		return done, err
	}
	defer release()
	source, err := engines.Read(ctx, from.engine, from.Settings)
	if err != nil {
		return done, err
	}
	defer source.Close() //nolint:errcheck // only read
	target, err := engines.Open(ctx, to.engine, to.Settings)
	if err != nil {
		return done, err
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- target.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended, target.Close())
	}()
	var tell func(carry.Done)
	if terminal.Interactive(a.stderr) {
		tell = func(d carry.Done) { fmt.Fprintf(a.stderr, "\r%s ", doneText(d)) }
	}
	return carry.Copy(ctx, source, target, tell)
}

// notInUse makes sure that no gateway has a queue open, and keeps one from opening a state directory until release.
func notInUse(ctx context.Context, p place) (release func(), err error) {
	if engines.Shared(p.engine) {
		return func() {}, nobodyThere(ctx, p)
	}
	f, err := os.OpenFile(filepath.Join(p.Dir, "queue.lock"), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	if taken, err := disk.Lock(f); err != nil || !taken {
		return nil, errors.Join(err, f.Close(), fmt.Errorf("%w: %s", queue.ErrLocked, p.Dir))
	}
	return func() { _ = f.Close() }, nil
}

// nobodyThere returns an error while gateways that live share a database.
func nobodyThere(ctx context.Context, p place) error {
	store, err := engines.Open(ctx, p.engine, p.Settings)
	if err != nil {
		return err
	}
	list, err := store.Fleet().Gateways(ctx)
	for _, g := range list {
		if g.Alive {
			err = errors.Join(err, fmt.Errorf("%w: the gateway %s is running, or ended less than a minute ago", queue.ErrLocked, g.Name))
		}
	}
	return errors.Join(err, store.Close())
}
