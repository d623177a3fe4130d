// Package noop is the server of mailhatch with a queue that keeps nothing.
package noop

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/gateway"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream/kinds"
)

// Command is `mailbench noop`: mailhatch's own server, from the socket to the log line, with a queue
// that keeps nothing. What it accepts in a second is what no queue, however fast, can exceed.
func Command(ctx context.Context, args []string, _, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench noop", flag.ContinueOnError)
	fs.SetOutput(stderr)
	file := fs.String("config", os.Getenv("MAILHATCH_CONFIG"), "config `file` of mailhatch; its listeners must be on loopback")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	if *file == "" {
		return fmt.Errorf("%w: -config is needed", command.ErrUsage)
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
	g, err := gateway.New(ctx, cfg, gateway.Options{
		Kinds: kinds.Kinds(), Stdout: stderr, Queue: newQueue(),
		Log: slog.New(slog.NewJSONHandler(stderr, nil)),
	})
	if err != nil {
		return err
	}
	return g.Run(ctx, nil)
}

// discard takes messages, gives them an id and forgets them.
type discard struct {
	last    atomic.Uint64
	buffers sync.Pool // of *bytes.Buffer
	changed chan struct{}
}

var _ queue.Engine = (*discard)(nil)

func newQueue() *discard {
	q := &discard{buffers: sync.Pool{New: func() any { return new(bytes.Buffer) }}, changed: make(chan struct{})}
	q.last.Store(rand.Uint64N(1 << 40))
	return q
}

// draft is in memory, as a real queue has small messages until they are complete.
type draft struct {
	q   *discard
	id  string
	buf *bytes.Buffer
}

// New starts a message.
func (q *discard) New(context.Context) (queue.Draft, error) {
	return &draft{q: q, id: fmt.Sprintf("%013X", q.last.Add(1)), buf: q.buffers.Get().(*bytes.Buffer)}, nil
}

// ID has the length of real ones.
func (d *draft) ID() string { return d.id }

// Write keeps p until the message is over.
func (d *draft) Write(p []byte) (int, error) { return d.buf.Write(p) }

// Body reads what was written.
func (d *draft) Body() (queue.Body, error) {
	return body{bytes.NewReader(d.buf.Bytes())}, nil
}

// Commit forgets the message.
func (d *draft) Commit(context.Context, queue.Accepted) error { return d.Discard() }

// Discard hands the buffer on.
func (d *draft) Discard() error {
	if d.buf != nil {
		d.buf.Reset()
		d.q.buffers.Put(d.buf)
		d.buf = nil
	}
	return nil
}

type body struct{ *bytes.Reader }

// Close does nothing.
func (body) Close() error { return nil }

// The rest answers as an empty queue does.

// Import takes nothing in.
func (*discard) Import(context.Context, *queue.Imported) (bool, error) {
	return false, errors.ErrUnsupported
}

// Fleet says that no other process has it open.
func (*discard) Fleet() queue.Fleet { return nil }

func (q *discard) Claim(context.Context, string, int, time.Duration) ([]queue.Lease, error) {
	return nil, nil
}
func (q *discard) Lanes(context.Context) (map[string]queue.Lane, error) { return nil, nil }
func (q *discard) Changed() <-chan struct{}                             { return q.changed }
func (q *discard) Hasten(context.Context, string, time.Time) error      { return nil }
func (q *discard) Serve(context.Context, []string) error                { return nil }
func (q *discard) Take(_ context.Context, o queue.Offer) (queue.Grant, error) {
	return queue.Grant{To: o.To, Used: make([]int, len(o.Windows))}, nil
}
func (q *discard) Settle(context.Context, queue.Settlement) error              { return nil }
func (q *discard) Unsettled(context.Context, string, string) ([]string, error) { return nil, nil }
func (q *discard) Used(_ context.Context, _ string, windows []queue.Window) ([]int, error) {
	return make([]int, len(windows)), nil
}
func (q *discard) Counting(context.Context, []string) ([]string, error) { return nil, nil }
func (q *discard) List(context.Context, queue.Filter, queue.Page) ([]queue.Message, error) {
	return nil, nil
}
func (q *discard) Body(context.Context, string) (queue.Body, error) {
	return nil, queue.ErrNotFound
}
func (q *discard) Retry(context.Context, queue.Filter, string) (queue.Changed, error) {
	return queue.Changed{}, nil
}
func (q *discard) Hold(context.Context, queue.Filter, string) (queue.Changed, error) {
	return queue.Changed{}, nil
}
func (q *discard) Release(context.Context, queue.Filter, string) (queue.Changed, error) {
	return queue.Changed{}, nil
}
func (q *discard) Delete(context.Context, queue.Filter, string) (queue.Changed, error) {
	return queue.Changed{}, nil
}
func (q *discard) Move(context.Context, queue.Filter, string, string) (queue.Changed, error) {
	return queue.Changed{}, nil
}
func (q *discard) Pause(context.Context, string, string) error { return nil }
func (q *discard) Resume(context.Context, string) error        { return nil }
func (q *discard) Ahead(_ context.Context, _ string, places []queue.Place, _ int) ([]int, error) {
	return make([]int, len(places)), nil
}
func (q *discard) Paused(context.Context) (map[string]queue.Pause, error) { return nil, nil }
func (q *discard) Events(context.Context, string) ([]queue.Event, error)  { return nil, nil }
func (q *discard) Forward([]string)                                       {}
func (q *discard) Outgoing(context.Context, string, int) ([]queue.Outgoing, error) {
	return nil, nil
}
func (q *discard) HandedOver(context.Context, ...int64) error { return nil }
func (q *discard) SuppressOn(queue.SuppressionRules)          {}
func (q *discard) Suppress(context.Context, ...queue.Suppression) (int, error) {
	return 0, nil
}
func (q *discard) Lift(context.Context, string, ...string) ([]queue.Suppression, error) {
	return nil, nil
}
func (q *discard) Suppressed(context.Context, string, ...string) ([]queue.Suppression, error) {
	return nil, nil
}
func (q *discard) Suppressions(context.Context, queue.SuppressionFilter) ([]queue.Suppression, error) {
	return nil, nil
}
func (q *discard) Backup(context.Context, string) error       { return nil }
func (q *discard) Note(context.Context, ...queue.Event) error { return nil }
func (q *discard) Finished(context.Context, string) (*queue.Finished, error) {
	return nil, queue.ErrNotFound
}
func (q *discard) Search(context.Context, queue.HistoryFilter) ([]queue.Record, error) {
	return nil, nil
}
func (q *discard) Prune(context.Context, queue.Keep) (queue.Pruned, error) {
	return queue.Pruned{}, nil
}
func (q *discard) Stats(context.Context) (map[envelope.State]queue.Depth, error) {
	return nil, nil
}
func (q *discard) SetReserve(int64)                           {}
func (*discard) SetPrivacy(queue.Privacy) error               { return nil }
func (*discard) Health(context.Context) (queue.Health, error) { return queue.Health{}, nil }
func (q *discard) Close() error                               { return nil }

// Run waits for the end.
func (q *discard) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Cursor and what follows answers as a store that was told of nothing.
func (q *discard) Cursor(context.Context, string) (string, error) { return "", nil }
func (q *discard) Awaited(context.Context, string, time.Time) (time.Time, error) {
	return time.Time{}, nil
}
func (q *discard) Apply(context.Context, queue.News) (queue.Applied, error) {
	return queue.Applied{}, nil
}
func (q *discard) Rejoin(context.Context) (queue.Applied, error)                { return queue.Applied{}, nil }
func (q *discard) ToldOf(context.Context, string, string) ([]queue.Told, error) { return nil, nil }
func (q *discard) LateBounces(context.Context, string, int) ([]queue.LateBounce, error) {
	return nil, nil
}
func (q *discard) Dismiss(context.Context, ...string) error { return nil }
