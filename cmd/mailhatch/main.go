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

	"mailhatch/cmd/mailhatch/command"
	"mailhatch/cmd/mailhatch/terminal"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
)

// Output rules: results go to stdout; all else goes to stderr with "mailhatch: " before it, without
// a capital and without a full stop; what to do about it follows in a line "hint: ".

// interruptedCode is the exit code of a program that SIGINT has ended, as shells have it.
const interruptedCode = 130

// version is set by the Makefile.
var version = ""

func main() { os.Exit(realMain()) }

func realMain() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	a := &app{stdin: os.Stdin, stdout: terminal.Output(os.Stdout), stderr: terminal.Output(os.Stderr)}
	defer flush(a.stdout, a.stderr)
	return a.main(ctx, byName(os.Args))
}

// flush shows what terminals hold back.
func flush(list ...io.Writer) {
	for _, w := range list {
		if s, ok := w.(*terminal.Screen); ok {
			_ = s.Flush() // the terminal has gone
		}
	}
}

// app is what commands share.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configPath     string          // from -c; "" when not given
	stateDir       string          // of the gateway, "" when the config names it
	runDir         string          // goes with stateDir
	flagSet        *flag.FlagSet   // of the command that runs; nil before it has defined any
	kinds          []upstream.Kind // beside the built-in ones
}

// upstreamKinds returns a fresh table of kinds: the built-in ones and those of kinds.
func (a *app) upstreamKinds() []upstream.Kind { return append(kinds.Kinds(), a.kinds...) }

// subcommand is one word after mailhatch.
type subcommand struct {
	name, args, doc string
	run             func(ctx context.Context, a *app, args []string) error
}

func subcommands() []subcommand {
	return []subcommand{
		{"serve", "[--listen ADDRESS]", "run the gateway (the default)", runServe},
		{"init", "[--upstream TYPE] [--from A] [--output FILE]", "write a first config, from flags or a few questions", runInit},
		{"check", "[--online]", "check the config; with --online also the upstreams and this machine", runCheck},
		{"config", "", "print the config in force, with defaults and the origin of each value; secrets are hidden", runConfig},
		{"route", "--from A --to B [FILE]", "show which rule decides for a message, and why", runRoute},
		{"render", "--upstream NAME FILE", "show the request that an upstream would send for a message", runRender},
		{"send", "--to A [--from A] [-s SUBJECT] [-a FILE] [A…]", "send a message, also with files, through the running gateway, like mailx(1)", runSend},
		{"queue", "list|show|cat|retry|hold|release|delete|move|resend|export [ID…|--all]", "list and manage queued mail", runGroup("queue")},
		{"log", "[--to A] [--from A] [--subject WORDS] [--since 1h] [--follow] [ID|WORD]", "show what became of messages", runLog},
		{"status", "", "show the upstreams and the queue", runStatus},
		{"top", "", "show the upstreams and the queue live on a terminal", runTop},
		{"alert", "test [NAME]", "send a test to the receivers of alerts", runGroup("alert")},
		{"upstream", "list|pause|resume|probe [NAME]", "list the upstreams; pause, resume or probe one", runGroup("upstream")},
		{"suppress", "list|add|remove|import|export [ADDRESS…]", "show and change the addresses that get no mail", runGroup("suppress")},
		{"gateways", "", "list the gateways that share the queue", runGateways},
		{"page", "", "print a one-time link that opens the page in a browser", runPage},
		{"events", "setup UPSTREAM [--url URL]", "set up how a provider reports what became of mail", runGroup("events")},
		{"login", "UPSTREAM", "log in to an upstream that needs a person's consent, with any browser", runLogin},
		{"presets", "[NAME]", "list the presets for SMTP upstreams, or show one", runPresets},
		{"migrate", "", "update the schema of a shared database before the gateways do", runMigrate},
		{"recover", "[ID…]", "rebuild a damaged queue or put back mail from lost+found, while the gateway is stopped", runRecover},
		{"backup", "FILE", "write a copy of queue, history and tokens to a new file; the gateway may be running", runBackup},
		{"sendmail", "[-t] [-i] [-f ADDRESS] [ADDRESS…]", "send a message from standard input, like sendmail(8); also under that name", runSendmail},
		{"reload", "", "make the running gateway reload its config", runReload},
		{"healthcheck", "[--ready]", "check that the gateway is running, for containers and scripts", runHealthcheck},
		{"hash-password", "< FILE", "read a password from standard input and print its hash, for [[listener.user]]", runHashPassword},
		{"man", "[mailhatch|mailhatch.toml|sendmail]", "print a manual page, for man -l -", runMan},
		{"completion", "bash|zsh|fish", "print a completion script for a shell", runCompletion},
		{"version", "", "print the version", runVersion},
	}
}

// main runs a command line and returns the exit code: 0 ok, 1 failure, 2 usage, 130 interrupted while it asked.
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
		return a.fail(command.FlagError(err))
	}
	args = fs.Args()
	if *showVersion {
		args = []string{"version"}
	}
	if len(args) == 0 {
		args = []string{"serve"}
	}
	if args[0] == "help" {
		return a.fail(a.help(args[1:]))
	}
	for _, c := range subcommands() {
		if c.name == args[0] {
			err := c.run(ctx, a, args[1:])
			if errors.Is(err, flag.ErrHelp) {
				a.commandUsage(a.commandName(c.name))
			}
			return a.fail(err)
		}
	}
	return a.fail(command.Usagef("no command %q", args[0]))
}

// commandName returns the whole name of the command that runs, such as "queue list".
func (a *app) commandName(word string) string {
	if a.flagSet == nil {
		return word
	}
	return strings.TrimPrefix(a.flagSet.Name(), "mailhatch ")
}

// fail prints an error and returns the exit code.
func (a *app) fail(err error) int {
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	var code command.ExitCode
	if errors.As(err, &code) {
		return int(code)
	}
	priority := ""
	if isJournal(a.stderr) {
		priority = journal.PriorityError
	}
	for line := range strings.SplitSeq(strings.TrimRight(err.Error(), "\n"), "\n") {
		prefix := "mailhatch: "
		if strings.HasPrefix(line, "hint: ") || strings.HasPrefix(line, "  ") {
			prefix = ""
		}
		fmt.Fprintln(a.stderr, priority+prefix+line)
	}
	if errors.Is(err, command.ErrInterrupted) {
		return interruptedCode
	}
	var h command.HintError
	if errors.As(err, &h) {
		fmt.Fprintln(a.stderr, "hint: "+h.Hint)
	}
	var u command.UsageError
	switch {
	case errors.As(err, &u):
		switch {
		case errors.As(err, &h):
		case a.flagSet != nil:
			fmt.Fprintf(a.stderr, "hint: see %s --help\n", a.flagSet.Name())
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

// hintFor returns advice on failures of the system.
func hintFor(err error) string {
	switch {
	case errors.Is(err, queue.ErrDamagedLog):
		return "copy the state directory if you can, then run mailhatch recover: it keeps the damaged files, puts back what it finds, and lists what is in doubt"
	case errors.Is(err, queue.ErrLocked):
		return "stop the other one first, or give this one a state_dir of its own"
	case errors.Is(err, syscall.EADDRINUSE):
		return "another program listens there, perhaps another mailhatch: stop it, or choose another address"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return "this machine has no such address"
	case errors.Is(err, syscall.EROFS):
		return "the file system is read-only for this program; under systemd, ReadWritePaths= of the unit opens a directory (systemctl edit mailhatch)"
	case errors.Is(err, os.ErrPermission):
		return "choose a path that this user may use, or run as the user that owns it; for ports below 1024 use systemd/mailhatch.socket"
	case errors.Is(err, os.ErrNotExist):
		return "check the path for typos"
	}
	return ""
}

// flags returns a flag set for a command.
func (a *app) flags(name string) *flag.FlagSet {
	fs := flag.NewFlagSet("mailhatch "+name, flag.ContinueOnError)
	fs.SetOutput(io.Discard) // main prints errors and help
	fs.StringVar(&a.configPath, "c", a.configPath, "config `file`")
	fs.StringVar(&a.configPath, "config", a.configPath, "config `file`")
	a.flagSet = fs
	return fs
}

func runVersion(_ context.Context, a *app, args []string) error {
	fs := a.flags("version")
	asJSON := fs.Bool("json", false, "one JSON object")
	if err := command.ParseAlone(fs, args); err != nil {
		return err
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
