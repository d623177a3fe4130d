package admin

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"mailhatch/upstream"
)

// Checked is what a check of an upstream has found. No mail is sent for it.
type Checked struct {
	Name   string `json:"name"`
	Kind   string `json:"kind"`
	Tried  bool   `json:"tried"` // the kind has something to check
	Error  string `json:"error,omitempty"`
	Millis int64  `json:"ms,omitempty"`

	Findings []upstream.Finding `json:"findings,omitempty"` // if the kind reports in parts
}

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

// Check has the gateway check an upstream of its config.
func (c *Client) Check(ctx context.Context, name string) (*Checked, error) {
	return call[Checked](ctx, c, http.MethodPost, "/api/v1/check/"+url.PathEscape(name), nil, nil)
}
