package smtpd

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/backoff"
	"mailhatch/gateway/smtpd/limit"
)

// FuzzSession plays any bytes to a whole session. No panic, no goroutine left, and each message
// that is kept was completed by the bytes.
func FuzzSession(f *testing.F) {
	files, err := filepath.Glob("testdata/*.smtp")
	if err != nil {
		f.Fatal(err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add([]byte(clientSide(string(text))), uint8(0))
		f.Add([]byte(clientSide(string(text))), uint8(7))
		f.Add([]byte(clientSide(string(text))), uint8(8))
	}
	f.Fuzz(func(t *testing.T, input []byte, mode uint8) {
		k := &keeper{}
		panics := make(chan error, 1) // the first that keeper does not make on demand
		cfg := Config{
			Hostname: "mx.test", MaxMessage: 1 << 16, MaxRecipients: 5, IdleTimeout: 5 * time.Second, Guard: backoff.New(1, nil),
			DrainTimeout: 5 * time.Second,
			OnEvent: func(e Event) {
				if e.Kind == Panicked && !strings.HasPrefix(e.Err.Error(), "panic: in ") {
					select {
					case panics <- e.Err:
					default:
					}
				}
			},
		}
		if mode&1 != 0 {
			cfg.BareNewlines = Reject
		}
		if mode&2 != 0 {
			cfg.Auth = AuthOptional
			cfg.AllowInsecureAuth = true
			cfg.Authenticate = func(context.Context, string, string, netip.Addr) error { return nil }
		}
		if mode&8 != 0 {
			cfg.BareNewlines, cfg.HeloOptional, cfg.AcceptAnyAuth = Accept, true, true
		}
		if mode&4 != 0 {
			cfg.MaxLine, cfg.MaxErrors, cfg.InFlight = 200, 3, limit.NewBudget(minBudgetStep)
		}
		play(t, cfg, k, input)
		select {
		case err := <-panics:
			t.Fatal(err)
		default:
		}
		ends := strings.Count(string(input), "\n.\r\n")
		if cfg.BareNewlines == Accept {
			onlyLF, _, _ := strings.Cut(string(input), "\r")
			ends += strings.Count(onlyLF, "\n.\n")
		}
		if kept := len(k.got()); kept > ends {
			t.Fatalf("%d messages kept, %d ends in %q", kept, ends, input)
		}
		if !isFree(cfg.InFlight) {
			t.Fatal("budget is not given back")
		}
	})
}

// play runs a server for one client.
func play(t *testing.T, cfg Config, k *keeper, input []byte) {
	l := newPipes()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- New(cfg, k, slog.New(slog.DiscardHandler)).Serve(ctx, l) }()
	c := l.dial()
	heard := make(chan struct{})
	go func() {
		defer close(heard)
		io.Copy(io.Discard, c)
	}()
	c.Write(input)
	c.Close()
	<-heard
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
}

// clientSide is all that the client of a dialog sends.
func clientSide(dialog string) string {
	var b strings.Builder
	for line := range strings.SplitSeq(dialog, "\n") {
		if c, ok := strings.CutPrefix(line, "C: "); ok {
			b.WriteString(c + "\r\n")
		}
		if r, ok := strings.CutPrefix(line, "R: "); ok {
			s, _ := strconv.Unquote(r)
			b.WriteString(s)
		}
	}
	return b.String()
}

var _ net.Listener = (*pipes)(nil)
