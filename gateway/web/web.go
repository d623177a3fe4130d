// Package web runs an HTTP server on a listener for as long as a context lasts.
package web

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"time"
)

// stopTimeout is how long requests that run may go on after the end.
const stopTimeout = 5 * time.Second

// Serve answers on a listener until ctx ends, by TLS if srv has a TLSConfig, then lets running requests end for a short time.
// It closes the listener.
func Serve(ctx context.Context, srv *http.Server, l net.Listener) error {
	failed := make(chan error, 1)
	go func() {
		if srv.TLSConfig != nil {
			failed <- srv.ServeTLS(l, "", "")
			return
		}
		failed <- srv.Serve(l)
	}()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := srv.Shutdown(stop)
	if errors.Is(err, context.DeadlineExceeded) {
		err = srv.Close()
	}
	if failure := <-failed; !errors.Is(failure, http.ErrServerClosed) {
		return cmp.Or(failure, err)
	}
	return err
}
