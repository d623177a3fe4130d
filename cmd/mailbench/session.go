package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// schedule hands out the numbers of the messages and, in an open loop, when each is due.
type schedule struct {
	start time.Time
	limit int64         // numbers to hand out; 0: any
	until time.Duration // 0: for ever
	gap   time.Duration // between two messages; 0: closed loop
	next  atomic.Int64
}

func newSchedule(l Load) *schedule {
	s := &schedule{start: time.Now(), limit: int64(l.Messages), until: l.Duration}
	if l.Rate > 0 {
		s.gap = time.Duration(float64(time.Second) / l.Rate)
	}
	return s
}

// take gives the next number and when its message is due, or false when the load is over.
func (s *schedule) take() (n int64, due time.Time, ok bool) {
	n = s.next.Add(1)
	due = time.Now()
	if s.gap > 0 {
		due = s.start.Add(time.Duration(n-1) * s.gap)
	}
	over := s.limit > 0 && n > s.limit || s.until > 0 && due.Sub(s.start) >= s.until
	return n, due, !over
}

// session is one of the load's clients: a connection at a time, a message at a time.
type session struct {
	load     Load
	template *template
	to       []string
	schedule *schedule
	result   *LoadResult

	client *client // nil: not connected
	sent   int     // messages of this connection
	broken int     // connections lost in a row
}

// run sends until the schedule ends. It gives up when the server is lost maxBrokenRow times in a row.
func (s *session) run(ctx context.Context) error {
	defer s.leave()
	for ctx.Err() == nil {
		n, due, ok := s.schedule.take()
		if !ok {
			return nil
		}
		if !sleepUntil(ctx, due) {
			return nil
		}
		err := s.one(ctx, n, due)
		if err == nil {
			s.broken = 0
			continue
		}
		if s.broken++; s.broken >= maxBrokenRow {
			return fmt.Errorf("gave up after %d connections lost in a row: %w", s.broken, err)
		}
	}
	return nil
}

// one sends message n. Its error is a lost connection; refusals are only recorded. Latency counts
// from MAIL, in an open loop from when the message was due: waiting for a slow server is latency too.
func (s *session) one(ctx context.Context, n int64, due time.Time) error {
	message := s.template.stamp(loadID(s.load.Run, n))
	err := s.connect(ctx)
	began := time.Now()
	if s.schedule.gap > 0 {
		began = due
	}
	if err == nil {
		err = s.client.send(loadSender, s.to, message, s.load.Pipelining)
		s.sent++
	}
	if s.result.record(err, time.Since(began)) && s.client != nil {
		s.client.close()
		s.client = nil
	}
	if s.load.PerConnection > 0 && s.sent >= s.load.PerConnection {
		s.leave()
	}
	var refused *replyError
	if errors.As(err, &refused) {
		return nil
	}
	return err
}

func (s *session) connect(ctx context.Context) error {
	if s.client != nil {
		return nil
	}
	c, err := dial(ctx, s.load.Addr, s.load.Timeout)
	if err != nil {
		return err
	}
	s.client, s.sent = c, 0
	s.result.Connections++
	return nil
}

func (s *session) leave() {
	if s.client != nil {
		s.client.quit()
		s.client = nil
	}
}

// sleepUntil waits for a time; false when ctx ended first.
func sleepUntil(ctx context.Context, due time.Time) bool {
	wait := time.Until(due)
	if wait <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
