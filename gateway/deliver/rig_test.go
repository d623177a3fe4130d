package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/budget"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/sqlite"
	"mailhatch/gateway/route"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// scripted is an upstream that answers as a test decides.
type scripted struct {
	mu    sync.Mutex
	calls []upstream.Mail
	times []time.Time
	send  func(n int, m *upstream.Mail) []upstream.Outcome // n counts calls from 1; nil takes all
	check func() error
	keyed time.Duration
}

func (s *scripted) Send(_ context.Context, m *upstream.Mail) []upstream.Outcome {
	s.mu.Lock()
	s.calls = append(s.calls, *m)
	s.times = append(s.times, time.Now())
	n := len(s.calls)
	s.mu.Unlock()
	if s.send == nil {
		return all(m, upstream.Outcome{ID: "p-" + m.ID})
	}
	return s.send(n, m)
}

func (s *scripted) Check(context.Context) error {
	if s.check == nil {
		return nil
	}
	return s.check()
}

func (s *scripted) KeyValidity() time.Duration { return s.keyed }

func (s *scripted) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.calls)
}

// delivered lists recipients of all offers.
func (s *scripted) offered() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []string
	for _, m := range s.calls {
		for _, r := range m.To {
			list = append(list, r.Address)
		}
	}
	slices.Sort(list)
	return list
}

func all(m *upstream.Mail, o upstream.Outcome) []upstream.Outcome {
	return slices.Repeat([]upstream.Outcome{o}, len(m.To))
}

func failing(c upstream.Class, status int, words string) upstream.Outcome {
	return upstream.Outcome{Err: &upstream.Error{Class: c, Status: status, Err: fmt.Errorf("%s", words)}}
}

// rig is a deliverer over a real store.
type rig struct {
	t       *testing.T
	q       queue.Engine
	memory  *budget.Memory
	header  string // more of it for the messages that are put
	d       *Deliverer
	cfg     *Config
	log     *strings.Builder
	logMu   sync.Mutex
	bounces []string // recipients and text of submitted bounces
	submit  error
	stop    func()
}

// Write collects the journal.
func (r *rig) Write(p []byte) (int, error) {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.Write(p)
}

func (r *rig) journal() string {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return r.log.String()
}

func via(names ...string) func(*queue.Message, *mime.Message) func(string) route.Decision {
	return func(*queue.Message, *mime.Message) func(string) route.Decision {
		return func(string) route.Decision {
			return route.Decision{Name: "test", Action: route.Deliver, Via: names}
		}
	}
}

func newRig(t *testing.T, change func(*Config), ups map[string]*scripted) *rig {
	t.Helper()
	q, err := sqlite.Open(t.Context(), queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	stop := queuetest.Start(t, q)
	r := &rig{t: t, q: q, log: &strings.Builder{}, cfg: config(ups, change)}
	r.over(q)
	t.Cleanup(func() {
		if r.stop != nil {
			r.stop()
		}
		stop()
	})
	return r
}

// over makes the deliverer work on q, which stands before the rig's own store.
func (r *rig) over(q queue.Queue) {
	j := journal.New(slog.New(slog.NewTextHandler(r, nil)), meter.NewRegistry())
	r.d = New(q, j, func(_ context.Context, to string, msg []byte) (string, error) {
		r.logMu.Lock()
		defer r.logMu.Unlock()
		if r.submit != nil {
			return "", r.submit
		}
		r.bounces = append(r.bounces, to+"\n"+string(msg))
		return "BOUNCE", nil
	}, r.memory, r.cfg)
}

func config(ups map[string]*scripted, change func(*Config)) *Config {
	cfg := &Config{Route: via("a"), Policy: Policy{
		Retry: []time.Duration{20 * time.Millisecond}, MaxAge: time.Hour, FailoverAfter: 3, OnFailure: "bounce", OnUncertain: "retry",
		Hostname: "gw.example", Drain: 5 * time.Second,
	}}
	for name, u := range ups {
		cfg.Upstreams = append(cfg.Upstreams, Upstream{Name: name, Upstream: u, MaxConcurrent: 4, Failover: len(ups) > 1})
	}
	if change != nil {
		change(cfg)
	}
	return cfg
}

// start runs delivery until the test ends or stop is called.
func (r *rig) start() {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := r.d.Run(ctx); err != nil {
			r.t.Error(err)
		}
	}()
	r.stop = sync.OnceFunc(func() { cancel(); <-done })
}

// put queues a message of one part in a lane.
func (r *rig) put(lane string, to ...string) string {
	r.t.Helper()
	return r.putFrom("sender@example.com", lane, time.Now(), to...)
}

func (r *rig) putFrom(from, lane string, received time.Time, to ...string) string {
	r.t.Helper()
	return r.putPart(from, lane, received, queue.Part{}, to...)
}

// putPart queues a message with the schedule and progress of a part.
func (r *rig) putPart(from, lane string, received time.Time, part queue.Part, to ...string) string {
	r.t.Helper()
	d, err := r.q.New(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	fmt.Fprintf(d, "From: <%s>\r\nTo: list@example.org\r\nSubject: test\r\nMessage-ID: <1@example.com>\r\n%s\r\nhello\r\n", from, r.header)
	var rcpts []envelope.Recipient
	for _, a := range to {
		address, notify, _ := strings.Cut(a, " ") // "x@example.org SUCCESS"
		rcpts = append(rcpts, envelope.Recipient{Address: address, Notify: strings.Fields(notify)})
	}
	part.To, part.Lane, part.State = rcpts, lane, envelope.Queued
	err = d.Commit(r.t.Context(), queue.Accepted{
		Envelope: envelope.Envelope{From: from, To: rcpts, Received: received},
		Parts:    []queue.Part{part},
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return d.ID()
}

// await waits for a condition and fails the test when it does not come.
func (r *rig) await(what string, ok func() bool) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute) // machines may be busy
	for !ok() {
		if time.Now().After(deadline) {
			r.t.Fatalf("waited in vain for %s\nqueue: %s\n%s", what, r.show(), r.journal())
		}
		time.Sleep(time.Millisecond)
	}
}

func (r *rig) show() string {
	list, err := r.q.List(context.Background(), queue.Filter{}, queue.Page{})
	return fmt.Sprintf("%+v %v", list, err)
}

func (r *rig) history(state envelope.State) []queue.Record {
	r.t.Helper()
	list, err := r.q.Search(r.t.Context(), queue.HistoryFilter{})
	if err != nil {
		r.t.Fatal(err)
	}
	return slices.DeleteFunc(list, func(rec queue.Record) bool { return rec.State != state })
}

// parts returns the waiting parts of all messages.
func (r *rig) parts() []queue.Part {
	r.t.Helper()
	list, err := r.q.List(r.t.Context(), queue.Filter{}, queue.Page{})
	if err != nil {
		r.t.Fatal(err)
	}
	var parts []queue.Part
	for _, m := range list {
		parts = append(parts, m.Parts...)
	}
	return parts
}

func (r *rig) bounced() []string {
	r.logMu.Lock()
	defer r.logMu.Unlock()
	return slices.Clone(r.bounces)
}

func (r *rig) awaitSent(n int) {
	r.t.Helper()
	r.await(fmt.Sprintf("%d sent", n), func() bool { return len(r.history(envelope.Sent)) == n })
}

// awaitState waits for one part in a state.
func (r *rig) awaitState(s envelope.State) queue.Part {
	r.t.Helper()
	var found queue.Part
	r.await("a part that is "+string(s), func() bool {
		for _, p := range r.parts() {
			if p.State == s {
				found = p
				return true
			}
		}
		return false
	})
	return found
}
