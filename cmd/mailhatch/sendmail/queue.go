package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/mailq"
	"mailhatch/gateway/admin/sock"
	"mailhatch/gateway/config"
)

// mailq lists what waits: all of it to those who may see it, their own mail to others.
func (e *Env) mailq(ctx context.Context, places []config.SubmitPlace) error {
	var failures []error
	for _, place := range places {
		runDir := filepath.Dir(place.Socket)
		view, done, err := e.View(ctx, filepath.Dir(place.Maildrop), runDir)
		switch {
		case err == nil:
			defer done()
			return e.listAll(ctx, view)
		case errors.Is(err, fs.ErrPermission):
			return e.listOwn(ctx, filepath.Join(runDir, mailq.SocketName))
		}
		failures = append(failures, err)
	}
	return &exitError{exUnavailable, errors.Join(failures...)}
}

// listOwn lists the mail of this account.
func (e *Env) listOwn(ctx context.Context, socket string) error {
	a, err := mailq.Ask(ctx, socket)
	if err != nil {
		return exitf(exUnavailable, "the gateway does not run: what is sent now waits until it does, and only root and its account can list that (%w)", err)
	}
	l := &listing{out: e.Stdout, host: a.Hostname, count: len(a.Own)}
	if a.Counts != nil {
		l.count, l.bytes = a.Counts.Messages, a.Counts.Bytes
	}
	l.head()
	for i := range a.Own {
		l.message(&a.Own[i])
	}
	if a.More {
		fmt.Fprintln(e.Stdout, "(there may be more of your mail: only the oldest of a long queue was looked through)")
	}
	if a.Counts == nil {
		return exitf(exNoPerm, "this is your own mail; how much there is in all, only root and [admin] monitor_group may know")
	}
	if others := l.count - len(a.Own); others > 0 {
		fmt.Fprintf(e.Stdout, "(%d of others, which only root and the account of the gateway may list)\n", others)
	}
	l.foot()
	return nil
}

// listAll lists all that waits.
func (e *Env) listAll(ctx context.Context, view api.View) error {
	status, err := view.Status(ctx)
	if err != nil {
		return &exitError{exUnavailable, err}
	}
	l := &listing{out: e.Stdout, host: status.Hostname}
	if l.count, err = countMessages(ctx, view, status); err != nil {
		return &exitError{exUnavailable, err}
	}
	l.head()
	l.count = 0
	err = eachWaiting(ctx, view, func(m *api.Message) {
		l.count++
		l.bytes += m.Size
		l.message(m)
	})
	if err != nil {
		return &exitError{exUnavailable, err}
	}
	l.foot()
	return nil
}

// newaliases makes the gateway read its config and aliases again, where it runs and the caller may ask
// it to; else they are read at its next start or reload.
func (e *Env) newaliases(ctx context.Context, places []config.SubmitPlace) error {
	for _, place := range places {
		client := api.NewClient(filepath.Join(filepath.Dir(place.Socket), sock.Name))
		_, err := client.Reload(ctx)
		client.Close()
		switch {
		case errors.Is(err, api.ErrNotRunning):
			continue
		case errors.Is(err, fs.ErrPermission):
			fmt.Fprintln(e.Stderr, "sendmail: the gateway reads its aliases at its next reload; only root and its own account may ask for one")
			return nil
		case err != nil:
			return &exitError{exConfig, err}
		}
		return nil
	}
	return nil
}

// flushWait is how long -q waits for what becomes of queued mail.
const flushWait = 5 * time.Second

// flush makes a gateway try all queued mail now, where it runs and the caller may ask it to; else it retries by itself.
func (e *Env) flush(ctx context.Context, places []config.SubmitPlace, verbose bool) error {
	for _, place := range places {
		client := api.NewClient(filepath.Join(filepath.Dir(place.Socket), sock.Name))
		done, err := client.Flush(ctx, flushWait)
		client.Close()
		switch {
		case errors.Is(err, api.ErrNotRunning):
			continue
		case errors.Is(err, fs.ErrPermission):
			fmt.Fprintln(e.Stderr, "sendmail: the gateway retries queued mail by itself; only root and its own account may make it try now")
			return nil
		case err != nil:
			return &exitError{exTempFail, err}
		}
		if verbose {
			e.ShowTried(done)
		}
		return nil
	}
	if verbose {
		fmt.Fprintln(e.Stderr, "sendmail: the gateway is not running; mail goes when it does")
	}
	return nil
}
