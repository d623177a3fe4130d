package admin

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/upstream"
)

// login lets a person log in to an upstream. The answer takes as long as the person does; it ends when the client
// leaves or the server stops.
func (s *Server) login(stopped context.Context) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		if s.cfg.Login == nil {
			return &requestError{http.StatusNotImplemented, "this gateway lets nobody log in"}
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		defer context.AfterFunc(stopped, cancel)()
		control := http.NewResponseController(w)
		if err := errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{})); err != nil {
			return err
		}
		var shown error
		began := false
		err := s.cfg.Login(ctx, r.PathValue("upstream"), func(code upstream.LoginCode) {
			began = true
			w.Header().Set("Content-Type", "application/x-ndjson")
			shown = errors.Join(json.NewEncoder(w).Encode(api.LoginStep{Code: &code}), control.Flush())
		})
		switch {
		case !began && err != nil:
			return &requestError{http.StatusUnprocessableEntity, err.Error()}
		case shown != nil:
			return nil // the client is gone
		case err != nil:
			_ = json.NewEncoder(w).Encode(api.LoginStep{Error: err.Error()})
		default:
			_ = json.NewEncoder(w).Encode(api.LoginStep{Done: true})
		}
		return nil
	}
}
