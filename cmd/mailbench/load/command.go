package load

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/message"
)

// Command is `mailbench load`.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench load", flag.ContinueOnError)
	fs.SetOutput(stderr)
	var l Load
	fs.StringVar(&l.Addr, "addr", "127.0.0.1:1025", "`address` of the SMTP server")
	fs.IntVar(&l.Sessions, "sessions", 1, "connections at once")
	fs.IntVar(&l.Messages, "messages", 0, "messages to send (0: as many as -duration allows)")
	fs.DurationVar(&l.Duration, "duration", 0, "begin no message after this `time`")
	fs.IntVar(&l.Size, "size", 4096, "`bytes` of a message, header included")
	fs.IntVar(&l.Recipients, "recipients", 1, "recipients of each message")
	fs.IntVar(&l.PerConnection, "per-connection", 0, "messages of one connection (0: all of a session)")
	fs.BoolVar(&l.Pipelining, "pipelining", false, "send MAIL, RCPT and DATA in one write")
	fs.Float64Var(&l.Rate, "rate", 0, "open loop: begin so many messages a second, and count latency from when each was due")
	fs.DurationVar(&l.Timeout, "timeout", 30*time.Second, "`time` for one message")
	fs.StringVar(&l.Run, "run", "", "eight characters that begin each "+message.IDHeader+" (default random)")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	if err := l.check(); err != nil {
		return fmt.Errorf("%w: %v", command.ErrUsage, err)
	}
	result, err := l.Send(ctx)
	if result == nil {
		return err
	}
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	if encErr := enc.Encode(result); encErr != nil {
		return errors.Join(err, encErr)
	}
	if lost := result.Lost(); err == nil && lost > 0 {
		err = fmt.Errorf("%d messages were not accepted", lost)
	}
	return err
}
