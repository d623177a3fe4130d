package main

import (
	"context"
	"io"
	"net"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// TestMain also plays the server under test: run as "mailhatch serve" by the runner, the test binary
// reads the config the runner wrote and passes every connection on to the sink.
func TestMain(m *testing.M) {
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

// runSink runs a sink for the length of a test.
func runSink(t *testing.T, f Faults) *Sink {
	t.Helper()
	sink, stop, err := startSink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	sink.SetFaults(f)
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return sink
}

// loadFor is a small load for a sink.
func loadFor(s *Sink) Load {
	return Load{Addr: s.SMTPAddr().String(), Sessions: 4, Messages: 40, Size: 1024, Recipients: 1, Timeout: 5 * time.Second}
}

// dialogServer answers each line of a connection by what answer gives; "" closes. It stops with the test.
func dialogServer(t *testing.T, greeting string, answer func(line string) string) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { converse(conn, greeting, answer) })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func converse(conn net.Conn, greeting string, answer func(string) string) {
	defer conn.Close()
	if _, err := io.WriteString(conn, greeting); err != nil {
		return
	}
	buf := make([]byte, 64<<10)
	rest := ""
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		rest += string(buf[:n])
		for {
			line, after, ok := strings.Cut(rest, "\r\n")
			if !ok {
				break
			}
			rest = after
			reply := answer(line)
			if reply == "" {
				return
			}
			if reply == "-" { // a line of a message
				continue
			}
			if _, err := io.WriteString(conn, reply); err != nil {
				return
			}
		}
	}
}
