// Command mailbench measures SMTP servers on loopback: a load client, a counting sink, and runners
// that put mailhatch (and, for comparison, Postfix) between the two.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"mailhatch/cmd/mailbench/command"
	"mailhatch/cmd/mailbench/load"
	"mailhatch/cmd/mailbench/measure"
	"mailhatch/cmd/mailbench/noop"
	"mailhatch/cmd/mailbench/peers"
	"mailhatch/cmd/mailbench/sink"
	"mailhatch/cmd/mailbench/soak"
	"mailhatch/cmd/mailbench/stepped"
)

const usage = `Usage: mailbench COMMAND [flags]

  load    send mail to an SMTP server and print what came of it as JSON
  sink    accept mail over SMTP and over the HTTP APIs of Resend, SendGrid and Mailgun, and count it
  run     measure mailhatch between load and sink; prints a Markdown table
  peers   all figures of doc/performance.md beside Postfix and others, alternating, with ratios
  curve   what a message costs while the queue and the history grow, as a table and an SVG
  soak    a long run of mailhatch with failing providers, kills and a damaged log: nothing lost, memory flat
  stepped mailhatch's gateway with a time of day that a file shifts, for the soak
  noop    mailhatch's server with a queue that keeps nothing: the reference for the cost of the queue

Every address must be on loopback. "mailbench COMMAND -h" lists the flags.
`

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run runs one subcommand and returns the exit status: 0 ok, 1 failure, 2 usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "load":
		err = load.Command(ctx, args[1:], stdout, stderr)
	case "sink":
		err = sink.Command(ctx, args[1:], stdout, stderr)
	case "run":
		err = measure.Command(ctx, args[1:], stdout, stderr)
	case "peers":
		err = peers.Command(ctx, args[1:], stdout, stderr)
	case "curve":
		err = peers.CurveCommand(ctx, args[1:], stdout, stderr)
	case "noop":
		err = noop.Command(ctx, args[1:], stdout, stderr)
	case "stepped":
		err = stepped.Command(ctx, args[1:], stdout, stderr)
	case "soak":
		err = soak.Command(ctx, args[1:], stdout, stderr)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	default:
		fmt.Fprint(stderr, usage)
		err = fmt.Errorf("%w: no command %q", command.ErrUsage, args[0])
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, command.ErrUsage):
		fmt.Fprintf(stderr, "mailbench: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "mailbench: %v\n", err)
	return 1
}
