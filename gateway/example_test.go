package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/smtp"
	"os"
	"path/filepath"

	"mailhatch/gateway"
	"mailhatch/gateway/config"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
)

// pager is an upstream of one's own: it "sends" each mail by printing who gets it.
type pager struct {
	prefix string
	paged  chan struct{}
}

// Send implements upstream.Upstream: translate, call, classify; delivery does the rest.
func (p *pager) Send(_ context.Context, m *upstream.Mail) []upstream.Outcome {
	out := make([]upstream.Outcome, len(m.To))
	for i, to := range m.To {
		if to.Address == "nobody@example.org" {
			out[i].Err = &upstream.Error{Class: upstream.Permanent, Code: "5.1.1", Err: errors.New("no such pager")}
			continue
		}
		fmt.Printf("%s %s: %s\n", p.prefix, to.Address, m.Message.Subject)
		out[i].ID = "page-1"
		close(p.paged)
	}
	return out
}

// pagerSettings are the keys that [upstream.NAME] has for this kind beside those of every kind.
type pagerSettings struct {
	Prefix string `toml:"prefix"`
	paged  chan struct{}
}

// Open implements upstream.Settings.
func (s *pagerSettings) Open(upstream.Env) (upstream.Upstream, error) {
	if s.Prefix == "" {
		return nil, &upstream.KeyError{Key: "prefix", Problem: "is missing", Hint: "say what goes before each line"}
	}
	return &pager{s.Prefix, s.paged}, nil
}

// A program of one's own with an upstream of one's own: this is all of its main.
func Example() {
	dir, err := os.MkdirTemp("", "mh")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "mailhatch.toml")
	text := "state_dir = \"state\"\n[[listener]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"off\"\n" +
		"[upstream.me]\ntype = \"pager\"\nprefix = \"page\"\n[[route]]\nvia = [\"me\"]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		panic(err)
	}

	paged := make(chan struct{})
	kinds := append(kinds.Kinds(), upstream.Kind{
		Name: "pager", Doc: "prints a line", New: func() upstream.Settings { return &pagerSettings{paged: paged} },
	})
	cfg, err := config.Load(file, config.Options{Kinds: kinds, Version: "1"})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	g, err := gateway.New(ctx, cfg, gateway.Options{Version: "1", Kinds: kinds})
	if err != nil {
		panic(err)
	}
	started, ended := make(chan struct{}), make(chan error, 1)
	go func() { ended <- g.Run(ctx, func() { close(started) }) }()

	<-started
	msg := []byte("From: a@example.com\r\nSubject: disk full\r\n\r\n/var is at 99 %\r\n")
	if err := smtp.SendMail(g.Addrs()[0].String(), nil, "a@example.com", []string{"ops@example.org"}, msg); err != nil {
		panic(err)
	}
	<-paged
	stop() // running deliveries end; mail that is still queued goes at the next start
	if err := <-ended; err != nil {
		panic(err)
	}
	// Output: page ops@example.org: disk full
}
