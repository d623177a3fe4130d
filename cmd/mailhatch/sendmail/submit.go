package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"mailhatch/cmd/mailhatch/submit"
	"mailhatch/gateway/config"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/mime/lineend"
)

// handOver submits the message to the gateway that answers or, if none does or it cannot accept mail
// now, leaves it in the maildrop for those who have not got it. A place that has neither is skipped. It returns
// the recipients that were refused while others got the message.
func (e *Env) handOver(ctx context.Context, places []config.SubmitPlace, env *envelope.Envelope, m *submit.Spool, verbose bool) ([]submit.Refused, error) {
	var failures []error
	for _, place := range places {
		refused, err := e.submitOrDrop(ctx, place, env, m, verbose)
		var exit *exitError
		if err == nil || errors.As(err, &exit) {
			return refused, err
		}
		failures = append(failures, err)
	}
	return nil, exitf(exTempFail, "the message was NOT kept: %w", errors.Join(failures...))
}

// submitOrDrop returns an *exitError for mail that the gateway refuses; any other error means that the
// mail is kept nowhere.
func (e *Env) submitOrDrop(ctx context.Context, place config.SubmitPlace, env *envelope.Envelope, m *submit.Spool, verbose bool) ([]submit.Refused, error) {
	verbosely := func(format string, args ...any) {
		if verbose {
			fmt.Fprintf(e.Stderr, "sendmail: "+format+"\n", args...)
		}
	}
	sent, err := submitTo(ctx, place.Socket, env, m)
	if err == nil {
		verbosely("%s", sent.Reply)
		return sent.Refused, nil
	}
	env.To = sent.Rest
	var no *submit.ReplyError
	if errors.As(err, &no) && no.Code >= 500 {
		return nil, &exitError{exitCode(no), errors.Join(err, e.reportRefused(sent.Refused))}
	}
	verbosely("%v", err)
	dropErr := maildrop.Write(place.Maildrop, env, m.Size(), m.Reader())
	if dropErr == nil {
		verbosely("the gateway will take it from %s", place.Maildrop)
		return sent.Refused, nil
	}
	return nil, errors.Join(err, dropErr)
}

// reportRefused prints which recipients the gateway refused while it accepted the message for the others.
func (e *Env) reportRefused(refused []submit.Refused) error {
	if len(refused) == 0 {
		return nil
	}
	for _, r := range refused[1:] {
		fmt.Fprintf(e.Stderr, "sendmail: <%s>: %v\n", r.Address, r.Reply)
	}
	return exitf(exitCode(refused[0].Reply), "<%s>: %w; the message goes to the other recipients", refused[0].Address, refused[0].Reply)
}

func submitTo(ctx context.Context, socket string, env *envelope.Envelope, m *submit.Spool) (submit.Sent, error) {
	conn, err := dial(ctx, socket)
	if err != nil {
		return submit.Sent{Rest: env.To}, err
	}
	return submit.Send(conn, env, m, m.Reader)
}

func dial(ctx context.Context, socket string) (net.Conn, error) {
	conn, err := submit.Dial(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("the gateway is not running: %s does not exist", socket)
	}
	return conn, err
}

// smtp lets the caller speak SMTP with the gateway.
func (e *Env) smtp(ctx context.Context, places []config.SubmitPlace) error {
	var failures []error
	for _, place := range places {
		conn, err := dial(ctx, place.Socket)
		if err == nil {
			return e.pipe(conn)
		}
		failures = append(failures, err)
	}
	fmt.Fprint(e.Stdout, "421 4.3.2 The gateway does not run, try again later\r\n")
	return &exitError{exTempFail, errors.Join(failures...)}
}

// pipe lets lines end in LF too, as callers of sendmail are used to. It ends when the gateway closes the
// session: after QUIT and at the end of input.
func (e *Env) pipe(conn net.Conn) error {
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, lineend.Session(e.Stdin)) // the replies show what became of it
		if u, ok := conn.(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
	}()
	_, err := io.Copy(e.Stdout, conn)
	if f, ok := e.Stdin.(*os.File); ok {
		_ = f.Close() // no longer read
	}
	select {
	case <-sent:
	case <-time.After(time.Second): // a terminal cannot be interrupted; the program ends with it
	}
	if err != nil {
		return &exitError{exTempFail, err}
	}
	return nil
}
