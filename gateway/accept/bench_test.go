package accept

import (
	"log/slog"
	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream/kinds"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkReceive does what acceptance does between the bytes of a client and the queue's commit.
func BenchmarkReceive(b *testing.B) {
	file := filepath.Join(b.TempDir(), "mailhatch.toml")
	text := "hostname = \"gw.example.com\"\nstate_dir = \"state\"\n[upstream.relay]\ntype = \"memory\"\n[[route]]\nvia = [\"relay\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: kinds.Kinds()})
	if err != nil {
		b.Fatal(err)
	}
	q, err := engines.Open(b.Context(), engines.Default, queue.Settings{Dir: cfg.StateDir, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	defer q.Close()
	j := journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	a := &Acceptor{Queue: q, Journal: j, Config: func() *config.Config { return cfg },
		Deliverer: deliver.New(q, j, nil, nil, &deliver.Config{})}
	msg := "From: Ann <a@example.com>\r\nTo: b@example.org\r\nSubject: A message\r\nDate: Thu, 01 Jan 2026 00:00:00 +0000\r\n" +
		"Message-ID: <1@example.com>\r\nX-Id: 1\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\n\r\n" +
		strings.Repeat(strings.Repeat("x", 70)+"\r\n", 53)
	env := &envelope.Envelope{From: "a@example.com", To: []envelope.Recipient{{Address: "b@example.org"}},
		Client: envelope.Client{Helo: "app.example.com", Addr: netip.MustParseAddr("127.0.0.1"), Protocol: "ESMTP", Listener: "127.0.0.1:1025"}}
	b.ReportAllocs()
	for b.Loop() {
		in, err := a.receive(b.Context(), env, strings.NewReader(msg), nil)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := a.parts(b.Context(), in); err != nil {
			b.Fatal(err)
		}
		in.summary()
		if err := in.draft.Discard(); err != nil {
			b.Fatal(err)
		}
	}
}
