package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/openapi"
	"mailhatch/gateway/admin/search"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// requestError is a request that cannot be followed.
type requestError struct {
	status int
	words  string
}

func (e *requestError) Error() string { return e.words }

// Unprocessable returns an error that is the asker's: the request is understood, and cannot be followed as it is.
func Unprocessable(err error) error {
	return &requestError{http.StatusUnprocessableEntity, err.Error()}
}

func badRequest(format string, args ...any) error {
	return &requestError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// handler is an http.Handler whose error becomes the answer.
type handler func(w http.ResponseWriter, r *http.Request) error

// ServeHTTP implements http.Handler.
func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := h(w, r); err != nil {
		writeError(w, err)
	}
}

func writeError(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	var bad *requestError
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &bad):
		status = bad.status
	case isA[*suppressed.BadRequestError](err):
		status = http.StatusBadRequest
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, queue.ErrPlace):
		status = http.StatusBadRequest
	case errors.Is(err, queue.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, queue.ErrFull):
		status = http.StatusInsufficientStorage
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrBroken), errors.Is(err, queue.ErrAway):
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, api.Failure{Error: err.Error()}) //nolint:errcheck // the client is gone
}

func isA[E error](err error) bool { _, ok := errors.AsType[E](err); return ok }

// decode reads the body of a request. A misspelled key is refused: without what it was meant to say, more would be done.
func decode(r *http.Request, v any) error {
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	err := d.Decode(v)
	if err == nil || isA[*http.MaxBytesError](err) {
		return err
	}
	return badRequest("the request cannot be read: %v", err)
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}

// route is one request that is answered.
type route struct {
	pattern string // as http.ServeMux has it
	level   access.Level
	handler handler
}

// routes are all requests of the API, which openapi.yaml describes. stopped ends the long answers.
func (s *Server) routes(stopped context.Context) []route {
	return []route{
		{"GET /api/v1/openapi.yaml", access.Anybody, openapi.Serve},
		{"GET /api/v1/status", access.Program, s.status},
		{"GET /api/v1/queue", access.Program, s.list},
		{"GET /api/v1/queue/{id}", access.Program, s.message},
		{"GET /api/v1/log", access.Program, s.log},
		{"GET /api/v1/recent", access.Program, s.recent},
		{"POST /api/v1/queue/{action}", access.Program, s.steer},
		{"POST /api/v1/queue/{id}/resend", access.Person, s.resend}, // to anybody, who then reads it
		{"GET /api/v1/suppressed", access.Program, s.suppressed},
		{"POST /api/v1/suppressed/add", access.Program, changes(s, s.suppressions().Add)},
		{"POST /api/v1/suppressed/remove", access.Program, changes(s, s.suppressions().Remove)},
		{"POST /api/v1/suppressed/import", access.Program, changes(s, s.suppressions().Import)},
		{"POST /api/v1/flush", access.Program, s.flush},
		{"POST /api/v1/upstream/{name}/{action}", access.Program, s.upstream},
		{"GET /api/v1/queue/{id}/message", access.Person, s.open},
		{"GET /api/v1/memory/{upstream}", access.Person, s.memory},
		{"POST /api/v1/check/{upstream}", access.Owner, s.check},
		{"POST /api/v1/backup", access.Owner, s.backup(stopped)},
		{"POST /api/v1/login/{upstream}", access.Owner, s.login(stopped)},
		{"POST /api/v1/reload", access.Person, s.reload},
		{"POST /api/v1/alert/test", access.Person, s.testAlerts},
		{"POST /api/v1/page", access.Owner, s.link},
	}
}

// control is what the unix socket offers until the server stops: everything but the page, which is for browsers.
func (s *Server) control(stopped context.Context) http.Handler {
	mux := s.health()
	mux.Handle("/", handler(nothing))
	for _, r := range s.routes(stopped) {
		mux.Handle(r.pattern, r.handler)
	}
	return handler(func(w http.ResponseWriter, r *http.Request) error {
		if r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" { // led here by a tunnel
			return &requestError{http.StatusForbidden, "the admin socket is for programs: browsers ask at [admin] address"}
		}
		mux.ServeHTTP(w, r)
		return nil
	})
}

// public is what an address offers until the server stops: health and metrics to every program that reaches it, and what has
// addresses or mail to those that access knows.
func (s *Server) public(stopped context.Context, named func(host string) bool) http.Handler {
	mux := s.health()
	mux.Handle("/api/", s.admit(access.Program, handler(nothing)))
	for _, r := range s.routes(stopped) {
		mux.Handle(r.pattern, s.admit(r.level, r.handler))
	}
	if s.cfg.Page != nil {
		mux.Handle("/", s.admit(access.Person, s.cfg.Page))
	} else {
		mux.Handle("/", handler(nothing))
	}
	return s.cfg.Access.Protect(mux, named)
}

// admit returns h for callers of that level.
func (s *Server) admit(level access.Level, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Access.Admit(w, r, level) {
			h.ServeHTTP(w, r)
		}
	})
}

func nothing(_ http.ResponseWriter, r *http.Request) error {
	return &requestError{http.StatusNotFound, fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path)}
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	st, err := s.Status(r.Context())
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, st)
}

// Status returns the state of the whole gateway.
func (s *Server) Status(ctx context.Context) (*api.Status, error) {
	st := &api.Status{Running: true, Version: s.cfg.Version, Started: s.cfg.Started, NotReady: reasons(s.cfg.Ready),
		Upstreams: []api.Upstream{}, Queue: map[envelope.State]api.QueueStatus{}}
	if s.cfg.Hostname != nil {
		st.Hostname = s.cfg.Hostname()
	}
	if s.cfg.Status != nil {
		st.Upstreams = append(st.Upstreams, s.cfg.Status()...)
	}
	if err := s.reader.fill(ctx, st); err != nil {
		return nil, err
	}
	if err := s.lanes(ctx, st); err != nil {
		return nil, err
	}
	if s.cfg.Gateways != nil {
		var err error
		if st.Gateway, st.Gateways, err = s.cfg.Gateways(ctx); err != nil {
			return nil, err
		}
	}
	return st, nil
}

// lanes adds to each upstream what waits for it, and the lanes of mail whose upstream is not known.
func (s *Server) lanes(ctx context.Context, st *api.Status) error {
	lanes, err := s.cfg.Queue.Lanes(ctx)
	if err != nil {
		return err
	}
	for i := range st.Upstreams {
		u := &st.Upstreams[i]
		lane := lanes[u.Name]
		if u.Queued = lane.Queued; u.NextAt.Before(lane.NextAt) { // else the rate has room later than mail is due
			u.NextAt = lane.NextAt
		}
		if u.Queued <= u.InFlight {
			u.NextAt = time.Time{} // that of the lane is when a lease ends
		}
		delete(lanes, u.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		if lane := lanes[name]; lane.Queued > 0 {
			st.Upstreams = append(st.Upstreams, api.Upstream{Name: name, Queued: lane.Queued, NextAt: lane.NextAt})
		}
	}
	return nil
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"))
	if err != nil {
		return err
	}
	f := api.Filter{IDs: q["id"], State: envelope.State(q.Get("state")), Upstream: q.Get("upstream"), From: q.Get("from"), To: q.Get("to"),
		Subject: q.Get("subject"), Older: q.Get("older"), After: q.Get("after"), Limit: limit}
	p, err := s.reader.List(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, p)
}

// recent shows what happened last.
func (s *Server) recent(w http.ResponseWriter, _ *http.Request) error {
	list := []api.Event{}
	if s.cfg.Recent != nil {
		for _, h := range s.cfg.Recent() {
			list = append(list, api.Event{At: h.At, Name: h.Name, ID: h.ID, Upstream: h.Upstream, Class: h.Class, Error: h.Error, Recipients: h.Recipients,
				Action: h.Action, By: h.By})
		}
	}
	return writeJSON(w, http.StatusOK, api.Recent{Events: list})
}

func limitOf(s string) (int, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		return 0, badRequest("limit %q is not a number", s)
	}
	return n, nil
}

func (s *Server) message(w http.ResponseWriter, r *http.Request) error {
	m, err := s.reader.Show(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, m)
}

func (s *Server) open(w http.ResponseWriter, r *http.Request) error {
	body, err := s.cfg.Queue.Body(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	w.Header().Set("Content-Type", "message/rfc822")
	w.Header().Set("Content-Length", strconv.FormatInt(body.Size(), 10))
	// A failure shows as an answer that is shorter than announced.
	_, _ = io.Copy(w, io.NewSectionReader(body, 0, body.Size()))
	return nil
}

func (s *Server) log(w http.ResponseWriter, r *http.Request) error {
	q := r.URL.Query()
	limit, err := limitOf(q.Get("limit"))
	if err != nil {
		return err
	}
	f := api.LogFilter{ID: q.Get("id"), From: q.Get("from"), To: q.Get("to"), Word: q.Get("word"), Subject: q.Get("subject"), State: envelope.State(q.Get("state")),
		Upstream: q.Get("upstream"), MessageID: q.Get("message_id"), ProviderID: q.Get("provider_id"), After: q.Get("after"), Limit: limit}
	if f.State != "" && !slices.Contains(envelope.States(), f.State) {
		return badRequest("unknown state %q; the states are queued, held, failed, sent, delivered, bounced, complained, discarded and refused", f.State)
	}
	now := time.Now()
	for _, t := range []struct {
		name string
		read func(string, time.Time) (time.Time, error)
		to   *time.Time
	}{{"since", search.Since, &f.Since}, {"until", search.Until, &f.Until}} {
		if text := q.Get(t.name); text != "" {
			if *t.to, err = t.read(text, now); err != nil {
				return badRequest("%s: %v", t.name, err)
			}
		}
	}
	l, err := s.reader.Log(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, l)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Reload == nil {
		return &requestError{http.StatusNotImplemented, "this gateway cannot reload"}
	}
	notes, err := s.cfg.Reload(r.Context())
	if err != nil {
		return &requestError{http.StatusUnprocessableEntity, err.Error()}
	}
	return writeJSON(w, http.StatusOK, api.Reloaded{Notes: notes})
}
