package sqlite_test

import (
	"context"
	"errors"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// TestGroup checks that ops of one transaction do not suffer for one that fails.
func TestGroup(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	refused := errors.New("refused")
	for _, c := range []struct {
		name string
		ops  []sqlite.TestOp
		want []error
	}{
		{"one fails", []sqlite.TestOp{{}, {Err: refused}, {}}, []error{nil, refused, nil}},
		{"one is fenced", []sqlite.TestOp{{}, {Err: queue.ErrFenced, Clean: true}, {}}, []error{nil, queue.ErrFenced, nil}},
		{"all fail", []sqlite.TestOp{{Err: refused}, {Err: refused}}, []error{refused, refused}},
		{"all are fenced", []sqlite.TestOp{{Err: queue.ErrFenced, Clean: true}}, []error{queue.ErrFenced}},
		{"full", []sqlite.TestOp{{Mail: true}, {Err: sqlite.FullError(), Mail: true}, {}}, []error{queue.ErrFull, queue.ErrFull, nil}},
		{"full for all", []sqlite.TestOp{{Err: sqlite.FullError()}, {}}, []error{queue.ErrFull, queue.ErrFull}},
	} {
		t.Run(c.name, func(t *testing.T) {
			errs, rows := s.RunGroup(t, c.ops)
			kept := 0
			for i, err := range errs {
				if !errors.Is(err, c.want[i]) || (err == nil) != (c.want[i] == nil) {
					t.Errorf("op %d: got %v, want %v", i, err, c.want[i])
				}
				if err == nil {
					kept++
				}
			}
			if rows != kept {
				t.Errorf("%d changes were kept, want those of the %d ops that succeeded", rows, kept)
			}
			if err := s.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestResultsWait checks that results share the commit of the mail that they wait for, or come before the end.
func TestResultsWait(t *testing.T) {
	for _, c := range []struct {
		name string
		next func(mail, end func())
	}{
		{"mail comes", func(mail, _ func()) { mail() }},
		{"the writer ends", func(_, end func()) { end() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := sqlite.Open(t.Context(), queue.Settings{Dir: t.TempDir()})
			if err != nil {
				t.Fatal(err)
			}
			defer mustClose(t, s)
			ctx, end := context.WithCancel(t.Context())
			defer end()
			if n := s.Await(ctx, t, func(mail func()) { c.next(mail, end) }); n != 1 {
				t.Errorf("%d transactions, want 1", n)
			}
		})
	}
}

// TestWithdrawn checks that a call whose context ends before its turn has changed nothing.
func TestWithdrawn(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	release := s.BlockWriter()
	ctx, cancel := context.WithCancel(context.Background())
	result := make(chan error)
	go func() {
		d, err := s.New(ctx)
		if err == nil {
			to := []envelope.Recipient{{Address: "bob@example.org"}}
			err = d.Commit(ctx, queue.Accepted{Envelope: envelope.Envelope{To: to}, Parts: []queue.Part{{To: to, State: envelope.Queued}}})
		}
		result <- err
	}()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) {
		t.Errorf("Commit: %v, want context.Canceled", err)
	}
	release()
	if got, err := s.List(context.Background(), queue.Filter{}, queue.Page{}); err != nil || len(got) != 0 {
		t.Errorf("List: %d messages, %v; want none", len(got), err)
	}
}

// TestEngineVersion keeps out engines that can lose a commit beside a checkpoint in another connection:
// https://www.sqlite.org/wal.html#walresetbug.
func TestEngineVersion(t *testing.T) {
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	version, err := s.EngineVersion()
	if err != nil || version < 3051003 {
		t.Errorf("SQLite %d, %v; want 3051003 or later", version, err)
	}
}
