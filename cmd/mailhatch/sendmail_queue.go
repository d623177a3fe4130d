package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"

	"mailhatch/gateway"
	"mailhatch/gateway/admin"
)

// dirs gives the directories of the gateway: those of the config that commands go by, or where sendmail
// has found one.
func (a *app) dirs() (stateDir, runDir string, err error) {
	if a.place != nil {
		return filepath.Dir(a.place.Maildrop), filepath.Dir(a.place.Socket), nil
	}
	return gateway.Dirs(gateway.FindConfig(a.configPath))
}

// mailq lists the queue to those who may see it.
func (a *app) mailq(ctx context.Context, places []gateway.SubmitPlace) error {
	var troubles []error
	for i := range places {
		a.place = &places[i]
		err := runQueue(ctx, a, []string{"list"})
		switch {
		case err == nil:
			return nil
		case errors.Is(err, fs.ErrPermission):
			return exitf(exNoPerm, "only root and the account of the gateway may look at the queue")
		}
		troubles = append(troubles, err)
	}
	return &exitError{exUnavailable, errors.Join(troubles...)}
}

// newaliases makes the gateway read its config and aliases again, where it runs and the caller may ask
// it to; else they are read at its next start or reload.
func (a *app) newaliases(ctx context.Context, places []gateway.SubmitPlace) error {
	for _, place := range places {
		client := admin.NewClient(filepath.Join(filepath.Dir(place.Socket), admin.SocketName))
		_, err := client.Reload(ctx)
		client.Close()
		switch {
		case errors.Is(err, admin.ErrNotRunning):
			continue
		case errors.Is(err, fs.ErrPermission):
			fmt.Fprintln(a.stderr, "sendmail: the gateway reads its aliases at its next reload; only root and its own account may ask for one")
			return nil
		case err != nil:
			return &exitError{exConfig, err}
		}
		return nil
	}
	return nil
}
