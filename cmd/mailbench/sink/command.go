package sink

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"mailhatch/cmd/mailbench/command"
)

// Command is `mailbench sink`: it serves until interrupted and then prints its counts.
func Command(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	fs := flag.NewFlagSet("mailbench sink", flag.ContinueOnError)
	fs.SetOutput(stderr)
	smtpAddr := fs.String("smtp", "127.0.0.1:2525", "`address` for SMTP")
	httpAddr := fs.String("http", "127.0.0.1:8525", "`address` for the HTTP APIs, GET /_sink/stats, POST /_sink/reset and PUT /_sink/faults")
	var f Faults
	fs.DurationVar(&f.Delay, "delay", 0, "wait before each answer")
	fs.DurationVar(&f.Jitter, "jitter", 0, "up to so much more")
	fs.Float64Var(&f.Throttle, "throttle", 0, "`probability` of 429 or 451 4.7.1")
	fs.Float64Var(&f.Temporary, "temporary", 0, "`probability` of 500 or 451 4.3.0")
	fs.Float64Var(&f.Permanent, "permanent", 0, "`probability` of 400 or 550")
	fs.Float64Var(&f.DropBefore, "drop-before", 0, "`probability` of closing without an answer and without counting")
	fs.Float64Var(&f.DropAfter, "drop-after", 0, "`probability` of closing without an answer after counting")
	if err := command.Parse(fs, args); err != nil {
		return err
	}
	s, err := Open(*smtpAddr, *httpAddr, f)
	if err != nil {
		return err
	}
	fmt.Fprintf(stderr, "mailbench: sink at %s and %s\n", s.SMTPAddr(), s.URL())
	if err := s.Run(ctx); err != nil {
		return err
	}
	enc := json.NewEncoder(stdout)
	enc.SetIndent("", "  ")
	return enc.Encode(s.Stats())
}
