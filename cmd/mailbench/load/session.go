package load

import (
	"context"
	"errors"
	"fmt"
	"time"

	"mailhatch/cmd/mailbench/host"
	"mailhatch/cmd/mailbench/message"
)

// session is one of the load's clients: a connection at a time, a message at a time.
type session struct {
	load     Load
	template *message.Template
	to       []string
	schedule *Schedule
	result   *Result

	client *Client // nil: not connected
	sent   int     // messages of this connection
	broken int     // connections lost in a row
}

// run sends until the schedule ends. It gives up when the server is lost maxBrokenRow times in a row.
func (s *session) run(ctx context.Context) error {
	defer s.leave()
	for ctx.Err() == nil {
		n, due, ok := s.schedule.Take()
		if !ok {
			return nil
		}
		if !host.SleepUntil(ctx, due) {
			return nil
		}
		err := s.one(ctx, n, due)
		if err == nil {
			s.broken = 0
			continue
		}
		if s.broken++; s.broken >= MaxBroken {
			return fmt.Errorf("gave up after %d connections lost in a row: %w", s.broken, err)
		}
	}
	return nil
}

// one sends message n. Its error is a lost connection; refusals are only recorded. Latency counts
// from MAIL, in an open loop from when the message was due: waiting for a slow server is latency too.
func (s *session) one(ctx context.Context, n int64, due time.Time) error {
	message := s.template.Stamp(message.ID(s.load.Run, n))
	err := s.connect(ctx)
	began := time.Now()
	if s.schedule.gap > 0 {
		began = due
	}
	if err == nil {
		err = s.client.Send(Sender, s.to, message, s.load.Pipelining)
		s.sent++
	}
	if s.result.Record(err, time.Since(began)) && s.client != nil {
		s.client.Close()
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
	c, err := Dial(ctx, s.load.Addr, s.load.Timeout)
	if err != nil {
		return err
	}
	s.client, s.sent = c, 0
	s.result.Connections++
	return nil
}

func (s *session) leave() {
	if s.client != nil {
		s.client.Quit()
		s.client = nil
	}
}
