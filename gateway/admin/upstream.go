package admin

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"mailhatch/gateway/admin/api"
)

// ErrNotProbed means that an upstream is not tried: its quota is used up, or an operator has paused it.
var ErrNotProbed = errors.New("it is not tried")

// upstream answers POST /api/v1/upstream/{name}/{action}.
func (s *Server) upstream(w http.ResponseWriter, r *http.Request) error {
	u, err := s.ActOn(r.Context(), r.PathValue("name"), api.UpstreamAction(r.PathValue("action")), s.operator(r))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, u)
}

// ActOn does something to an upstream and returns how it is then. by names who asked for it, for the record.
func (s *Server) ActOn(ctx context.Context, name string, a api.UpstreamAction, by string) (*api.Upstream, error) {
	switch {
	case a != api.Pause && a != api.Resume && a != api.Probe:
		return nil, badRequest("unknown action %q; the actions are pause, resume and probe", a)
	case s.cfg.Steer == nil:
		return nil, &requestError{http.StatusNotImplemented, "this gateway has no upstreams to steer"}
	}
	refuses := a == api.Probe && s.refuses(name)
	err := s.cfg.Steer(ctx, name, a, by)
	if err == nil && refuses && s.cfg.Flush != nil { // the upstream is open: its mail shows whether senders may use it now
		err = s.cfg.Flush(ctx, name)
	}
	if unknown, ok := errors.AsType[*api.UnknownUpstreamError](err); ok {
		return nil, &requestError{http.StatusNotFound, unknown.Error()}
	}
	switch {
	case errors.Is(err, ErrNotProbed):
		return nil, &requestError{http.StatusConflict, err.Error()}
	case err != nil:
		return nil, err
	}
	st := &api.Status{}
	if s.cfg.Status != nil {
		st.Upstreams = s.cfg.Status()
	}
	if err := s.lanes(ctx, st); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(st.Upstreams, func(u api.Upstream) bool { return u.Name == name }); i >= 0 {
		return &st.Upstreams[i], nil
	}
	return &api.Upstream{Name: name}, nil // it has left the config
}

// refuses reports whether an upstream refuses mail of some senders.
func (s *Server) refuses(name string) bool {
	return s.cfg.Status != nil && slices.ContainsFunc(s.cfg.Status(), func(u api.Upstream) bool { return u.Name == name && len(u.Refuses) > 0 })
}

// memory shows what an upstream of type memory was given, oldest first.
func (s *Server) memory(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Memory != nil {
		if list, ok := s.cfg.Memory(r.PathValue("upstream")); ok {
			return writeJSON(w, http.StatusOK, map[string][]api.Kept{"messages": list})
		}
	}
	return &requestError{http.StatusNotFound, "no upstream of type memory has that name"}
}
