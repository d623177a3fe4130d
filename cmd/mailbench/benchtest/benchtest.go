// Package benchtest has what tests of mailbench share: a sink, a small load, and a fake server.
package benchtest

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"regexp"
	"runtime"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/sink"
)

// Main runs the tests of a package, and also plays the server under test: run as "mailhatch serve" by the runner, the test binary
// reads the config the runner wrote and passes every connection on to the sink.
func Main(m *testing.M) {
	if mode := os.Getenv("MAILBENCH_FAKE"); mode != "" {
		if err := fakeServer(mode); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

func fakeServer(mode string) error {
	config, err := os.ReadFile(os.Getenv("MAILHATCH_CONFIG"))
	if err != nil {
		return err
	}
	if mode == "fail" {
		os.Stderr.WriteString("config.toml:1: no such key\n")
		os.Exit(1)
	}
	listen := regexp.MustCompile(`address = "(127\.0\.0\.1:\d+)"`).FindSubmatch(config)
	port := regexp.MustCompile(`port = (\d+)`).FindSubmatch(config)
	l, err := net.Listen("tcp", string(listen[1]))
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, func() { l.Close() })
	for {
		in, err := l.Accept()
		if err != nil {
			return nil
		}
		out, err := net.Dial("tcp", "127.0.0.1:"+string(port[1]))
		if err != nil {
			return err
		}
		go func() { _, _ = io.Copy(out, in); out.Close() }()
		go func() { _, _ = io.Copy(in, out); in.Close() }()
	}
}

// NeedSignals skips where the fake server cannot be ended by SIGTERM.
func NeedSignals(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("SKIPPED: the fake server ends by SIGTERM, which Windows has not")
	}
}

// Sink runs a sink for the length of a test.
func Sink(t *testing.T, f sink.Faults) *sink.Sink {
	t.Helper()
	s, stop, err := sink.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.SetFaults(f)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Load returns a small load for a sink.
func Load(s *sink.Sink) load.Load {
	return load.Load{Addr: s.SMTPAddr().String(), Sessions: 4, Messages: 40, Size: 1024, Recipients: 1, Timeout: 5 * time.Second}
}
