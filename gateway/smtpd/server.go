package smtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"runtime"
	"sync"
	"time"

	"github.com/emersion/go-smtp"

	"mailhatch/gateway/smtpd/limit"
)

// Server speaks SMTP on listeners that share one Config.
type Server struct {
	cfg      Config
	handler  Handler
	log      *slog.Logger
	limits   []string  // as EHLO tells them
	blocks   sync.Pool // *[]byte of blockSize: input buffers of sessions inside DATA
	conns    *limit.Conns
	messages *limit.Rate
	delayed  chan struct{} // logins that wait because others failed
	retired  chan struct{} // closed once another server has taken its place
	retire   func()
	logins   chan struct{} // a password hash is slow on purpose: one slot for each check that may run
}

// blockSize is how much of DATA is read at once.
const blockSize = 16 << 10

// forceWait is how long sessions may take to end once their connections have been cut.
const forceWait = 5 * time.Second

// New returns a server for one listener's settings. A nil logger means slog's default.
func New(cfg Config, h Handler, log *slog.Logger) *Server {
	if log == nil {
		log = slog.Default()
	}
	cfg = cfg.withDefaults()
	s := &Server{
		cfg:      cfg,
		handler:  h,
		log:      log.With("listener", cfg.Name),
		conns:    limit.NewConns(cfg.MaxConns, cfg.MaxConnsPerAddr, cfg.IdleTimeout),
		messages: limit.NewRate(cfg.MaxRate, cfg.RatePer),
		delayed:  make(chan struct{}, maxDelayed),
		logins:   make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
		retired:  make(chan struct{}),
	}
	s.retire = sync.OnceFunc(func() { close(s.retired) })
	s.limits = limits(&cfg)
	s.blocks.New = func() any { b := make([]byte, blockSize); return &b }
	return s
}

// limits returns the words of RFC 1870 and RFC 9422.
func limits(cfg *Config) []string {
	words := []string{"SIZE"}
	if cfg.MaxMessage > 0 {
		words[0] = fmt.Sprintf("SIZE %d", cfg.MaxMessage)
	}
	if cfg.MaxRecipients > 0 {
		words = append(words, fmt.Sprintf("LIMITS RCPTMAX=%d", cfg.MaxRecipients))
	}
	return words
}

// Retire has Serve accept no more clients, as another server has taken its place, and return once the open sessions have
// ended. They go on by the settings they began with, until they have nothing to say between two messages or DrainTimeout is
// over; then they get 421. What is in the middle of a message is never interrupted.
func (s *Server) Retire() { s.retire() }

// Serve answers clients of l until ctx ends, l fails, or Retire is called; it closes l. At the end of ctx it stops
// accepting, sends sessions 421 between two commands, lets running DATA finish for DrainTimeout, then
// cuts what is left. The Server cannot be used again. The error is nil unless l failed or a handler did not return.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	// Messages that are being handed over outlive ctx by the drain timeout.
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	engine := s.engine()
	failed := make(chan error, 1)
	go func() {
		failed <- engine.Serve(&frontListener{l, func(conn net.Conn) *front { return newFront(base, s, conn) }})
	}()

	var err error
	select {
	case err = <-failed:
		l.Close()
	case <-ctx.Done():
		l.Close()
		<-failed
	case <-s.retired:
		l.Close()
		<-failed
		s.outlive(ctx)
	}
	left := s.drain(cancel)
	if left > 0 {
		err = errors.Join(err, fmt.Errorf("smtpd: %d sessions did not end within %v of being cut", left, forceWait))
		return err
	}
	// All sessions are closed: this only collects their goroutines.
	collect, done := context.WithTimeout(context.Background(), forceWait)
	defer done()
	if e := engine.Shutdown(collect); e != nil && !errors.Is(e, net.ErrClosed) {
		err = errors.Join(err, e)
	}
	return err
}

// engine is the go-smtp server; limits on bytes, lines and time are the front's.
func (s *Server) engine() *smtp.Server {
	e := smtp.NewServer(smtp.BackendFunc(newSession))
	e.Domain = s.cfg.Hostname
	e.MaxRecipients = s.cfg.MaxRecipients
	e.MaxMessageBytes = s.cfg.MaxMessage
	e.MaxLineLength = 0
	e.AllowInsecureAuth = true // session.AuthMechanisms decides
	e.EnableSMTPUTF8 = true
	e.EnableDSN = true
	e.ErrorLog = engineLog{s.log}
	return e
}

// engineLog is where go-smtp reports panics and accept errors.
type engineLog struct{ log *slog.Logger }

func (l engineLog) Printf(format string, v ...any) { l.log.Error(fmt.Sprintf(format, v...)) }
func (l engineLog) Println(v ...any)               { l.log.Error(fmt.Sprint(v...)) }

// outlive lets the sessions come to their ends once the server was retired, or until ctx ends.
func (s *Server) outlive(ctx context.Context) {
	s.conns.Retire(s.conns.Patience())
	if !s.awaitNone(ctx, s.cfg.DrainTimeout) {
		s.conns.Retire(0)
		s.conns.Await(ctx)
	}
}

// drain ends all sessions and returns how many would not.
func (s *Server) drain(cut context.CancelFunc) int {
	s.conns.Drain()
	if s.awaitNone(context.Background(), s.cfg.DrainTimeout) {
		return 0
	}
	cut()
	s.conns.Cut()
	if s.awaitNone(context.Background(), forceWait) {
		return 0
	}
	return s.conns.Len()
}

// awaitNone waits for the end of all sessions, for at most d, and reports whether it came.
func (s *Server) awaitNone(ctx context.Context, d time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, d)
	defer cancel()
	return s.conns.Await(ctx)
}

// frontListener is the listener that go-smtp sees: it hands out fronts.
type frontListener struct {
	net.Listener
	open func(net.Conn) *front
}

// Accept waits for a client that no limit refuses.
func (l *frontListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		f := l.open(conn)
		err = f.srv.conns.Admit(f.place)
		if err == nil {
			return f, nil
		}
		f.refuseConn(f.srv.refusal(err))
	}
}

// refusal returns the reply to a connection that is not admitted.
func (s *Server) refusal(err error) string {
	if errors.Is(err, limit.ErrDraining) {
		return "421 4.3.2 " + s.cfg.Hostname + " Service shutting down"
	}
	return "421 4.7.0 " + s.cfg.Hostname + " Too many connections, try again later"
}
