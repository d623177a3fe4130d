package accept

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"mailhatch/gateway/config"
	"mailhatch/gateway/deliver"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// picky is an upstream, and its settings, that carries nothing, and counts how often it is asked.
type picky struct{ asked, recipients int }

func (p *picky) Open(upstream.Env) (upstream.Upstream, error) { return p, nil }

func (p *picky) Send(context.Context, *upstream.Mail) []upstream.Outcome { panic("not asked to") }

func (p *picky) Preflight(m *upstream.Mail) error {
	p.asked++
	p.recipients = len(m.To)
	return &upstream.Error{Class: upstream.Unrepresentable, Err: errors.New("too colourful")}
}

// TestUpstreamsAreAskedOnce: what an upstream cannot carry, it is asked about once for all who would have it there.
func TestUpstreamsAreAskedOnce(t *testing.T) {
	p := &picky{}
	kind := upstream.Kind{Name: "picky", New: func() upstream.Settings { return p }}
	file := filepath.Join(t.TempDir(), "mailhatch.toml")
	text := "hostname = \"gw.example.com\"\n[upstream.a]\ntype = \"picky\"\n[upstream.b]\ntype = \"picky\"\n" +
		"[[route]]\nto = \"*@b.example\"\nvia = [\"b\"]\n[[route]]\nvia = [\"a\", \"b\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file, config.Options{Kinds: []upstream.Kind{kind}})
	if err != nil {
		t.Fatal(err)
	}
	j := journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	a := &Acceptor{Journal: j, Deliverer: deliver.New(nil, j, nil, nil, &deliver.Config{})}
	in := &incoming{cfg: cfg, msg: newMessage(t)}
	const half = 500
	for i := range half {
		in.env.To = append(in.env.To, envelope.Recipient{Address: fmt.Sprintf("ann%d@a.example", i)},
			envelope.Recipient{Address: fmt.Sprintf("ann%d@b.example", i)})
	}
	parts, err := a.parts(t.Context(), in)
	if err == nil || !strings.Contains(err.Error(), "too colourful") {
		t.Errorf("the refusal is %v", err)
	}
	if p.asked != 2 || p.recipients != 2*half && p.recipients != half {
		t.Errorf("asked %d times, the last time about %d recipients", p.asked, p.recipients)
	}
	if len(parts) != 1 || len(parts[0].To) != 2*half || parts[0].State != envelope.Queued {
		t.Errorf("parts: %+v", parts)
	}
}

func newMessage(t *testing.T) *mime.Message {
	t.Helper()
	m, err := mime.Parse(mime.NewBytesSource([]byte("From: a@x.example\r\n\r\nHello\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}
