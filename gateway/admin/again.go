package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"mailhatch/gateway/journal"
)

// Resend asks for a message to be accepted a second time.
type Resend struct {
	To  []string `json:"to,omitempty"`  // recipients; none: those of the message
	Via string   `json:"via,omitempty"` // upstream, whatever routes say; "": by the routes
}

// Resent is a message that was accepted a second time.
type Resent struct {
	ID string   `json:"id"` // the new one
	To []string `json:"to"`
}

// resend answers POST /api/v1/queue/{id}/resend.
func (s *Server) resend(w http.ResponseWriter, r *http.Request) error {
	var ask Resend
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&ask); err != nil {
		return badRequest("the request cannot be read: %v", err)
	}
	out, err := s.Resend(r.Context(), r.PathValue("id"), ask, s.operator(r))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, out)
}

// Resend accepts a message a second time, in the name of somebody. The error wraps queue.ErrNotFound where its bytes are
// not kept.
func (s *Server) Resend(ctx context.Context, id string, ask Resend, by string) (*Resent, error) {
	if s.cfg.Resend == nil {
		return nil, &requestError{http.StatusNotImplemented, "this gateway cannot send messages again"}
	}
	if ask.Via != "" {
		if err := s.checkTarget(ask.Via); err != nil {
			return nil, err
		}
	}
	out, err := s.cfg.Resend(ctx, id, ask, by)
	if err != nil {
		return nil, err
	}
	if s.cfg.Acted != nil {
		words := fmt.Sprintf("%s as %s", id, out.ID)
		if len(ask.To) > 0 {
			words += " to=" + strings.Join(ask.To, ",")
		}
		s.cfg.Acted(journal.Operation{Action: "resend", By: by, Filter: words, Messages: 1, Recipients: len(out.To), Upstream: ask.Via})
	}
	return out, nil
}

// Resend asks the gateway to accept a message a second time.
func (c *Client) Resend(ctx context.Context, id string, ask Resend) (*Resent, error) {
	return call[Resent](ctx, c, http.MethodPost, "/api/v1/queue/"+url.PathEscape(id)+"/resend", nil, ask)
}
