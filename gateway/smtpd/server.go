package smtpd

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// Server speaks SMTP on listeners that share one Config.
type Server struct {
	cfg      Config
	handler  Handler
	log      *slog.Logger
	limits   []string  // as EHLO tells them
	blocks   sync.Pool // *[]byte of blockSize: input buffers of sessions inside DATA
	messages *rateLimiter
	delayed  chan struct{} // logins that wait because others failed
	logins   chan struct{} // a password hash is slow on purpose: one slot for each check that may run

	mu       sync.Mutex
	fronts   map[*front]struct{}
	perAddr  map[netip.Prefix]int
	nextScan time.Time // for a session that may be given up
	draining bool
	idle     chan struct{} // closed when draining and the last front has left
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
		fronts:   map[*front]struct{}{},
		perAddr:  map[netip.Prefix]int{},
		idle:     make(chan struct{}),
		messages: newRateLimiter(cfg.MaxRate, cfg.RatePer),
		delayed:  make(chan struct{}, maxDelayed),
		logins:   make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
	}
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

// Serve answers clients of l until ctx ends or l fails; it closes l. At the end of ctx it stops
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

// drain ends all sessions and returns how many would not.
func (s *Server) drain(cut context.CancelFunc) int {
	s.mu.Lock()
	if !s.draining && len(s.fronts) == 0 {
		close(s.idle)
	}
	s.draining = true
	for f := range s.fronts {
		f.drain()
	}
	s.mu.Unlock()
	if await(s.idle, s.cfg.DrainTimeout) {
		return 0
	}
	cut()
	s.mu.Lock()
	for f := range s.fronts {
		f.raw.Close()
	}
	s.mu.Unlock()
	if await(s.idle, forceWait) {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fronts)
}

func await(done <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-done:
		return true
	case <-t.C:
		return false
	}
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
		refusal := f.srv.admit(f)
		if refusal == "" {
			return f, nil
		}
		f.refuseConn(refusal)
	}
}

// admit counts a connection in, or returns the reply that refuses it.
func (s *Server) admit(f *front) (refusal string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return "421 4.3.2 " + s.cfg.Hostname + " Service shutting down"
	}
	if s.cfg.MaxConns > 0 && len(s.fronts) >= s.cfg.MaxConns && !s.evict() {
		return "421 4.7.0 " + s.cfg.Hostname + " Too many connections, try again later"
	}
	s.fronts[f] = struct{}{}
	return ""
}

// evict gives up the session that has been slow for longest, strangers first, and reports whether there was one.
func (s *Server) evict() bool {
	now := time.Now()
	if now.Before(s.nextScan) {
		return false
	}
	var slowest *front
	var longest time.Duration
	var strange bool
	for f := range s.fronts {
		d, stranger := f.slowness(now)
		if d > 0 && (slowest == nil || stranger && !strange || stranger == strange && d > longest) {
			slowest, longest, strange = f, d, stranger
		}
	}
	if slowest == nil || !slowest.giveWay() {
		s.nextScan = now.Add(s.cfg.patience() / 10) // a flood of connections must not cost a scan each
		return false
	}
	s.forget(slowest)
	return true
}

// admitAddr counts a connection of a known peer, if MaxConnsPerAddr allows.
func (s *Server) admitAddr(f *front) bool {
	if s.cfg.MaxConnsPerAddr <= 0 || !f.peer.IsValid() {
		return true
	}
	key := countedAs(f.peer)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.perAddr[key] >= s.cfg.MaxConnsPerAddr {
		return false
	}
	s.perAddr[key]++
	f.counted = key
	return true
}

// remove forgets a connection.
func (s *Server) remove(f *front) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.forget(f)
}

func (s *Server) forget(f *front) {
	if _, ok := s.fronts[f]; !ok {
		return
	}
	delete(s.fronts, f)
	if f.counted.IsValid() {
		if s.perAddr[f.counted]--; s.perAddr[f.counted] <= 0 {
			delete(s.perAddr, f.counted)
		}
		f.counted = netip.Prefix{}
	}
	if len(s.fronts) == 0 && s.draining {
		close(s.idle)
	}
}
