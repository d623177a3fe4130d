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
)

const usage = `Usage: mailbench COMMAND [flags]

  load    send mail to an SMTP server and print what came of it as JSON
  sink    accept mail over SMTP and over the HTTP APIs of Resend, SendGrid and Mailgun, and count it
  run     measure mailhatch between load and sink; prints a Markdown table
  peers   all figures of doc/performance.md beside Postfix and others, alternating, with ratios
  curve   what a message costs while the queue and the history grow, as a table and an SVG
  soak    a long run of mailhatch with failing providers, reloads and an outage: nothing lost, memory flat
  noop    mailhatch's server with a queue that keeps nothing: the reference for the cost of the queue

Every address must be on loopback. "mailbench COMMAND -h" lists the flags.
`

// errUsage marks an error of the command line: exit status 2.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// command runs one subcommand and gives the exit status: 0 ok, 1 failure, 2 usage.
func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	var err error
	switch args[0] {
	case "load":
		err = loadCommand(ctx, args[1:], stdout, stderr)
	case "sink":
		err = sinkCommand(ctx, args[1:], stdout, stderr)
	case "run":
		err = runCommand(ctx, args[1:], stdout, stderr)
	case "peers":
		err = peersCommand(ctx, args[1:], stdout, stderr)
	case "curve":
		err = curveCommand(ctx, args[1:], stdout, stderr)
	case "noop":
		err = noopCommand(ctx, args[1:], stdout, stderr)
	case "soak":
		err = soakCommand(ctx, args[1:], stdout, stderr)
	case "help", "-h", "--help":
		fmt.Fprint(stdout, usage)
		return 0
	default:
		fmt.Fprint(stderr, usage)
		err = fmt.Errorf("%w: no command %q", errUsage, args[0])
	}
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return 0
	case errors.Is(err, errUsage):
		fmt.Fprintf(stderr, "mailbench: %v\n", err)
		return 2
	}
	fmt.Fprintf(stderr, "mailbench: %v\n", err)
	return 1
}

// parseFlags parses args and refuses operands, which no command takes.
func parseFlags(fs *flag.FlagSet, args []string) error {
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %v", errUsage, err)
	}
	if fs.NArg() > 0 {
		return fmt.Errorf("%w: unexpected %q", errUsage, fs.Arg(0))
	}
	return nil
}
