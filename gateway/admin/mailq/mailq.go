// Package mailq answers each account of this machine with what it may know of the queue: what became of its own mail, and
// how much there is. No address and no word of the mail of others is among it.
//
// The server listens on a socket that every account may open. Who asks, the kernel tells: its listener names the account as
// the address of the client (listen.Accounts). There is one request:
//
//	GET /mailq   Answer
package mailq

import (
	"context"
	"encoding/json"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"mailhatch/gateway/admin/api"

	"golang.org/x/net/netutil"

	"mailhatch/gateway/admin"
	"mailhatch/gateway/deliver/waiting"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/maildrop"
	"mailhatch/gateway/queue"
)

// SocketName is the name of the socket in run_dir.
const SocketName = "mailq.sock"

// Answer is what an account may know.
type Answer struct {
	Hostname string        `json:"hostname"`
	Counts   *Counts       `json:"counts,omitempty"` // of all mail that waits; nil: not for this account
	Own      []api.Message `json:"own"`              // the account's own mail that waits, the oldest first
	More     bool          `json:"more,omitempty"`   // there may be more of its own
}

// Counts is how much mail waits.
type Counts struct {
	Messages int   `json:"messages"`
	Bytes    int64 `json:"bytes"`
}

// Config is what the server tells of. Queue is needed.
type Config struct {
	Queue    Source
	Why      func(ctx context.Context, list []queue.Message) (*waiting.View, error) // why each of these messages waits
	Maildrop func(most int) (*maildrop.Waiting, error)                              // nil: there is none
	Counts   func(account string) bool                                              // whether an account may know how much there is; nil: it may
	Hostname func() string
	Log      *slog.Logger // failures of connections
}

// Source is what the server reads.
type Source interface {
	List(ctx context.Context, f queue.Filter, p queue.Page) ([]queue.Message, error)
	Stats(ctx context.Context) (map[envelope.State]queue.Depth, error)
}

// Limits. Any account can ask as often as it likes.
const (
	maxConnections = 32
	askTimeout     = 5 * time.Second // for the request
	answerTimeout  = time.Minute
	answerLife     = 2 * time.Second // until an account gets another answer
	maxAccounts    = 100             // whose answers are remembered
	pageSize       = 1000            // messages that are read at once
	maxScan        = 10_000          // messages that are looked at
	maxOwn         = 500             // messages that an account is shown
)

// Server answers accounts. Make one with New.
type Server struct {
	cfg     Config
	mu      sync.Mutex // one answer is made at a time
	answers map[string]remembered
}

type remembered struct {
	at     time.Time
	answer *Answer
}

// New returns a server.
func New(cfg Config) *Server { return &Server{cfg: cfg, answers: map[string]remembered{}} }

// Serve answers on a listener whose connections name accounts, until ctx ends. It closes the listener.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	srv := &http.Server{Handler: http.HandlerFunc(s.serve), ReadTimeout: askTimeout, WriteTimeout: answerTimeout, MaxHeaderBytes: 4 << 10,
		ErrorLog: slog.NewLogLogger(s.cfg.Log.With("listener", l.Addr().String()).Handler(), slog.LevelWarn)}
	srv.SetKeepAlivesEnabled(false)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(netutil.LimitListener(l, maxConnections)) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	_ = srv.Close()
	<-failed
	return nil
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet || r.URL.Path != "/mailq" || r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "" {
		http.Error(w, "there is GET /mailq here", http.StatusNotFound)
		return
	}
	user := userOf(r.RemoteAddr)
	if user == "" {
		http.Error(w, "this system does not tell which account asks", http.StatusForbidden)
		return
	}
	known, err := s.answer(r.Context(), user)
	if err != nil {
		http.Error(w, "the queue cannot be read", http.StatusServiceUnavailable) // the error may name somebody
		return
	}
	a := *known
	if s.cfg.Counts != nil && !s.cfg.Counts(r.RemoteAddr) {
		a.Counts = nil
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(a) // the client is gone
}

// userOf returns the Client.User of mail from an account; "" when the listener does not know it.
func userOf(account string) string {
	switch account {
	case "", "@":
		return ""
	}
	return "uid:" + strings.TrimPrefix(account, "uid ")
}

// answer returns what is known to one who may count. For a short time it stays the same.
func (s *Server) answer(ctx context.Context, user string) (*Answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if a, ok := s.answers[user]; ok && now.Sub(a.at) < answerLife {
		return a.answer, nil
	}
	a, err := s.look(ctx, user)
	if err != nil {
		return nil, err
	}
	maps.DeleteFunc(s.answers, func(_ string, r remembered) bool { return now.Sub(r.at) >= answerLife })
	if len(s.answers) < maxAccounts {
		s.answers[user] = remembered{time.Now(), a}
	}
	return a, nil
}

// look looks through the queue.
func (s *Server) look(ctx context.Context, user string) (*Answer, error) {
	a := &Answer{Counts: &Counts{}, Own: []api.Message{}}
	if s.cfg.Hostname != nil {
		a.Hostname = s.cfg.Hostname()
	}
	var own []queue.Message
	looked, err := s.each(ctx, func(m *queue.Message) {
		a.Counts.Messages++
		a.Counts.Bytes += m.Size
		if m.Envelope.Client.User != user {
			return
		}
		if len(own) < maxOwn {
			own = append(own, *m)
		} else {
			a.More = true
		}
	})
	if err != nil {
		return nil, err
	}
	if !looked {
		a.More = true
		if err := s.estimate(ctx, a.Counts); err != nil {
			return nil, err
		}
	}
	view, err := s.discreet(ctx, own)
	if err != nil {
		return nil, err
	}
	if err := s.maildrop(a, user); err != nil {
		return nil, err
	}
	for i := range own {
		m := admin.NewMessage(&own[i], view)
		asGiven(&m)
		a.Own = append(a.Own, m)
	}
	return a, nil
}

// each calls visit for the messages that wait, without those that are given up, the queued ones first. It is false when there are
// too many.
func (s *Server) each(ctx context.Context, visit func(m *queue.Message)) (all bool, err error) {
	left := maxScan
	for _, state := range []envelope.State{envelope.Queued, envelope.Held} {
		for page := (queue.Page{Limit: pageSize}); ; {
			list, err := s.cfg.Queue.List(ctx, queue.Filter{State: state}, page)
			if err != nil {
				return false, err
			}
			for i := range list {
				if m := &list[i]; state == envelope.Queued || !has(m, envelope.Queued) {
					m.Parts = slices.DeleteFunc(m.Parts, func(p queue.Part) bool { return p.State == envelope.Failed })
					visit(m)
				}
			}
			if len(list) < pageSize {
				break
			}
			if left -= len(list); left <= 0 {
				return false, nil
			}
			page.After = list[len(list)-1].ID
		}
	}
	return true, nil
}

func has(m *queue.Message, state envelope.State) bool {
	return slices.ContainsFunc(m.Parts, func(p queue.Part) bool { return p.State == state })
}

// estimate counts groups of recipients for messages, where these are too many to be counted.
func (s *Server) estimate(ctx context.Context, c *Counts) error {
	depths, err := s.cfg.Queue.Stats(ctx)
	if err != nil {
		return err
	}
	c.Messages = depths[envelope.Queued].Parts + depths[envelope.Held].Parts
	c.Bytes = depths[envelope.Queued].Bytes + depths[envelope.Held].Bytes
	return nil
}

// discreet returns why messages wait, without the words of providers about upstreams: these may be about mail of others.
func (s *Server) discreet(ctx context.Context, list []queue.Message) (*waiting.View, error) {
	if s.cfg.Why == nil || len(list) == 0 {
		return &waiting.View{}, nil
	}
	v, err := s.cfg.Why(ctx, list)
	if err != nil {
		return nil, err
	}
	quiet := *v
	quiet.Upstreams = maps.Clone(v.Upstreams)
	for name, u := range quiet.Upstreams {
		u.LastError, u.Refused = "", slices.Clone(u.Refused)
		for i := range u.Refused {
			u.Refused[i].Err = nil
		}
		quiet.Upstreams[name] = u
	}
	return &quiet, nil
}

// maildrop adds what waits in the maildrop.
func (s *Server) maildrop(a *Answer, user string) error {
	if s.cfg.Maildrop == nil {
		return nil
	}
	w, err := s.cfg.Maildrop(pageSize)
	if err != nil {
		return err
	}
	a.Counts.Messages += w.Count
	a.Counts.Bytes += w.Bytes
	for i := range w.Messages {
		d := &w.Messages[i]
		if envelope.AccountUser(d.UID) == user {
			a.Own = append(a.Own, admin.NewDropped(d, true))
		}
	}
	return nil
}
