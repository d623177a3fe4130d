package sendmail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"time"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/config"
)

// mailq lists the queue to those who may see it.
func (e *Env) mailq(ctx context.Context, places []config.SubmitPlace) error {
	var failures []error
	for _, place := range places {
		err := e.ListQueue(ctx, filepath.Dir(place.Maildrop), filepath.Dir(place.Socket))
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrPermission):
			return exitf(exNoPerm, "only root and the account of the gateway may list the queue")
		}
		failures = append(failures, err)
	}
	return &exitError{exUnavailable, errors.Join(failures...)}
}

// newaliases makes the gateway read its config and aliases again, where it runs and the caller may ask
// it to; else they are read at its next start or reload.
func (e *Env) newaliases(ctx context.Context, places []config.SubmitPlace) error {
	for _, place := range places {
		client := admin.NewClient(filepath.Join(filepath.Dir(place.Socket), admin.SocketName))
		_, err := client.Reload(ctx)
		client.Close()
		switch {
		case errors.Is(err, admin.ErrNotRunning):
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
		client := admin.NewClient(filepath.Join(filepath.Dir(place.Socket), admin.SocketName))
		done, err := client.Flush(ctx, flushWait)
		client.Close()
		switch {
		case errors.Is(err, admin.ErrNotRunning):
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
