// Package webhook answers the requests by which providers tell what became of mail: POST /events/UPSTREAM.
package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"mailhatch/gateway/admin/crowd"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/web"
	"mailhatch/upstream"
)

// Bounds of what strangers can take. An answer takes as long as the store, and the provider where it is asked whether a
// request is true.
const (
	maxConnections = 64
	maxAtOnce      = 4 // requests that are judged and stored; others wait
	maxHeader      = 16 << 10
	headerTimeout  = 10 * time.Second
	readTimeout    = 30 * time.Second
	takeTime       = 30 * time.Second
	writeTimeout   = 90 * time.Second
	idleTimeout    = time.Minute
	lineTime       = time.Minute // between two lines about refused requests
)

// ErrUnknown is an upstream that takes no webhooks.
var ErrUnknown = errors.New("there is no such upstream, or it takes no webhooks")

// Config is what a server works with.
type Config struct {
	// Take puts what a request of an upstream brings on stable storage. The error is ErrUnknown, upstream.ErrSignature,
	// upstream.ErrEvents, or why it is to be sent again.
	Take    func(ctx context.Context, upstream string, h http.Header, body []byte) error
	Journal *journal.Journal
	Log     *slog.Logger
	TLS     *tls.Config // nil: none
}

// Server answers.
type Server struct {
	cfg   Config
	slots chan struct{}

	mu      sync.Mutex
	refused map[string]*refusals // by upstream
}

// refusals are requests that were refused since the last line.
type refusals struct {
	n    int
	line time.Time
}

// New returns a server.
func New(cfg Config) *Server {
	return &Server{cfg: cfg, slots: make(chan struct{}, maxAtOnce), refused: map[string]*refusals{}}
}

// Serve answers on a listener until ctx ends, then lets running requests end for a short time. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	guests := crowd.New(maxConnections)
	srv := &http.Server{
		Handler: guests.Count(s.handler()), TLSConfig: s.cfg.TLS, MaxHeaderBytes: maxHeader, ConnState: guests.Changed,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.With("listener", l.Addr().String()).Handler(), slog.LevelDebug),
	}
	return web.Serve(ctx, srv, l)
}

func (s *Server) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events/{upstream}", s.receive)
	return mux
}

// receive answers one request. Nothing of its body is in the answer or the log.
func (s *Server) receive(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("upstream")
	status, err := s.take(w, r, name)
	if errors.Is(err, ErrUnknown) { // a stranger chooses names
		name = ""
	}
	s.cfg.Journal.EventRequest(name, status)
	if err == nil {
		fmt.Fprintln(w, "ok") //nolint:errcheck // a client that is gone sends it again
		return
	}
	s.note(name, r.RemoteAddr, err)
	if status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", "60")
	}
	http.Error(w, http.StatusText(status), status)
}

func (s *Server) take(w http.ResponseWriter, r *http.Request, name string) (status int, err error) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, upstream.MaxEventBytes))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return http.StatusRequestEntityTooLarge, fmt.Errorf("the body has more than %d bytes", upstream.MaxEventBytes)
	case err != nil:
		return http.StatusBadRequest, errors.New("the body ended too soon")
	}
	ctx, cancel := context.WithTimeout(r.Context(), takeTime)
	defer cancel()
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return http.StatusServiceUnavailable, errors.New("too many requests at once")
	}
	defer func() { <-s.slots }()
	err = s.cfg.Take(ctx, name, r.Header, body)
	switch {
	case err == nil:
		return http.StatusOK, nil // some providers take no other for success
	case errors.Is(err, ErrUnknown):
		return http.StatusNotFound, err
	case errors.Is(err, upstream.ErrSignature):
		return http.StatusUnauthorized, err
	case errors.Is(err, upstream.ErrEvents):
		return http.StatusBadRequest, err
	}
	return http.StatusServiceUnavailable, err
}

// note writes a line about refused requests, at most one a minute for an upstream.
func (s *Server) note(name, client string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.refused[name]
	if f == nil {
		f = &refusals{}
		s.refused[name] = f
	}
	f.n++
	if time.Since(f.line) < lineTime {
		return
	}
	s.cfg.Journal.EventsRefused(name, f.n, err.Error(), client)
	f.n, f.line = 0, time.Now()
}
