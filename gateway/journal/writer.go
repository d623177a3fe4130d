package journal

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"sync"
	"time"

	"mailhatch/gateway/meter"
)

const (
	maxPending = 2 << 20               // bytes of lines that wait; as many may be in the hands of the system
	keepBuffer = 64 << 10              // bytes that are not given back between two bursts
	flushTime  = 2 * time.Second       // for the last lines at the end
	gatherTime = 10 * time.Millisecond // lines of this time are written together: waking up for each costs more than writing it
)

// Writer takes lines of a log and never makes their writer wait: what reads the log may be slow, stalled or
// gone. Lines wait in memory; those for which there is no room, and those that cannot be written, are
// dropped and counted. Run writes them.
type Writer struct {
	out     io.Writer
	dropped *meter.Counter
	wake    chan struct{}

	mu      sync.Mutex
	pending []byte
	spare   []byte
	lost    int // lines dropped since that was last reported
}

// NewWriter returns a writer of lines to out.
func NewWriter(out io.Writer) *Writer {
	return &Writer{out: out, wake: make(chan struct{}, 1), dropped: meter.NewCounter("mailhatch_log_lines_dropped_total",
		"Lines of the log that were dropped because nobody read them.")}
}

// Dropped returns the metric that counts dropped lines.
func (w *Writer) Dropped() *meter.Counter { return w.dropped }

// Write implements io.Writer for whole lines. It does not fail.
func (w *Writer) Write(lines []byte) (int, error) {
	w.mu.Lock()
	first := len(w.pending) == 0
	if len(w.pending)+len(lines) <= maxPending {
		w.pending = append(w.pending, lines...)
	} else {
		w.drop(lines)
	}
	w.mu.Unlock()
	if first {
		select {
		case w.wake <- struct{}{}:
		default: // it will look
		}
	}
	return len(lines), nil
}

// drop counts lines that are lost.
func (w *Writer) drop(lines []byte) {
	n := bytes.Count(lines, []byte{'\n'})
	w.lost += n
	w.dropped.Add(n)
}

// Run writes lines until ctx ends, and then what is left, for a short time. After lines were dropped, log, which
// writes to w, says so once lines can be written again.
func (w *Writer) Run(ctx context.Context, log *slog.Logger) error {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			select {
			case <-w.wake:
				pause(ctx, gatherTime)
			case <-ctx.Done():
			}
			w.flush(log)
		}
		w.flush(log) // what came between the last look and the end
	}()
	<-ctx.Done()
	last := time.NewTimer(flushTime)
	defer last.Stop()
	select {
	case <-done:
	case <-last.C: // nothing can interrupt a write that blocks: it ends with the program
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// flush writes all lines that wait.
func (w *Writer) flush(log *slog.Logger) {
	for {
		w.mu.Lock()
		lines := w.pending
		w.pending, w.spare = w.spare[:0], nil
		w.mu.Unlock()
		if len(lines) == 0 {
			return
		}
		n, err := w.out.Write(lines)
		w.mu.Lock()
		if err != nil {
			w.drop(lines[n:])
		}
		lost := w.lost
		if err == nil {
			w.lost = 0
		}
		if cap(lines) <= keepBuffer {
			w.spare = lines
		}
		w.mu.Unlock()
		if err == nil && lost > 0 {
			log.Warn("log_lines_dropped", "lines", lost)
		}
	}
}
