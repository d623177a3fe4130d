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
	"time"

	"mailhatch/gateway"
	"mailhatch/gateway/envelope"
)

// Exit codes of sysexits(3), which callers of sendmail know.
const (
	exUsage       = 64
	exDataErr     = 65
	exNoUser      = 67
	exUnavailable = 69
	exCantCreate  = 73
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

// Error gives the words.
func (e *exitError) Error() string { return e.err.Error() }

// Unwrap gives the failure itself.
func (e *exitError) Unwrap() error { return e.err }

func exitf(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

// runSendmail stands for sendmail(8): it takes one message from standard input and hands it to the
// gateway, or to its maildrop. Failures have their own exit codes and words.
func runSendmail(ctx context.Context, a *app, args []string) error {
	// While standard input is read, a signal ends the program at once, as it ends any filter.
	signal.Reset(os.Interrupt, syscall.SIGTERM)
	err := a.sendmail(ctx, args)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return err
	}
	code := exTempFail // what is not classified may work later
	var e *exitError
	if errors.As(err, &e) {
		code = e.code
	}
	fmt.Fprintln(a.stderr, "sendmail: "+err.Error())
	return silentError{code}
}

func (a *app) sendmail(ctx context.Context, args []string) error {
	f, err := parseSendmail(args)
	if err != nil {
		return &exitError{exUsage, err}
	}
	places, err := gateway.SubmitPlaces(a.configPath)
	if err != nil {
		return &exitError{exConfig, err}
	}
	switch f.mode {
	case 'p':
		return a.mailq(ctx, places)
	case 'i':
		return a.newaliases(ctx, places)
	case 's':
		return a.sendmailSMTP(ctx, places)
	case 'q':
		return nil // the gateway retries by itself
	}
	return a.sendmailMessage(ctx, f, places)
}

// sendmailMessage takes a message from standard input.
func (a *app) sendmailMessage(ctx context.Context, f *sendmailFlags, places []gateway.SubmitPlace) error {
	to, err := addresses(f.to)
	if err != nil {
		return err
	}
	if len(to) == 0 && !f.fromHeader {
		return exitf(exUsage, "who is it for? name recipients, or say -t to take them from the header")
	}
	who := newAuthor(f, os.Getenv)
	env := &envelope.Envelope{Ret: f.ret, EnvID: f.envID, Body: f.body}
	if env.From, who.addr, err = senders(f, who.addr); err != nil {
		return err
	}
	var in io.Reader = markedInput{a.stdin}
	if !f.dots {
		in = untilDot(in)
	}
	fields, raw, body, err := readInput(in, f.fromHeader)
	if err != nil {
		return inputFailure(err)
	}
	if f.fromHeader {
		more, err := headerRecipients(fields)
		if err != nil {
			return err
		}
		if to = append(to, more...); len(to) == 0 {
			return exitf(exUsage, "there are no recipients in the header")
		}
	}
	for _, addr := range unique(to) {
		env.To = append(env.To, envelope.Recipient{Address: addr, Notify: f.notify})
	}
	m := &spool{}
	defer m.close()
	if _, err = m.Write(complete(fields, raw, who, time.Now())); err == nil {
		_, err = io.Copy(m, body)
	}
	if err != nil {
		return inputFailure(err)
	}
	return a.handOver(ctx, places, env, m, f.verbose)
}

// inputFailure tells trouble with standard input from trouble with the temporary file.
func inputFailure(err error) error {
	var exit *exitError
	var input *inputError
	switch {
	case errors.As(err, &exit):
		return err
	case errors.As(err, &input):
		return &exitError{exIOErr, err}
	}
	return exitf(exCantCreate, "the message cannot be kept: %w", err)
}

// senders gives the envelope sender and the address for a From: -f and -r may say "" or "<>" for the
// null sender, or have a display name.
func senders(f *sendmailFlags, addr string) (envelopeFrom, from string, err error) {
	if f.sender == nil {
		return addr, addr, nil
	}
	list, err := mailboxes(*f.sender)
	switch {
	case *f.sender == "" || *f.sender == "<>":
		return "", "MAILER-DAEMON", nil
	case err != nil || len(list) != 1:
		return "", "", exitf(exDataErr, "-f %q is no address", *f.sender)
	}
	return list[0], list[0], nil
}
