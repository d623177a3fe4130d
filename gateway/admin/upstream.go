package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// UpstreamAction is what an operator can do to an upstream.
type UpstreamAction string

// The actions on upstreams.
const (
	Pause  UpstreamAction = "pause"  // it is offered nothing, over restarts too
	Resume UpstreamAction = "resume" // that ends
	Probe  UpstreamAction = "probe"  // it is tried now, if it is closed
)

// ErrNotProbed means that an upstream is not tried: its quota is used up, or an operator has paused it.
var ErrNotProbed = errors.New("it is not tried")

// UnknownUpstreamError is about an upstream that the config does not have.
type UnknownUpstreamError struct {
	Name  string
	Known []string
}

// Error names the upstreams that there are.
func (e *UnknownUpstreamError) Error() string {
	return fmt.Sprintf("no upstream %q; the upstreams are %s", e.Name, strings.Join(e.Known, ", "))
}

// upstream answers POST /api/v1/upstream/{name}/{action}.
func (s *Server) upstream(w http.ResponseWriter, r *http.Request) error {
	u, err := s.ActOn(r.Context(), r.PathValue("name"), UpstreamAction(r.PathValue("action")), s.operator(r))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

// ActOn does something to an upstream and returns how it is then. by names who asked for it, for the record.
func (s *Server) ActOn(ctx context.Context, name string, a UpstreamAction, by string) (*Upstream, error) {
	switch {
	case a != Pause && a != Resume && a != Probe:
		return nil, badRequest("unknown action %q; the actions are pause, resume and probe", a)
	case s.cfg.Steer == nil:
		return nil, &requestError{http.StatusNotImplemented, "this gateway has no upstreams to steer"}
	}
	err := s.cfg.Steer(ctx, name, a, by)
	if unknown, ok := errors.AsType[*UnknownUpstreamError](err); ok {
		return nil, &requestError{http.StatusNotFound, unknown.Error()}
	}
	switch {
	case errors.Is(err, ErrNotProbed):
		return nil, &requestError{http.StatusConflict, err.Error()}
	case err != nil:
		return nil, err
	}
	st := &Status{}
	if s.cfg.Status != nil {
		st.Upstreams = s.cfg.Status()
	}
	if err := s.lanes(ctx, st); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(st.Upstreams, func(u Upstream) bool { return u.Name == name }); i >= 0 {
		return &st.Upstreams[i], nil
	}
	return &Upstream{Name: name}, nil // it has left the config
}

// ActOn does something to an upstream of the running gateway and returns how it is then.
func (c *Client) ActOn(ctx context.Context, name string, a UpstreamAction) (*Upstream, error) {
	return call[Upstream](ctx, c, http.MethodPost, "/api/v1/upstream/"+url.PathEscape(name)+"/"+url.PathEscape(string(a)), nil, nil)
}

// Kept is a mail in an upstream of type memory.
type Kept struct {
	ID     string    `json:"id"`
	Time   time.Time `json:"time"`
	From   string    `json:"from"`          // envelope sender
	To     []string  `json:"to"`            // envelope recipients, those in Bcc included
	Source string    `json:"source"`        // header and body
	Raw    []byte    `json:"raw,omitempty"` // the same in base64, where it is no UTF-8, of which JSON is made
	Cut    bool      `json:"cut,omitempty"` // Source is only the start
}

// memory shows what an upstream of type memory was given, oldest first.
func (s *Server) memory(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Memory != nil {
		if list, ok := s.cfg.Memory(r.PathValue("upstream")); ok {
			return writeJSON(w, http.StatusOK, map[string][]Kept{"messages": list})
		}
	}
	return &requestError{http.StatusNotFound, "no upstream of type memory has that name"}
}
