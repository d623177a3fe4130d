package admin

import (
	"context"
	"net/http"
	"time"

	"mailhatch/gateway/admin/access"
)

// Link opens the page in a browser, once.
type Link struct {
	URL  string    `json:"url"`
	Ends time.Time `json:"ends"` // it is no good then
}

// link makes a link to the page for whoever asks.
func (s *Server) link(w http.ResponseWriter, r *http.Request) error {
	l, err := s.Link(s.cfg.Access.Caller(r).By)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, l)
}

// Link makes a link to the page for the account named by.
func (s *Server) Link(by string) (*Link, error) {
	if s.cfg.Page == nil || s.cfg.URL == nil {
		return nil, &requestError{http.StatusNotImplemented, "this gateway has no page"}
	}
	at, err := s.cfg.URL()
	if err != nil {
		return nil, &requestError{http.StatusConflict, err.Error()}
	}
	ends := time.Now().Add(access.LinkLifetime)
	return &Link{URL: at + s.cfg.Access.Link(by), Ends: ends}, nil
}

// Link asks for a link to the page.
func (c *Client) Link(ctx context.Context) (*Link, error) {
	return call[Link](ctx, c, http.MethodPost, "/api/v1/page", nil, nil)
}
