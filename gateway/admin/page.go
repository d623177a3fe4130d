package admin

import (
	"net/http"
	"time"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
)

// link makes a link to the page for whoever asks.
func (s *Server) link(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Link(s.cfg.Access.Caller(r).By)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, l)
}

// Link makes a link to the page for the account named by.
func (s *Server) Link(by string) (*api.Link, error) {
	if s.cfg.Page == nil || s.cfg.URL == nil {
		return nil, &requestError{http.StatusNotImplemented, "this gateway has no page"}
	}
	at, err := s.cfg.URL()
	if err != nil {
		return nil, &requestError{http.StatusConflict, err.Error()}
	}
	ends := time.Now().Add(access.LinkLifetime)
	return &api.Link{URL: at + s.cfg.Access.Link(by), Ends: ends}, nil
}
