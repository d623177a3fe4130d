package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"time"

	"mailhatch/gateway"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
)

// handOver gives the message to the gateway that answers or, where none does or it cannot take mail
// now, leaves it in the maildrop. A place that has neither is passed over.
func (a *app) handOver(ctx context.Context, places []gateway.SubmitPlace, env *envelope.Envelope, m *spool, verbose bool) error {
	var troubles []error
	for _, place := range places {
		err := a.submitOrDrop(ctx, place, env, m, verbose)
		var exit *exitError
		if err == nil || errors.As(err, &exit) {
			return err
		}
		troubles = append(troubles, err)
	}
	return exitf(exTempFail, "the message was NOT kept: %w", errors.Join(troubles...))
}

// submitOrDrop gives an *exitError for mail that the gateway refuses; any other error means that the
// mail is kept nowhere.
func (a *app) submitOrDrop(ctx context.Context, place gateway.SubmitPlace, env *envelope.Envelope, m *spool, verbose bool) error {
	say := func(format string, args ...any) {
		if verbose {
			fmt.Fprintf(a.stderr, "sendmail: "+format+"\n", args...)
		}
	}
	refused, reply, err := submitLocal(ctx, place.Socket, env, m)
	if err == nil {
		say("%s", reply)
		return a.tellRefused(refused)
	}
	var no *replyError
	if errors.As(err, &no) && no.code >= 500 {
		return &exitError{no.exitCode(), no}
	}
	say("%v", err)
	dropErr := maildrop.Write(place.Maildrop, env, m.size, m.reader())
	if dropErr == nil {
		say("the gateway will take it from %s", place.Maildrop)
		return nil
	}
	return errors.Join(err, dropErr)
}

// tellRefused tells which recipients the gateway refused while it took the message for the others.
func (a *app) tellRefused(refused []refusedRecipient) error {
	if len(refused) == 0 {
		return nil
	}
	for _, r := range refused[1:] {
		fmt.Fprintf(a.stderr, "sendmail: <%s>: %v\n", r.address, r.reply)
	}
	return exitf(refused[0].reply.exitCode(), "<%s>: %w; the message goes to the other recipients", refused[0].address, refused[0].reply)
}

const dialLimit = 10 * time.Second

func dialSubmit(ctx context.Context, socket string) (net.Conn, error) {
	d := net.Dialer{Timeout: dialLimit}
	conn, err := d.DialContext(ctx, "unix", socket)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("no gateway runs: there is no %s", socket)
	}
	return conn, err
}

// sendmailSMTP lets the caller speak SMTP with the gateway.
func (a *app) sendmailSMTP(ctx context.Context, places []gateway.SubmitPlace) error {
	var troubles []error
	for _, place := range places {
		conn, err := dialSubmit(ctx, place.Socket)
		if err == nil {
			return a.pipe(conn)
		}
		troubles = append(troubles, err)
	}
	fmt.Fprint(a.stdout, "421 4.3.2 The gateway does not run, try again later\r\n")
	return &exitError{exTempFail, errors.Join(troubles...)}
}

// pipe lets lines end in LF too, as callers of sendmail are used to. It ends when the gateway closes the session: it does so after QUIT and at the end of input.
func (a *app) pipe(conn net.Conn) error {
	defer conn.Close()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(conn, maildrop.CRLF(a.stdin)) // the session says what became of it
		if u, ok := conn.(*net.UnixConn); ok {
			_ = u.CloseWrite()
		}
	}()
	_, err := io.Copy(a.stdout, conn)
	if f, ok := a.stdin.(*os.File); ok {
		_ = f.Close() // nobody listens any more
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
