package alert

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/upstream"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// told is what a receiver got.
type told struct {
	id string
	Message
}

// listener is a receiver that remembers.
type listener struct {
	mu   sync.Mutex
	err  error // what it answers
	hang bool  // it answers when the attempt ends
	got  []told
	all  int // attempts, refused ones included
}

func (l *listener) send(ctx context.Context, id string, body []byte, m *Message) (string, error) {
	l.mu.Lock()
	err, hang := l.err, l.hang
	l.all++
	l.mu.Unlock()
	if hang {
		<-ctx.Done()
		return "", ctx.Err()
	}
	if err != nil {
		return "", err
	}
	var t told
	if err := json.Unmarshal(body, &t.Message); err != nil {
		return "", err
	}
	t.id = id
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, t)
	return "200 OK", nil
}

func (l *listener) answer(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = err
}

// take returns the texts that came since it was last called, a line for each message.
func (l *listener) take() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []string
	for _, t := range l.got {
		text := regexp.MustCompile(`resolved after \d+ \w+:`).ReplaceAllString(t.Text, "resolved:")
		lines = append(lines, strings.ReplaceAll(strings.ReplaceAll(text, "mailhatch on app1: ", ""), "\n", " | "))
	}
	l.got = nil
	return strings.Join(lines, "\n")
}

// rig is a watcher of a gateway that a test makes up.
type rig struct {
	t       *testing.T
	journal *journal.Journal
	watcher *Watcher
	dir     string
	outbox  Outbox
	fleet   *Fleet
	stop    func()

	mu        sync.Mutex
	upstreams []Upstream
	queue     Depth
	queueErr  error
	full      error
	slow      []string
	away      string
	endings   []Ending
	maildrop  Drops
	sick      bool
	stopped   []Stopped
	blind     bool // of canaries nothing is known
}

func (r *rig) set(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// start runs a watcher that tells receivers, each by its settings.
func (r *rig) start(alerters ...*Alerter) {
	r.journal = journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry())
	r.watcher = New(Config{
		Upstreams: func() []Upstream { r.mu.Lock(); defer r.mu.Unlock(); return r.upstreams },
		Queue:     func(context.Context) (Depth, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.queue, r.queueErr },
		Full:      func(context.Context) error { r.mu.Lock(); defer r.mu.Unlock(); return r.full },
		Database:  func(context.Context) ([]string, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.slow, nil },
		Away:      func() string { r.mu.Lock(); defer r.mu.Unlock(); return r.away },
		Endings:   func() []Ending { r.mu.Lock(); defer r.mu.Unlock(); return r.endings },
		Maildrop:  func() (Drops, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.maildrop, nil },
		Canaries:  func() ([]Stopped, bool) { r.mu.Lock(); defer r.mu.Unlock(); return r.stopped, !r.blind },
		Healthy:   func() bool { r.mu.Lock(); defer r.mu.Unlock(); return !r.sick },
		Now:       time.Now, Journal: r.journal, Outbox: r.outbox, Fleet: r.fleet, Dir: r.dir, Version: "1.2",
	})
	r.watcher.Follow(alerters, "app1")
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- r.watcher.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
	r.pass(time.Second)
}

// pass lets time go by.
func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// settings are the defaults but for what change does.
func settings(change func(*Settings), on ...string) Settings {
	var s Settings
	s.SetDefaults()
	s.On, s.URL = on, upstream.NewSecret("https://example.com/hook")
	if change != nil {
		change(&s)
	}
	return s
}

// inTime runs a test with a clock of its own; the rig has not started.
func inTime(t *testing.T, test func(r *rig, l *listener)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{t: t, dir: dir}
		test(r, &listener{})
		if r.stop != nil {
			r.stop()
		}
	})
}

// want compares what came with what should have.
func (l *listener) want(t *testing.T, want string) {
	t.Helper()
	if got := l.take(); got != want {
		t.Errorf("it was told\n%s\nwant\n%s", got, want)
	}
}

func alerter(l sender, change func(*Settings), on ...string) *Alerter {
	return &Alerter{name: "ops", settings: settings(change, on...), sender: l}
}

var errRefused = errors.New("answered 500")

func duration(d time.Duration) upstream.Duration { return upstream.Duration{Duration: d} }

func readState(t *testing.T, dir string) string {
	t.Helper()
	raw, err := os.ReadFile(stateFile(dir))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}
