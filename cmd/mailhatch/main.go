// Command mailhatch is a local SMTP gateway that forwards mail to Resend, SendGrid, Mailgun or an SMTP relay.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"mailhatch/gateway"
)

// Output rules: results go to stdout; all else goes to stderr with "mailhatch: " before it, without
// a capital and without a full stop; what to do about it follows in a line "hint: ".

// version is set by the Makefile.
var version = ""

func main() { os.Exit(realMain()) }

func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	return a.main(ctx, byName(os.Args))
}

// app is what commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configPath     string               // from -c; "" when not given
	place          *gateway.SubmitPlace // where sendmail has found a gateway; nil for other commands
	flagSet        *flag.FlagSet        // of the command that runs; nil before it has made any
}

// command is one word after mailhatch.
type command struct {
	name, args, doc string
	run             func(ctx context.Context, a *app, args []string) error
}

func commands() []command {
	return []command{
		{"serve", "", "run the gateway (the default)", runServe},
		{"init", "[--upstream TYPE] [--from A] [--output FILE]", "write a first config, by flags or by a few questions", runInit},
		{"check", "[--online]", "check the config; with --online the upstreams and this machine too", runCheck},
		{"route", "--from A --to B [FILE]", "show which rule decides, and why", runRoute},
		{"render", "--upstream NAME FILE", "show what would be sent for a message", runRender},
		{"send", "--to A [--from A] [-s SUBJECT] [-a FILE] [A…]", "send a message with files through the running gateway, as mailx(1)", runSend},
		{"queue", "list|show|cat|retry|hold|release|delete [ID…|--all]", "look at and steer queued mail", runQueue},
		{"log", "[--to A] [--from A] [--id ID] [--since 1h]", "show what became of messages", runLog},
		{"status", "", "show upstreams and queue", runStatus},
		{"sendmail", "[-t] [-i] [-f ADDRESS] [ADDRESS…]", "take a message from standard input, as sendmail(8); also by that name", runSendmail},
		{"reload", "", "make the running gateway read its config again", runReload},
		{"healthcheck", "[--ready]", "ask the running gateway whether it is well; for containers and scripts", runHealthcheck},
		{"hash-password", "< FILE", "read a password from standard input, print its hash for [[listener.user]]", runHashPassword},
		{"man", "[mailhatch|mailhatch.toml|sendmail]", "print a manual page, as man -l - reads it", runMan},
		{"completion", "bash|zsh|fish", "print what makes a shell complete command lines", runCompletion},
		{"version", "", "print the version", runVersion},
	}
}

// main runs a command line and gives the exit code: 0 ok, 1 failure, 2 usage.
func (a *app) main(ctx context.Context, args []string) int {
	fs := flag.NewFlagSet("mailhatch", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	fs.StringVar(&a.configPath, "c", "", "")
	fs.StringVar(&a.configPath, "config", "", "")
	showVersion := fs.Bool("version", false, "")
	if err := fs.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			a.usage()
			return 0
		}
		return a.fail(usagef("%v", err))
	}
	args = fs.Args()
	if *showVersion {
		args = []string{"version"}
	}
	if len(args) == 0 {
		args = []string{"serve"}
	}
	if args[0] == "help" {
		a.usage()
		return 0
	}
	for _, c := range commands() {
		if c.name == args[0] {
			err := c.run(ctx, a, args[1:])
			if errors.Is(err, flag.ErrHelp) {
				a.commandUsage(a.commandName(c.name))
			}
			return a.fail(err)
		}
	}
	return a.fail(usagef("there is no command %q", args[0]))
}

// commandName is the whole name of the command that runs, such as "queue list".
func (a *app) commandName(word string) string {
	if a.flagSet == nil {
		return word
	}
	return strings.TrimPrefix(a.flagSet.Name(), "mailhatch ")
}

// usageError is a command line that cannot be followed.
type usageError struct{ msg string }

// Error gives the words.
func (e usageError) Error() string { return e.msg }

func usagef(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// hintError is an error with what to do about it.
type hintError struct {
	error
	hint string
}

// Unwrap gives the error without the hint.
func (e hintError) Unwrap() error { return e.error }

func hintf(err error, format string, args ...any) error {
	return hintError{err, fmt.Sprintf(format, args...)}
}

// fail prints an error as people read it and gives the exit code.
func (a *app) fail(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var silent silentError
	if errors.As(err, &silent) {
		return silent.code
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		prefix := "mailhatch: "
		if strings.HasPrefix(line, "hint: ") || strings.HasPrefix(line, "  ") {
			prefix = ""
		}
		fmt.Fprintln(a.stderr, prefix+line)
	}
	var h hintError
	if errors.As(err, &h) {
		fmt.Fprintln(a.stderr, "hint: "+h.hint)
	}
	var u usageError
	switch {
	case errors.As(err, &u):
		switch {
		case errors.As(err, &h):
		case a.flagSet != nil:
			fmt.Fprintf(a.stderr, "hint: %s --help tells more\n", a.flagSet.Name())
		default:
			fmt.Fprintln(a.stderr, "hint: mailhatch --help lists the commands")
		}
		return 2
	case !errors.As(err, &h):
		if hint := hintFor(err); hint != "" {
			fmt.Fprintln(a.stderr, "hint: "+hint)
		}
	}
	return 1
}

// hintFor tells what to do about failures of the system whose own words do not.
func hintFor(err error) string {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there, perhaps another mailhatch: stop it, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	case errors.Is(err, os.ErrPermission):
		return "choose a place that this user may use, or run as the user it belongs to; ports below 1024 come by systemd/mailhatch.socket"
	case errors.Is(err, os.ErrNotExist):
		return "check the path for a typing error"
	}
	return ""
}

// silentError is a failure that has been told already.
type silentError struct{ code int }

// Error is for callers that print it all the same.
func (e silentError) Error() string { return fmt.Sprintf("exit code %d", e.code) }

// flags makes a flag set for a command, whose mistakes are usage errors.
func (a *app) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet("mailhatch "+name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // mistakes and help are told by main
	fs.StringVar(&a.configPath, "c", a.configPath, "config `file`")
	fs.StringVar(&a.configPath, "config", a.configPath, "config `file`")
	a.flagSet = fs
	return fs
}

// parse lets flags and arguments come in any order, as people type them.
func parse(fs *flag.FlagSet, args []string) (rest []string, err error) {
	for {
		if err := fs.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return nil, err
			}
			return nil, usageError{err.Error()}
		}
		if args = fs.Args(); len(args) == 0 {
			return rest, nil
		}
		rest, args = append(rest, args[0]), args[1:]
	}
}

func runVersion(_ context.Context, a *app, args []string) error {
	fs := a.flags("version")
	asJSON := fs.Bool("json", false, "one JSON object")
	rest, err := parse(fs, args)
	if err != nil {
		return err
	}
	if len(rest) > 0 {
		return usagef("version takes no arguments, but there is %q", rest[0])
	}
	if *asJSON {
		return a.printJSON(map[string]string{"version": versionString(), "go": runtime.Version(), "os": runtime.GOOS, "arch": runtime.GOARCH})
	}
	fmt.Fprintln(a.stdout, "mailhatch", versionString())
	return nil
}

func versionString() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
