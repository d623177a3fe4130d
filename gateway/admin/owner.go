package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"mailhatch/gateway/admin/api"
)

// check checks an upstream with the secrets that the gateway has.
func (s *Server) check(w http.ResponseWriter, r *http.Request) error {
	name := r.PathValue("upstream")
	if s.cfg.Check != nil {
		if found, ok := s.cfg.Check(r.Context(), name); ok {
			return writeJSON(w, http.StatusOK, found)
		}
	}
	return &requestError{http.StatusNotFound, fmt.Sprintf("the running gateway has no upstream %q", name)}
}

// testAlerts sends a test to the receivers of alerts.
func (s *Server) testAlerts(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.TestAlerts == nil {
		return &requestError{http.StatusNotImplemented, "this gateway tells nobody"}
	}
	tests, err := s.cfg.TestAlerts(r.Context(), r.URL.Query().Get("name"))
	if err != nil {
		return &requestError{http.StatusNotFound, err.Error()}
	}
	return writeJSON(w, http.StatusOK, api.AlertTests{Tests: tests})
}

// ErrBusy means that another backup is being made.
var ErrBusy = errors.New("another backup is being made")

// backup sends a backup of the state. It takes as long as it takes.
func (s *Server) backup(stopped context.Context) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.cfg.Backup == nil {
			return &requestError{http.StatusNotImplemented, "this gateway makes no backups"}
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
		out := &begun{w: w}
		err := s.cfg.Backup(ctx, out)
		switch {
		case errors.Is(err, ErrBusy) && !out.any:
			return &requestError{http.StatusConflict, err.Error()}
		case err != nil && !out.any:
			return err
		case err == nil:
			w.Header().Set(api.CompleteTrailer, "yes")
		default: // the trailer is missing: the client knows
			s.cfg.Log.Error("backup failed", "error", err)
		}
		return nil
	}
}

// begun is a response that remembers whether it has begun.
type begun struct {
	w   http.ResponseWriter
	any bool
}

// Write implements io.Writer.
func (b *begun) Write(p []byte) (int, error) {
	if !b.any {
		b.w.Header().Set("Content-Type", "application/x-tar")
		b.w.Header().Set("Trailer", api.CompleteTrailer)
		b.any = true
	}
	return b.w.Write(p)
}
