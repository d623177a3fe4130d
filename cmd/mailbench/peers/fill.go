package peers

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/message"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
)

const (
	fillWriters = 256                 // that share transactions
	fillBatch   = 512                 // parts claimed at once
	fillSize    = 4096                // bytes of a message
	fillDue     = 24 * time.Hour      // from now: the queue is full, not busy
	fillPerMail = int64(2 * fillSize) // space on the disk, with the log and the indexes
	fillLane    = "sink"              // the upstream of mailhatchConfig
)

// filling is a queue to make without a server: by the engine itself, many messages to a
// transaction.
type filling struct {
	Queued  int // messages that wait for the upstream, due in a day
	History int // messages that were sent
}

// fillQueue adds messages to the queue of a state directory that no server has open.
func fillQueue(ctx context.Context, stateDir string, f filling) (err error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return err
	}
	store, err := engines.Open(ctx, engines.Default, queue.Settings{Dir: stateDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, store.Close()) }()
	writing, stop := context.WithCancel(context.WithoutCancel(ctx))
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return store.Run(writing) })
	group.Go(func() error {
		defer stop()
		return f.into(ctx, store)
	})
	return group.Wait()
}

func (f filling) into(ctx context.Context, store queue.Queue) error {
	if err := commitMany(ctx, store, f.Queued, time.Now().Add(fillDue)); err != nil {
		return err
	}
	const step = 20_000 // so that the file holds few bodies at a time
	for done := 0; done < f.History; done += step {
		n := min(step, f.History-done)
		if err := commitMany(ctx, store, n, time.Time{}); err != nil {
			return err
		}
		if err := finishMany(ctx, store, n); err != nil {
			return err
		}
	}
	return nil
}

// commitMany stores n messages that are due at a time.
func commitMany(ctx context.Context, q queue.Queue, n int, due time.Time) error {
	const to = "r1@sink.example"
	t, err := message.New(load.Sender, []string{to}, fillSize)
	if err != nil {
		return err
	}
	run := fmt.Sprintf("%08x", uint32(time.Now().UnixNano()))
	group, ctx := errgroup.WithContext(ctx)
	var next atomic.Int64
	for range fillWriters {
		group.Go(func() error {
			t := t.Clone()
			for i := next.Add(1); i <= int64(n); i = next.Add(1) {
				if err := commitOne(ctx, q, t.Stamp(message.ID(run, i)), to, due); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return group.Wait()
}

func commitOne(ctx context.Context, q queue.Queue, message []byte, to string, due time.Time) error {
	draft, err := q.New(ctx)
	if err != nil {
		return err
	}
	if _, err := draft.Write(message); err != nil {
		return errors.Join(err, draft.Discard())
	}
	rcpt := []envelope.Recipient{{Address: to}}
	return draft.Commit(ctx, queue.Accepted{
		Envelope: envelope.Envelope{From: load.Sender, To: rcpt, Received: time.Now(), Client: envelope.Client{Protocol: "ESMTP", Helo: "mailbench.example"}},
		Header:   queue.Summary{MessageID: "<" + draft.ID() + "@mailbench.example>", From: load.Sender, Subject: "A message of mailbench"},
		Parts:    []queue.Part{{To: rcpt, Lane: fillLane, State: envelope.Queued, NextAt: due}},
	})
}

// finishMany makes n messages that are due history, as if an upstream had taken them.
func finishMany(ctx context.Context, q queue.Queue, n int) error {
	for n > 0 {
		leases, err := q.Claim(ctx, fillLane, min(n, fillBatch), time.Minute)
		if err != nil {
			return err
		}
		if len(leases) == 0 {
			return fmt.Errorf("%d messages less in the queue than were put there", n)
		}
		errs := make([]error, len(leases))
		var wg sync.WaitGroup
		for i, l := range leases {
			wg.Go(func() { errs[i] = finishOne(ctx, l) })
		}
		wg.Wait()
		if err := errors.Join(load.Dedupe(errs)...); err != nil {
			return err
		}
		n -= len(leases)
	}
	return nil
}

func finishOne(ctx context.Context, l queue.Lease) error {
	var r queue.Result
	for _, rcpt := range l.Message().Parts[0].To {
		r.Done = append(r.Done, queue.Record{Recipient: rcpt, State: envelope.Sent, At: time.Now(), Upstream: fillLane,
			ProviderID: "250 2.0.0 OK: counted " + l.Message().ID, Attempts: 1})
	}
	return l.Finish(ctx, r)
}
