// Package admin shows and steers a running gateway by HTTP: health, metrics, and a JSON API.
//
// The server trusts a listener by its kind. Over a unix socket, which file permissions guard, it does
// everything. At an address, which any local program and every web page in a local browser can reach, it shows health
// and metrics, which name nobody; all else as room access says: to programs that have the token of the config, to people
// who opened the page by a one-time link, and to nobody when the request was sent by another web page.
//
// What can be asked for, by whom, and what is answered, is in openapi/openapi.yaml; the table of routes is in handlers.go.
// Beside it an address has GET /login, which opens a link, POST /logout, and the page below /.
//
// Failures are {"error": "words"} with a fitting status.
package admin

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/netutil"

	"mailhatch/gateway/admin/access"
	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/admin/crowd"
	"mailhatch/gateway/admin/suppressed"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/web"
	"mailhatch/upstream"
)

// Config is what the server shows and steers. Queue is needed, all else may be missing.
type Config struct {
	Queue      queue.Engine
	Status     func() []api.Upstream                                                             // how the upstreams are; the server adds what waits for each
	Why        func(ctx context.Context, list []queue.Message) (*waiting.View, error)            // tells why each of them waits; nil: as in a stopped gateway
	Gateways   func(ctx context.Context) (own string, all []queue.Gateway, err error)            // those that share the queue; nil: nobody does
	Steer      func(ctx context.Context, upstream string, a api.UpstreamAction, by string) error // pauses, resumes or probes an upstream
	Flush      func(ctx context.Context, upstream string) error                                  // makes queued mail of a lane due and tries its upstream
	Reroute    func(upstream string)                                                             // has due mail of a lane routed anew soon
	Silent     func() []string                                                                   // listeners that do not answer, in words
	Ready      func() []string                                                                   // what is not ready yet, in words; none: ready
	Reload     func(ctx context.Context) ([]string, error)                                       // reads the config again and returns what needs a restart; after an error the old config stays
	Login      func(ctx context.Context, name string, show func(upstream.LoginCode)) error
	Memory     func(upstream string) ([]api.Kept, bool)                                                    // what an upstream of type memory was given; false: it is not one
	Recent     func() []journal.Happened                                                                   // what happened last
	Metrics    *meter.Registry                                                                             // metrics beside those of the queue
	Access     *access.Control                                                                             // who may ask what at an address; nil: health and metrics are all that there is
	Page       http.Handler                                                                                // what browsers see at an address once a link was opened there; nil: nothing
	Refused    func(client string)                                                                         // is told of clients that a Door does not admit
	URL        func() (string, error)                                                                      // where browsers find the server, without a final slash, or why they do not; nil: nowhere
	Carry      func(ctx context.Context, upstream string, m *queue.Message, to []envelope.Recipient) error // why an upstream cannot carry a message, in words; nil: it can
	Resend     func(ctx context.Context, id string, ask api.Resend, by string) (*api.Resent, error)
	Acted      func(journal.Operation) // is told of what operators did
	Suppressed *suppressed.Desk        // changes the addresses that get no mail; needed where somebody does
	Log        *slog.Logger            // failures of connections and panics
	Hostname   func() string
	Version    string
	Started    time.Time

	Backup func(ctx context.Context, w io.Writer) error // packs the state into w; ErrBusy while another does

	Maildrop func(most int) (*maildrop.Waiting, error) // looks at the maildrop; nil: there is none

	TestAlerts func(ctx context.Context, name string) ([]api.AlertTest, error) // sends a test to the receiver of that name, "" for all

	Check func(ctx context.Context, upstream string) (api.Checked, bool) // whether an upstream would take mail; false: it is unknown
}

// Limits of the server. All are per listener.
const (
	maxConnections = 64
	maxHeader      = 16 << 10 // bytes
	maxBody        = 1 << 20  // bytes
	headerTimeout  = 10 * time.Second
	readTimeout    = 30 * time.Second
	idleTimeout    = 2 * time.Minute
	writeTimeout   = 10 * time.Minute // steering a million messages takes its time
)

// Server answers on the admin listeners. Make one with New.
type Server struct {
	cfg     Config
	reader  Reader
	metrics http.Handler
}

// New returns a server that shows and steers what cfg names.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, reader: Reader{cfg.Queue, cfg.Why, cfg.Maildrop},
		metrics: serveMetrics(cfg.Metrics, &collector{cfg.Version, cfg.Queue, cfg.Status, cfg.Maildrop})}
	if s.cfg.Access == nil {
		s.cfg.Access = access.New(access.Config{})
	}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	return s
}

// Door is what a listener is for.
type Door struct {
	TLS    *tls.Config                  // of an address; nil: none
	Admits func(client netip.Addr) bool // who may connect to an address; nil: everybody
	Health bool                         // health and metrics alone
}

// Entrance answers on listeners. Make one with Server.At.
type Entrance struct {
	server *Server
	door   Door
}

// At returns what answers on a listener that is such a door.
func (s *Server) At(d Door) *Entrance { return &Entrance{s, d} }

// Serve answers on a listener that is no particular door.
func (s *Server) Serve(ctx context.Context, l net.Listener) error { return s.At(Door{}).Serve(ctx, l) }

// handler returns what a listener offers until the server stops, and what bounds its connections.
func (e *Entrance) handler(stopped context.Context, l net.Listener) (http.Handler, net.Listener, *crowd.Crowd) {
	s := e.server
	if l.Addr().Network() == "unix" {
		return s.control(stopped), netutil.LimitListener(l, maxConnections), nil
	}
	c := crowd.New(maxConnections)
	l = crowd.Admit(l, e.door.Admits, s.cfg.Refused)
	if e.door.Health {
		mux := s.health()
		mux.Handle("/", handler(nothing))
		return c.Count(mux), l, c
	}
	return c.Count(s.public(stopped, e.named)), l, c
}

// named reports whether an address goes by a name: that of the program, or one of the certificate.
func (e *Entrance) named(host string) bool {
	if own := e.server.cfg.Hostname; own != nil && strings.EqualFold(host, own()) {
		return true
	}
	pair, err := e.door.TLS.GetCertificate(nil)
	return err == nil && pair.Leaf.VerifyHostname(host) == nil
}

// Serve answers on a listener until ctx ends, then lets running requests end for a short time. It closes
// the listener.
func (e *Entrance) Serve(ctx context.Context, l net.Listener) error {
	h, l, bound := e.handler(ctx, l)
	srv := &http.Server{
		Handler: h, TLSConfig: e.door.TLS, MaxHeaderBytes: maxHeader,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout, IdleTimeout: idleTimeout,
		ErrorLog: slog.NewLogLogger(e.server.cfg.Log.With("listener", l.Addr().String()).Handler(), slog.LevelWarn),
	}
	if bound != nil {
		srv.ConnState = bound.Changed
	}
	return web.Serve(ctx, srv, l)
}
