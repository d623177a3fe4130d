// Package sink accepts mail over SMTP and HTTP APIs, counts it by number, and fails on demand.
package sink

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"mailhatch/cmd/mailbench/host"
)

// Faults makes a sink a bad upstream. Probabilities are 0 to 1 and are tried in the order of the
// fields; what follows the first that hits is not tried.
type Faults struct {
	Delay      time.Duration `json:"delay_ns"`    // before each final answer
	Jitter     time.Duration `json:"jitter_ns"`   // up to so much more
	Throttle   float64       `json:"throttle"`    // 429 with Retry-After: 1, SMTP 451 4.7.1
	Temporary  float64       `json:"temporary"`   // 500, SMTP 451 4.3.0
	Permanent  float64       `json:"permanent"`   // 400, SMTP 550 5.7.1
	DropBefore float64       `json:"drop_before"` // close without an answer; the message does not count
	DropAfter  float64       `json:"drop_after"`  // close without an answer; the message counts
}

// Verdict is what becomes of one message.
type Verdict string

const (
	accept     Verdict = "accepted"
	throttle   Verdict = "throttled"
	temporary  Verdict = "temporary"
	permanent  Verdict = "permanent"
	dropBefore Verdict = "dropped_before"
	dropAfter  Verdict = "dropped_after"
)

// Stats is what a sink has counted since it was opened or reset.
type Stats struct {
	Accepted     int             `json:"accepted"`         // messages, those whose answer was dropped included
	Unique       int             `json:"unique"`           // different ids
	Duplicates   int             `json:"duplicates"`       // messages whose id had come before
	Unidentified int             `json:"unidentified"`     // accepted without an id
	Replays      int             `json:"replays"`          // HTTP: an Idempotency-Key seen before; answered as then, not accepted again
	Refused      map[Verdict]int `json:"refused"`          // by fault
	Connections  int             `json:"smtp_connections"` // opened
	MaxInFlight  int             `json:"max_in_flight"`    // messages between their arrival and their answer
	First        time.Time       `json:"first"`            // of the accepted
	Last         time.Time       `json:"last"`
}

// Sink accepts mail over SMTP and HTTP, counts it and throws it away.
type Sink struct {
	smtp net.Listener
	http net.Listener

	mu       sync.Mutex
	faults   Faults
	stats    Stats
	seen     map[string]bool   // ids
	replies  map[string]string // by Idempotency-Key: the id answered
	inFlight int
	waiting  map[chan struct{}]int // closed when so many unique ids are there

	conns   map[net.Conn]bool
	closing bool
	wg      sync.WaitGroup // of connections
}

// Open listens; "127.0.0.1:0" takes a free port. Run serves.
func Open(smtpAddr, httpAddr string, faults Faults) (*Sink, error) {
	for _, addr := range []string{smtpAddr, httpAddr} {
		if err := host.RequireLoopback(addr); err != nil {
			return nil, err
		}
	}
	s := &Sink{faults: faults, waiting: map[chan struct{}]int{}, conns: map[net.Conn]bool{}}
	s.Reset()
	var err error
	if s.smtp, err = net.Listen("tcp", smtpAddr); err != nil {
		return nil, err
	}
	if s.http, err = net.Listen("tcp", httpAddr); err != nil {
		s.smtp.Close()
		return nil, err
	}
	return s, nil
}

// SMTPAddr is where the sink speaks SMTP.
func (s *Sink) SMTPAddr() *net.TCPAddr { return s.smtp.Addr().(*net.TCPAddr) }

// URL is the base URL of the HTTP APIs and of /_sink/.
func (s *Sink) URL() string { return "http://" + s.http.Addr().String() }

// Run serves until ctx ends, then closes everything and waits for it.
func (s *Sink) Run(ctx context.Context) error {
	web := &http.Server{
		Handler:           s.handler(),
		ReadHeaderTimeout: 10 * time.Second,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	failed := make(chan error, 2)
	s.wg.Go(func() { failed <- s.serveSMTP(ctx) })
	s.wg.Go(func() { failed <- web.Serve(s.http) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
		err = fmt.Errorf("sink: %w", err)
	}
	s.smtp.Close()
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if web.Shutdown(grace) != nil { // waits for requests under way, whose delays ctx has ended
		web.Close()
	}
	s.mu.Lock()
	s.closing = true
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.wg.Wait()
	return err
}

// SetFaults changes how messages are answered from now on.
func (s *Sink) SetFaults(f Faults) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = f
}

// Reset forgets all that was counted.
func (s *Sink) Reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats = Stats{Refused: map[Verdict]int{}}
	s.seen = map[string]bool{}
	s.replies = map[string]string{}
}

// Stats returns a copy of the counts.
func (s *Sink) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	stats := s.stats
	stats.Refused = make(map[Verdict]int, len(s.stats.Refused))
	for v, n := range s.stats.Refused {
		stats.Refused[v] = n
	}
	return stats
}

// Await returns when n different messages have come, or with the error of ctx.
func (s *Sink) Await(ctx context.Context, n int) error {
	s.mu.Lock()
	if s.stats.Unique >= n {
		s.mu.Unlock()
		return nil
	}
	reached := make(chan struct{})
	s.waiting[reached] = n
	s.mu.Unlock()
	select {
	case <-reached:
		return nil
	case <-ctx.Done():
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.waiting, reached)
		return ctx.Err()
	}
}

// take waits as the faults say, decides what becomes of a message with this id, and counts it. key is
// its Idempotency-Key, answer what will be answered under it; both may be empty. It gives the answer to
// send: an earlier one when the key is known.
func (s *Sink) take(ctx context.Context, id, key, answer string) (Verdict, string) {
	s.mu.Lock()
	s.inFlight++
	s.stats.MaxInFlight = max(s.stats.MaxInFlight, s.inFlight)
	f := s.faults
	s.mu.Unlock()

	if wait := f.Delay + time.Duration(rand.Float64()*float64(f.Jitter)); wait > 0 {
		host.SleepUntil(ctx, time.Now().Add(wait))
	}
	v := f.draw()

	s.mu.Lock()
	defer s.mu.Unlock()
	s.inFlight--
	if v != accept {
		s.stats.Refused[v]++
	}
	if v != accept && v != dropAfter {
		return v, ""
	}
	if earlier, known := s.replies[key]; known && key != "" {
		s.stats.Replays++
		return v, earlier
	}
	if key != "" {
		s.replies[key] = answer
	}
	s.count(id)
	return v, answer
}

// draw rolls the dice.
func (f Faults) draw() Verdict {
	for _, fault := range []struct {
		p float64
		v Verdict
	}{{f.Throttle, throttle}, {f.Temporary, temporary}, {f.Permanent, permanent},
		{f.DropBefore, dropBefore}, {f.DropAfter, dropAfter}} {
		if fault.p > 0 && rand.Float64() < fault.p {
			return fault.v
		}
	}
	return accept
}

// count files one accepted message. The caller holds mu.
func (s *Sink) count(id string) {
	now := time.Now()
	if s.stats.Accepted == 0 {
		s.stats.First = now
	}
	s.stats.Last = now
	s.stats.Accepted++
	switch {
	case id == "":
		s.stats.Unidentified++
		return
	case s.seen[id]:
		s.stats.Duplicates++
		return
	}
	s.seen[id] = true
	s.stats.Unique++
	for reached, n := range s.waiting {
		if s.stats.Unique >= n {
			close(reached)
			delete(s.waiting, reached)
		}
	}
}

// Start runs a sink on free ports; stop ends it and waits.
func Start(ctx context.Context) (sink *Sink, stop func() error, err error) {
	return StartAt(ctx, 0)
}

// StartAt runs a sink whose SMTP port is given; 0: a free one.
func StartAt(ctx context.Context, port int) (sink *Sink, stop func() error, err error) {
	sink, err = Open(host.Loopback(port), "127.0.0.1:0", Faults{})
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- sink.Run(ctx) }()
	return sink, func() error { cancel(); return <-done }, nil
}
