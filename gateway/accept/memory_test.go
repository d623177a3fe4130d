package accept

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/budget"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream"
)

// judge is an upstream, and its settings, whose preflight a test watches.
type judge struct{ preflight func() }

func (j *judge) Open(upstream.Env) (upstream.Upstream, error) { return j, nil }

func (j *judge) Send(context.Context, *upstream.Mail) []upstream.Outcome { panic("not asked to") }

func (j *judge) Preflight(*upstream.Mail) error { j.preflight(); return nil }

// slowBody is a body before which a test looks around.
type slowBody struct {
	look func()
	rest *strings.Reader
}

func (b *slowBody) Read(p []byte) (int, error) {
	b.look()
	return b.rest.Read(p)
}

// TestLargeHeaderTakesMemory while it is edited and judged, but not while the client is slow.
func TestLargeHeaderTakesMemory(t *testing.T) {
	memory := budget.NewMemory(2 << 20)
	isFree := func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		release, err := memory.Acquire(ctx, 2<<20)
		if err == nil {
			release()
		}
		return err == nil
	}
	asked := 0
	up := &judge{preflight: func() {
		if asked++; isFree() {
			t.Error("judged without memory")
		}
	}}
	file := filepath.Join(t.TempDir(), "mailhatch.toml")
	text := "hostname = \"gw.example.com\"\nstate_dir = '" + t.TempDir() + "'\n[upstream.a]\ntype = \"judge\"\n[[route]]\nvia = [\"a\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: []upstream.Kind{{Name: "judge", New: func() upstream.Settings { return up }}}})
	if err != nil {
		t.Fatal(err)
	}
	q, err := engines.Open(t.Context(), engines.Default, queue.Settings{Dir: cfg.StateDir})
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	go q.Run(context.WithoutCancel(t.Context())) //nolint:errcheck // ends with Close
	j := journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	a := &Acceptor{Queue: q, Journal: j, Config: func() *config.Config { return cfg }, Memory: memory,
		Deliverer: deliver.New(q, j, nil, memory, &deliver.Config{})}
	header := "From: a@example.com\r\n" + strings.Repeat("X-A: b\r\n", 8<<10) + "\r\n"
	send := func(ctx context.Context) error {
		body := &slowBody{rest: strings.NewReader(header + "hello\r\n"), look: func() {
			if !isFree() {
				t.Error("the memory waits for the client")
			}
		}}
		env := &envelope.Envelope{From: "a@example.com", To: []envelope.Recipient{{Address: "b@example.org"}}}
		_, err := a.accept(ctx, env, body, false)
		return err
	}
	if err := send(t.Context()); err != nil || asked != 1 || !isFree() {
		t.Fatalf("%v, asked %d times, free %v", err, asked, isFree())
	}
	release, err := memory.Acquire(t.Context(), 2<<20)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	env := &envelope.Envelope{From: "a@example.com", To: []envelope.Recipient{{Address: "b@example.org"}}}
	var reply *envelope.Reply
	waiting := strings.NewReader(header + strings.Repeat("hello\r\n", 100_000))
	if _, err := a.accept(ctx, env, waiting, false); !errors.As(err, &reply) || reply.Code != 452 {
		t.Errorf("without memory: %v", err)
	}
	if waiting.Len() > 0 {
		t.Error("it waits with its header in memory rather than on disk")
	}
}
