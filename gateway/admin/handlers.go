package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// requestError is a request that cannot be followed.
type requestError struct {
	status int
	words  string
}

func (e *requestError) Error() string { return e.words }

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
	case errors.As(err, &tooLarge):
		status = http.StatusRequestEntityTooLarge
	case errors.Is(err, queue.ErrNotFound):
		status = http.StatusNotFound
	case errors.Is(err, queue.ErrFull):
		status = http.StatusInsufficientStorage
	case errors.Is(err, queue.ErrClosed), errors.Is(err, queue.ErrBroken):
		status = http.StatusServiceUnavailable
	}
	writeJSON(w, status, failure{err.Error()}) //nolint:errcheck // the client is gone
}

// failure is the answer to a request that failed.
type failure struct {
	Error string `json:"error"`
}

func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	return json.NewEncoder(w).Encode(v)
}

// control is what the unix socket offers until the server stops: everything.
func (s *Server) control(stopped context.Context) http.Handler {
	mux := s.health()
	s.show(mux)
	mux.Handle("GET /api/v1/queue/{id}/message", handler(s.open))
	mux.Handle("POST /api/v1/queue/{action}", handler(s.steer))
	mux.Handle("POST /api/v1/reload", handler(s.reload))
	mux.Handle("POST /api/v1/login/{upstream}", s.login(stopped))
	mux.Handle("GET /api/v1/memory/{upstream}", handler(s.memory))
	return mux
}

// public is what a TCP listener offers: health and metrics to every program on this machine, what has addresses to
// those that know the token, and nothing to web pages.
func (s *Server) public() http.Handler {
	anybody, known := s.health(), http.NewServeMux()
	s.show(known)
	return handler(func(w http.ResponseWriter, r *http.Request) error {
		if !localHost(r.Host) || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") == "cross-site" {
			return &requestError{http.StatusForbidden, "only programs on this machine may ask, by its loopback address"}
		}
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			return &requestError{http.StatusForbidden, "changes are made over the admin socket: see mailhatch queue"}
		}
		if !strings.HasPrefix(r.URL.Path, "/api/") {
			anybody.ServeHTTP(w, r)
			return nil
		}
		if err := s.authorize(w, r); err != nil {
			return err
		}
		known.ServeHTTP(w, r)
		return nil
	})
}

// authorize lets a request pass that has the bearer token of the config (RFC 6750 section 2.1).
func (s *Server) authorize(w http.ResponseWriter, r *http.Request) error {
	token := ""
	if s.cfg.Token != nil {
		token = s.cfg.Token().Reveal()
	}
	if token == "" {
		return &requestError{http.StatusForbidden, "who mails whom is shown over the admin socket alone: see mailhatch queue, log and status; " +
			"programs can ask here once [admin] has a token"}
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	want, got := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(strings.TrimSpace(given)))
	right := strings.EqualFold(scheme, "Bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1
	if !right && scheme != "" {
		if err := s.guessed(w, r); err != nil {
			return err
		}
	}
	if !right {
		w.Header().Set("WWW-Authenticate", `Bearer realm="mailhatch"`)
		return &requestError{http.StatusUnauthorized, "this needs the token of [admin], as Authorization: Bearer TOKEN"}
	}
	return nil
}

// guessed counts a wrong token, or refuses to while others are too fresh. The right one always passes: it is
// too long to be guessed, and a guesser must not keep its owner out.
func (s *Server) guessed(w http.ResponseWriter, r *http.Request) error {
	const user = "token of [admin]"
	client, _, _ := net.SplitHostPort(r.RemoteAddr)
	if wait := s.cfg.Guard.Wait(user, client); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(1+int(wait/time.Second)))
		return &requestError{http.StatusTooManyRequests, "too many wrong tokens, try again later"}
	}
	s.cfg.Guard.Failed(user, client)
	if s.cfg.Guessed != nil {
		s.cfg.Guessed(client)
	}
	return nil
}

// localHost reports whether a Host field names this machine: a page whose name was made to point here
// has another one.
func localHost(hostport string) bool {
	host, _, err := net.SplitHostPort(hostport)
	if err != nil {
		host = strings.Trim(hostport, "[]")
	}
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.Unmap().IsLoopback()
	}
	return strings.EqualFold(host, "localhost")
}

// health returns a mux with what names nobody.
func (s *Server) health() *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, reasons(s.cfg.Silent)) })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, _ *http.Request) { writeHealth(w, reasons(s.cfg.Ready)) })
	mux.Handle("GET /metrics", promhttp.HandlerFor(s.metrics, promhttp.HandlerOpts{
		ErrorHandling: promhttp.ContinueOnError, MaxRequestsInFlight: 8, Timeout: readTimeout}))
	mux.Handle("/", handler(nothing))
	return mux
}

// show adds to a mux what is shown of mail, its contents apart.
func (s *Server) show(mux *http.ServeMux) {
	mux.Handle("GET /api/v1/status", handler(s.status))
	mux.Handle("GET /api/v1/queue", handler(s.list))
	mux.Handle("GET /api/v1/queue/{id}", handler(s.message))
	mux.Handle("GET /api/v1/log", handler(s.log))
	mux.Handle("/api/", handler(nothing))
}

func nothing(_ http.ResponseWriter, r *http.Request) error {
	return &requestError{http.StatusNotFound, fmt.Sprintf("there is no %s %s here", r.Method, r.URL.Path)}
}

func reasons(of func() []string) []string {
	if of == nil {
		return nil
	}
	return of()
}

// writeHealth answers with ok, or with a line for each reason why not.
func writeHealth(w http.ResponseWriter, reasons []string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if len(reasons) == 0 {
		fmt.Fprintln(w, "ok")
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
	fmt.Fprintln(w, strings.Join(reasons, "\n"))
}

func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	st := &Status{Running: true, Version: s.cfg.Version, Started: s.cfg.Started, NotReady: reasons(s.cfg.Ready),
		Upstreams: []Upstream{}, Queue: map[envelope.State]QueueStatus{}}
	if s.cfg.Hostname != nil {
		st.Hostname = s.cfg.Hostname()
	}
	if s.cfg.Status != nil {
		st.Upstreams = append(st.Upstreams, s.cfg.Status()...)
	}
	if err := s.reader.fill(r.Context(), st); err != nil {
		return err
	}
	if err := s.lanes(r.Context(), st); err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, st)
}

// lanes adds to each upstream what waits for it, and the lanes of mail whose upstream is not known.
func (s *Server) lanes(ctx context.Context, st *Status) error {
	lanes, err := s.cfg.Queue.Lanes(ctx)
	if err != nil {
		return err
	}
	for i := range st.Upstreams {
		u := &st.Upstreams[i]
		u.Queued, u.NextAt = lanes[u.Name].Queued, lanes[u.Name].NextAt
		delete(lanes, u.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(lanes)) {
		if lane := lanes[name]; lane.Queued > 0 {
			st.Upstreams = append(st.Upstreams, Upstream{Name: name, Queued: lane.Queued, NextAt: lane.NextAt})
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
	f := Filter{IDs: q["id"], State: envelope.State(q.Get("state")), Upstream: q.Get("upstream"), After: q.Get("after"), Limit: limit}
	if err := checkState(f.State); err != nil {
		return err
	}
	p, err := s.reader.List(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, p)
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
	f := LogFilter{ID: q.Get("id"), From: q.Get("from"), To: q.Get("to"), Limit: limit}
	if since := q.Get("since"); since != "" {
		if f.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return badRequest("since %q is not a time of RFC 3339", since)
		}
	}
	l, err := s.reader.Log(r.Context(), f)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, l)
}

func (s *Server) steer(w http.ResponseWriter, r *http.Request) error {
	var sel Selection
	d := json.NewDecoder(r.Body)
	d.DisallowUnknownFields()
	if err := d.Decode(&sel); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return badRequest("the selection cannot be read: %v", err)
	}
	changed, err := s.act(r.Context(), Action(r.PathValue("action")), sel)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, changed)
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) error {
	if s.cfg.Reload == nil {
		return &requestError{http.StatusNotImplemented, "this gateway cannot reload"}
	}
	notes, err := s.cfg.Reload(r.Context())
	if err != nil {
		return &requestError{http.StatusUnprocessableEntity, err.Error()}
	}
	return writeJSON(w, http.StatusOK, Reloaded{notes})
}
