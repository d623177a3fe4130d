package sendmail

import (
	"cmp"
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
// now, leaves it in the maildrop for those who have not got it. Where there is neither it waits for a gateway that
// restarts. It returns the recipients that were refused while others got the message.
func (e *Env) handOver(ctx context.Context, places []config.SubmitPlace, env *envelope.Envelope, m *submit.Spool, verbose bool) (refused []submit.Refused, err error) {
	err = submit.Persist(ctx, e.patience(), func() error {
		var failures []error
		for _, place := range places {
			var err error
			refused, err = e.submitOrDrop(ctx, place, env, m, verbose)
			var notKept *submit.NotKept
			if !errors.As(err, &notKept) {
				return err
			}
			failures = append(failures, err)
		}
		return errors.Join(failures...)
	})
	var exit *exitError
	if err != nil && !errors.As(err, &exit) {
		err = exitf(exTempFail, "the message was NOT kept: %w", err)
	}
	return refused, err
}

// patience is how long a gateway that does not answer is waited for.
func (e *Env) patience() time.Duration {
	return cmp.Or(e.Patience, submit.Patience)
}

// submitOrDrop returns a *submit.NotKept for mail that is kept nowhere and can be offered again.
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
	if m.Spent() != nil {
		return nil, spent(err, m)
	}
	dropErr := maildrop.Write(place.Maildrop, env, m.Size(), m.Reader())
	switch {
	case dropErr == nil:
		verbosely("the gateway will take it from %s", place.Maildrop)
		return sent.Refused, nil
	case m.Spent() != nil:
		return nil, spent(errors.Join(err, dropErr), m)
	case sent.Begun: // whether the gateway has it nobody knows: only the caller may decide to send it again
		return nil, exitf(exTempFail, "the message was NOT kept: %w", errors.Join(err, dropErr))
	}
	return nil, &submit.NotKept{Gateway: err, Drop: dropErr, Dir: place.Maildrop}
}

// spent is the failure of a message that cannot be offered again.
func spent(err error, m *submit.Spool) error {
	var input *inputError
	if errors.As(err, &input) {
		return &exitError{exIOErr, err}
	}
	return exitf(exTempFail, "the message was NOT kept: %w; it could not be tried again without a temporary file: %w", err, m.Spent())
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

// smtp lets the caller speak SMTP with the gateway or, while none answers, with a session that keeps messages
// in the maildrop.
func (e *Env) smtp(ctx context.Context, places []config.SubmitPlace) error {
	var conn net.Conn
	end := func() {}
	err := submit.Persist(ctx, e.patience(), func() error {
		var failures []error
		for _, place := range places {
			c, err := dial(ctx, place.Socket)
			if err == nil {
				conn = c
				return nil
			}
			dropErr := maildrop.Usable(place.Maildrop)
			if dropErr == nil {
				conn, end, err = dropSession(ctx, place.Maildrop)
				return err
			}
			failures = append(failures, &submit.NotKept{Gateway: err, Drop: dropErr, Dir: place.Maildrop})
		}
		return errors.Join(failures...)
	})
	if err != nil {
		fmt.Fprint(e.Stdout, "421 4.3.2 The gateway does not run, try again later\r\n")
		return &exitError{exTempFail, err}
	}
	defer end()
	return e.pipe(conn)
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
