package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// reader is the far end of a log: it can stall and fail.
type reader struct {
	mu    sync.Mutex
	got   bytes.Buffer
	err   error
	stall chan struct{} // writes wait until it is closed; nil: they do not
}

func (r *reader) Write(p []byte) (int, error) {
	if r.stall != nil {
		<-r.stall
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	return r.got.Write(p)
}

func (r *reader) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.err = err
}

// run runs w until stop is called.
func run(t *testing.T, w *Writer) (log *slog.Logger, stop func()) {
	log = slog.New(slog.NewTextHandler(w, nil))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- w.Run(ctx, log) }()
	return log, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestWriter(t *testing.T) {
	out := &reader{}
	w := NewWriter(out)
	log, stop := run(t, w)
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			for j := range 100 {
				log.Info("line", "n", i*100+j)
			}
		})
	}
	all.Wait()
	stop()
	for n := range 800 {
		if !strings.Contains(out.got.String(), fmt.Sprintf(" n=%d\n", n)) {
			t.Fatalf("line %d is missing", n)
		}
	}
	if n := w.Dropped().Value(); n != 0 {
		t.Errorf("%v dropped", n)
	}
}

// TestWriterStalled fills the buffer of a log that nobody reads, then reads it.
func TestWriterStalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &reader{stall: make(chan struct{})}
		w := NewWriter(out)
		log, stop := run(t, w)
		line := strings.Repeat("x", 1<<10)
		log.Info("first")
		time.Sleep(2 * gatherTime)
		synctest.Wait() // it is on its way
		sent := 0
		for w.Dropped().Value() < 7 {
			log.Info(line)
			sent++
		}
		if n := sent - 7; n < maxPending>>11 || n > maxPending>>10 {
			t.Errorf("%d lines of a kB wait", n)
		}
		close(out.stall)
		stop()
		got := out.got.String()
		if strings.Count(got, line) != sent-7 || !strings.Contains(got, "msg=log_lines_dropped lines=7\n") {
			t.Errorf("%d of %d lines; %q", strings.Count(got, line), sent, got[len(got)-80:])
		}
	})
}

// TestWriterNeverRead ends although a write does not.
func TestWriterNeverRead(t *testing.T) {
	r, pipe, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	w := NewWriter(pipe)
	log, stop := run(t, w)
	for range 1000 {
		log.Info(strings.Repeat("x", 1<<10))
	}
	start := time.Now()
	stop()
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("the end took %v", d)
	}
	r.Close() // the write fails
	pipe.Close()
}

// TestWriterGone loses its reader and gets another.
func TestWriterGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		out := &reader{err: errors.New("broken pipe")}
		w := NewWriter(out)
		log, stop := run(t, w)
		for range 3 {
			log.Info("lost")
			time.Sleep(2 * gatherTime)
			synctest.Wait()
		}
		if n := w.Dropped().Value(); n != 3 {
			t.Errorf("%v dropped", n)
		}
		out.fail(nil)
		log.Info("back")
		stop()
		if got := out.got.String(); strings.Contains(got, "msg=lost") || !strings.Contains(got, "msg=back\n") || !strings.Contains(got, "lines=3\n") {
			t.Errorf("%q", got)
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	w := NewWriter(io.Discard)
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	log := slog.New(slog.NewJSONHandler(w, nil))
	go func() { _ = w.Run(ctx, log) }()
	for b.Loop() {
		log.Info("accepted", "id", "01TEST", "from", "a@example.com", "size", 1000)
	}
}

// TestLastLines: lines that come just before the end are written, whenever the writer looks.
func TestLastLines(t *testing.T) {
	out := &reader{}
	w := NewWriter(out)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	slog.New(slog.NewTextHandler(w, nil)).Info("stopped")
	if err := w.Run(ctx, slog.New(slog.DiscardHandler)); err != nil || !strings.Contains(out.got.String(), "msg=stopped") {
		t.Errorf("%q, %v", &out.got, err)
	}
}
