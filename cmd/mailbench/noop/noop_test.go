package noop

import (
	"context"
	"strings"
	"testing"
	"time"

	"mailhatch/cmd/mailbench/benchtest"
	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/server"
	"mailhatch/cmd/mailbench/sink"
	"mailhatch/test/freeport"
)

// TestNoop runs the server with a queue that keeps nothing, in this process.
func TestNoop(t *testing.T) {
	port := freeport.Port(t)
	path, err := server.WriteConfig(t.TempDir(), "", port, server.Target{Upstream: "hold", SMTP: 1})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	ctx, stop := context.WithCancel(t.Context())
	go func() {
		var quiet strings.Builder
		done <- Command(ctx, []string{"-config", path}, nil, &quiet)
	}()
	l := benchtest.Load(benchtest.Sink(t, sink.Faults{}))
	l.Addr, l.Size = host.Loopback(port), 100_000
	for range 500 { // until it listens
		c, err := load.Dial(t.Context(), l.Addr, l.Timeout)
		if err == nil {
			c.Quit()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	got, err := l.Send(t.Context())
	if err != nil || got.Accepted != l.Messages {
		t.Errorf("%v: %+v", err, got)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
