// Package sendmail stands for sendmail(8), mailq and newaliases: it reads one message from standard input
// and submits it to the gateway, or leaves it in the maildrop while none runs.
package sendmail

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
)

// Exit codes of sysexits(3), which callers of sendmail know.
const (
	exUsage       = 64
	exDataErr     = 65
	exNoUser      = 67
	exUnavailable = 69
	exIOErr       = 74
	exTempFail    = 75
	exNoPerm      = 77
	exConfig      = 78
)

// exitError is a failure with its exit code.
type exitError struct {
	code int
	err  error
}

// Error implements error.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap returns the failure itself.
func (e *exitError) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// exitCode maps a refusal to sysexits(3).
func exitCode(e *submit.ReplyError) int {
	switch {
	case e.Code < 500:
		return exTempFail
	case strings.HasPrefix(e.Text, "5.1."):
		return exNoUser
	case strings.HasPrefix(e.Text, "5.6."), strings.HasPrefix(e.Text, "5.5."), e.Code == 552:
		return exDataErr
	}
	return exUnavailable
}

// Env is where sendmail runs.
type Env struct {
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Config         string        // path of the config; "" to look for the gateway of this machine
	Patience       time.Duration // how long a gateway that does not answer is waited for; 0: submit.Patience

	// View returns what can be seen of the gateway with these directories, for mailq; done must be called.
	View func(ctx context.Context, stateDir, runDir string) (v api.View, done func(), err error)
	// ShowTried prints what became of mail that -q has made due.
	ShowTried func(*api.Changed)
}

// Run does what args ask for. It reports failures on Stderr, and returns an exit code of sysexits(3) and
// flag.ErrHelp if help is asked for.
func Run(ctx context.Context, args []string, e *Env) (int, error) {
	// While standard input is read, a signal ends the program at once, as it ends any filter.
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	err := e.run(ctx, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0, err
	}
	code := exTempFail // what is not classified may work later
	var exit *exitError
	if errors.As(err, &exit) {
		code = exit.code
	}
	fmt.Fprintln(e.Stderr, "sendmail: "+err.Error())
	return code, nil
}

func (e *Env) run(ctx context.Context, args []string) error {
	f, err := parse(args)
	if err != nil {
		return &exitError{exUsage, err}
	}
	places, err := config.SubmitPlaces(e.Config)
	if err != nil {
		return &exitError{exConfig, err}
	}
	switch f.mode {
	case 'p':
		return e.mailq(ctx, places)
	case 'i':
		return e.newaliases(ctx, places)
	case 's':
		return e.smtp(ctx, places)
	case 'q':
		if f.interval { // to retry now and then is what the gateway does by itself
			return nil
		}
		return e.flush(ctx, places, f.verbose)
	}
	return e.message(ctx, f, places)
}

// message submits the message on standard input.
func (e *Env) message(ctx context.Context, f *flags, places []config.SubmitPlace) error {
	var to recipients
	to.addWords(f.to)
	if len(f.to) == 0 && !f.fromHeader {
		return exitf(exUsage, "no recipients: name them, or use -t to take them from the header")
	}
	if err := to.check(); err != nil && !f.fromHeader {
		return err
	}
	who := f.author(os.Getenv)
	env := &envelope.Envelope{Ret: f.ret, EnvID: f.envID, Body: f.body}
	var err error
	if env.From, who.Addr, err = senders(f, who.Addr); err != nil {
		return err
	}
	var in io.Reader = markedInput{e.Stdin}
	if !f.dots {
		in = untilDot(in)
	}
	fields, raw, body, err := readInput(in, f.fromHeader)
	if err != nil {
		return inputFailure(err)
	}
	if f.fromHeader {
		to.addHeader(fields)
		if err := to.check(); err != nil {
			return err
		}
	}
	for _, addr := range submit.Unique(to.good) {
		env.To = append(env.To, envelope.Recipient{Address: addr, Notify: f.notify})
	}
	m := &submit.Spool{}
	defer m.Close()
	header := complete(fields, raw, who, time.Now())
	if _, err = m.Write(header); err == nil {
		err = m.Fill(body)
	}
	if err != nil {
		return inputFailure(err)
	}
	refused, err := e.handOver(ctx, places, env, m, f.verbose)
	if err != nil {
		return err
	}
	t := teller{e, places, f, env.From, header, to.bad}
	refused = slices.DeleteFunc(refused, func(r submit.Refused) bool {
		malformed := r.Reply.Code == 501
		if malformed {
			t.add(r)
		}
		return malformed
	})
	t.tell(ctx)
	return e.reportRefused(refused)
}

// check returns why the message is for nobody.
func (r *recipients) check() error {
	switch {
	case len(r.good) > 0:
		return nil
	case len(r.bad) > 0:
		return exitf(exDataErr, "%w", r.bad[0].err)
	}
	return exitf(exUsage, "no recipients in the header")
}

// inputFailure is a failure to read the message.
func inputFailure(err error) error {
	var exit *exitError
	if errors.As(err, &exit) {
		return err
	}
	return &exitError{exIOErr, err}
}

// senders returns the envelope sender and the address for a From field: the value of -f and -r may be
// "" or "<>" for the null sender, or have a display name.
func senders(f *flags, addr string) (envelopeFrom, from string, err error) {
	if f.sender == nil {
		return addr, addr, nil
	}
	list, err := mailboxes(*f.sender)
	switch {
	case *f.sender == "" || *f.sender == "<>":
		return "", "MAILER-DAEMON", nil
	case err != nil || len(list) != 1:
		return "", "", exitf(exDataErr, "-f %q is not an address", *f.sender)
	}
	return list[0], list[0], nil
}

// author returns the author of a message that has no From field.
func (f *flags) author(getenv func(string) string) submit.Author {
	addr := ""
	if f.sender != nil {
		addr = *f.sender
	}
	return submit.NewAuthor(addr, f.fullName, getenv)
}
