package canary

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/clock"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
)

// rig is a keeper with a queue and a history of its own, in virtual time.
type rig struct {
	*testing.T
	cfg   Config
	dir   string
	alone func(context.Context, string, time.Duration) bool
	stop  func()
	k     *Keeper

	metrics *meter.Registry

	mu      sync.Mutex
	log     bytes.Buffer
	mails   []*Mail
	refuse  error // of the queue
	broken  error // of the history
	excused bool
	parts   map[string]queue.Part   // of what waits, by id
	records map[string]queue.Record // of what has ended, by id
	told    map[string]queue.Event
}

func (r *rig) set(f func()) { r.mu.Lock(); defer r.mu.Unlock(); f() }

func (r *rig) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(p)
}

func (r *rig) List(_ context.Context, f queue.Filter, _ queue.Page) ([]queue.Message, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, ok := r.parts[f.IDs[0]]
	if !ok {
		return nil, r.broken
	}
	return []queue.Message{{ID: f.IDs[0], Parts: []queue.Part{p}}}, r.broken
}

func (r *rig) Search(_ context.Context, f queue.HistoryFilter) ([]queue.Record, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	rec, ok := r.records[f.ID]
	if !ok {
		return nil, nil
	}
	return []queue.Record{rec}, nil
}

func (r *rig) Events(_ context.Context, id string) ([]queue.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []queue.Event{r.told[id], {Kind: queue.EventDeferred, Words: "of the gateway itself"}}, nil
}

func (r *rig) Delete(_ context.Context, f queue.Filter, by string) (c queue.Changed, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if p, ok := r.parts[f.IDs[0]]; ok && (f.State == "" || f.State == p.State) && by == "canary" {
		delete(r.parts, f.IDs[0])
		c.Recipients = 1
	}
	return c, nil
}

func (r *rig) submit(_ context.Context, m *Mail) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		return "", r.refuse
	}
	r.mails = append(r.mails, m)
	id := fmt.Sprintf("C%d", len(r.mails))
	r.parts[id] = queue.Part{State: envelope.Queued, Lane: m.Upstream}
	return id, nil
}

// becomes is what becomes of the last canary.
func (r *rig) becomes(s envelope.State, words string) {
	r.set(func() {
		id := fmt.Sprintf("C%d", len(r.mails))
		p, waits := r.parts[id]
		if waits && (s == envelope.Failed || s == envelope.Held) {
			p.State, p.Progress.Error = s, words
			r.parts[id] = p
			return
		}
		delete(r.parts, id)
		r.records[id] = queue.Record{ID: id, State: s, Upstream: "main", Error: "as recorded"}
		r.told[id] = queue.Event{Kind: queue.EventSoftBounced, Told: "key", Words: words}
	})
}

func (r *rig) sent() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.mails) }

func (r *rig) start() {
	log := slog.New(slog.NewTextHandler(r, nil))
	r.metrics = meter.NewRegistry()
	r.k = New(Tools{Store: r, Submit: r.submit, Memory: File(r.dir), Alone: r.alone, Clock: clock.New(nil, nil), Journal: journal.New(log, r.metrics),
		Why:     func(context.Context, *queue.Message) string { return "closed: " + time.Now().String() },
		Excused: func(string) bool { r.mu.Lock(); defer r.mu.Unlock(); return r.excused }}, &r.cfg)
	ctx, cancel := context.WithCancel(r.Context())
	done := make(chan error, 1)
	go func() { done <- r.k.Run(ctx) }()
	r.stop = func() {
		cancel()
		if err := <-done; err != nil {
			r.Error(err)
		}
	}
	r.pass(time.Second)
}

func (r *rig) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// want checks what is wrong now: a stage and words; "": nothing.
func (r *rig) want(want string) {
	r.Helper()
	faults, known := r.k.Failing()
	got := ""
	for _, f := range faults {
		got = string(f.Stage) + ": " + f.Words
	}
	if !known || got != want && (want == "" || !strings.HasPrefix(got, want)) {
		r.Errorf("at %s: %q (known: %v), want %q", time.Now().Format(time.TimeOnly), got, known, want)
	}
}

func inTime(t *testing.T, confirms bool, test func(r *rig)) {
	t.Helper()
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		r := &rig{T: t, dir: dir, parts: map[string]queue.Part{}, records: map[string]queue.Record{}, told: map[string]queue.Event{},
			cfg: Config{Every: time.Hour, Within: 15 * time.Minute, From: "app@example.com", To: "canary@example.com", Hostname: "gw", Upstreams: []Upstream{{"main", confirms}}}}
		r.start()
		test(r)
		r.stop()
	})
}

// TestArrives: one goes every hour, and what arrives in time is no news.
func TestArrives(t *testing.T) {
	inTime(t, true, func(r *rig) {
		for n := 1; n <= 3; n++ {
			if r.sent() != n {
				t.Fatalf("%d canaries, want %d", r.sent(), n)
			}
			r.becomes(envelope.Sent, "")
			r.pass(10 * time.Minute)
			r.becomes(envelope.Delivered, "")
			r.want("")
			r.pass(50 * time.Minute)
			r.want("")
		}
		m := r.mails[0]
		for _, want := range []string{"From: <app@example.com>\r\n", "To: <canary@example.com>\r\n", "Subject: mailhatch canary: main, ", "X-Mailhatch-Canary: main\r\n", "Auto-Submitted: auto-generated\r\n", "\r\n\r\n"} {
			if !strings.Contains(string(m.Message), want) {
				t.Errorf("no %q in\n%s", want, m.Message)
			}
		}
		if m.Upstream != "main" || m.To != "canary@example.com" || m.From != "app@example.com" {
			t.Errorf("%+v", m)
		}
		if strings.Contains(r.log.String(), "canary_") {
			t.Error(r.log.String())
		}
		metrics := string(r.metrics.Text())
		for _, want := range []string{`mailhatch_canary_seconds_count{upstream="main"} 3`, `mailhatch_canary_ok{upstream="main"} 1`} {
			if !strings.Contains(metrics, want) {
				t.Errorf("no %s in\n%s", want, metrics)
			}
		}
	})
}

// TestStages: an alert says where a canary stopped; what is final at once, the rest in time, and it is over when one arrives.
func TestStages(t *testing.T) {
	for name, c := range map[string]struct {
		confirms bool
		state    envelope.State // of the canary after a minute; "": it stays as it is
		words    string
		soon     string // wrong at once
		late     string // after `within`
	}{
		"waits":                    {true, "", "", "", "waiting: closed: "},
		"held":                     {true, envelope.Held, "a rule", "", "waiting: closed: "},
		"refused":                  {true, envelope.Failed, "550 no", "refused: 550 no", "refused: 550 no"},
		"sent":                     {true, envelope.Sent, "452 full", "", "sent: 452 full"},
		"bounced":                  {true, envelope.Bounced, "550 5.1.1 nobody", "bounced: 550 5.1.1 nobody", "bounced: 550 5.1.1 nobody"},
		"complained":               {true, envelope.Complained, "", "", ""},
		"nobody tells":             {false, envelope.Sent, "", "", ""},
		"nobody tells, it bounced": {false, envelope.Bounced, "550 no", "bounced: 550 no", "bounced: 550 no"},
		"deleted":                  {true, envelope.Discarded, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inTime(t, c.confirms, func(r *rig) {
				r.pass(time.Minute)
				if c.state != "" {
					r.becomes(c.state, c.words)
				}
				r.pass(10 * time.Second)
				r.want(c.soon)
				r.pass(13 * time.Minute)
				r.want(c.soon)
				r.pass(2 * time.Minute)
				r.want(c.late)
				r.pass(50 * time.Minute)
				waits := c.state == "" || c.state == envelope.Held
				if n := r.sent(); waits != (n == 1) || n > 2 || len(r.parts) > 1 {
					t.Errorf("%d canaries, %d in the queue", n, len(r.parts))
				}
				r.want(c.late)
				r.becomes(envelope.Delivered, "")
				r.pass(10 * time.Second)
				r.want("")
				if failed := strings.Count(r.log.String(), "canary_failed"); failed > 1 || failed != strings.Count(r.log.String(), "canary_back") || (c.late != "") != (failed == 1) {
					t.Error(r.log.String())
				}
			})
		})
	}
}

// TestSince: what is wrong goes on from the first canary that did not arrive, and is told once.
func TestSince(t *testing.T) {
	inTime(t, true, func(r *rig) {
		begun := time.Now()
		for range 3 {
			r.becomes(envelope.Bounced, "550 no")
			r.pass(time.Hour)
		}
		r.becomes(envelope.Bounced, "551 moved")
		r.pass(10 * time.Second)
		r.want("bounced: 551 moved")
		faults, _ := r.k.Failing()
		if f := faults["main"]; f.Since.Sub(begun).Abs() > 10*time.Second || f.ID != "C4" || strings.Count(r.log.String(), "canary_failed") != 1 {
			t.Errorf("%+v\n%s", f, r.log.String())
		}
	})
}

// TestDue: a clock that was far ahead delays nothing.
func TestDue(t *testing.T) {
	now := time.Now()
	for ago, want := range map[time.Duration]bool{0: false, 59 * time.Minute: false, time.Hour: true, -time.Minute: false, -5 * time.Hour: true} {
		if s := (State{At: now.Add(-ago)}); s.due(time.Hour, now) != want {
			t.Errorf("sent %s ago: due is %v", ago, !want)
		}
	}
}

// TestNoMemory: what cannot be put on record is not sent: each restart would send it again.
func TestNoMemory(t *testing.T) {
	inTime(t, true, func(r *rig) {
		r.stop()
		r.dir = filepath.Join(r.dir, "no", "such")
		r.start()
		r.pass(20 * time.Minute)
		if r.sent() != 1 {
			t.Errorf("%d canaries", r.sent())
		}
	})
}

// TestElsewhere: what routes have given to another upstream says nothing good of this one.
func TestElsewhere(t *testing.T) {
	inTime(t, false, func(r *rig) {
		r.becomes(envelope.Sent, "")
		r.set(func() { rec := r.records["C1"]; rec.Upstream = "other"; r.records["C1"] = rec })
		r.pass(10 * time.Second)
		r.want("elsewhere: other has taken it instead")
	})
}

// TestNotAccepted: the queue is asked once a minute, and it is an alert when it has taken none in time.
func TestNotAccepted(t *testing.T) {
	inTime(t, true, func(r *rig) {
		r.becomes(envelope.Delivered, "")
		r.pass(time.Minute)
		r.set(func() { r.refuse = errors.New("the disk is full") })
		r.pass(time.Hour + 10*time.Minute)
		r.want("")
		r.pass(6 * time.Minute)
		r.want("not_accepted: the disk is full")
		r.set(func() { r.refuse = nil })
		r.pass(2 * time.Minute)
		r.want("not_accepted: the disk is full")
		r.pass(10 * time.Minute)
		if r.sent() != 2 {
			t.Errorf("%d canaries", r.sent())
		}
		r.becomes(envelope.Delivered, "")
		r.pass(10 * time.Second)
		r.want("")
		r.pass(10 * time.Minute)
		if r.sent() != 2 {
			t.Errorf("%d canaries", r.sent())
		}
	})
}

// TestExcused: nothing goes through an upstream that rests because somebody wants it to, and what waits is no fault.
func TestExcused(t *testing.T) {
	inTime(t, true, func(r *rig) {
		r.set(func() { r.excused = true })
		r.pass(10 * time.Hour)
		r.want("")
		r.becomes(envelope.Delivered, "")
		r.pass(10 * time.Hour)
		if r.sent() != 1 {
			t.Errorf("%d canaries", r.sent())
		}
		r.set(func() { r.excused = false })
		r.pass(10 * time.Second)
		if r.sent() != 2 {
			t.Errorf("%d canaries", r.sent())
		}
	})
}

// TestRestart: restarts neither send canaries before they are due nor forget what is wrong, and a crash while one is sent
// costs that one.
func TestRestart(t *testing.T) {
	inTime(t, true, func(r *rig) {
		r.becomes(envelope.Bounced, "550 no")
		r.pass(20 * time.Minute)
		for range 5 {
			r.stop()
			r.start()
			r.want("bounced: 550 no")
		}
		if r.sent() != 1 {
			t.Fatalf("%d canaries", r.sent())
		}
		r.pass(40 * time.Minute)
		if r.sent() != 2 {
			t.Errorf("%d canaries", r.sent())
		}
		r.stop()
		if err := r.k.Memory.Save(r.Context(), "main", State{At: time.Now()}); err != nil {
			t.Fatal(err)
		}
		r.start()
		r.pass(59 * time.Minute)
		r.want("")
		if r.sent() != 2 {
			t.Errorf("%d canaries", r.sent())
		}
		r.pass(2 * time.Minute)
		if r.sent() != 3 {
			t.Errorf("%d canaries", r.sent())
		}
	})
}

// TestReload: another config holds at once; what waits for an upstream that is gone goes too.
func TestReload(t *testing.T) {
	inTime(t, true, func(r *rig) {
		r.pass(20 * time.Minute)
		r.want("waiting: ")
		next := r.cfg
		next.Upstreams = []Upstream{{"other", true}}
		r.k.Follow(&next)
		r.pass(time.Second)
		r.want("")
		r.k.mu.Lock()
		if _, kept := r.k.states["main"]; kept {
			t.Error("what is known of an upstream that is gone stays")
		}
		r.k.mu.Unlock()
		if _, waits := r.parts["C1"]; waits || r.sent() != 2 || r.mails[1].Upstream != "other" {
			t.Errorf("%v, %d canaries", r.parts, r.sent())
		}
		r.k.Follow(nil)
		r.pass(5 * time.Hour)
		if faults, known := r.k.Failing(); len(faults) > 0 || !known || r.sent() != 2 {
			t.Errorf("%v %v, %d canaries", faults, known, r.sent())
		}
	})
}

// TestTrouble: while the store does not answer nothing is known, and nothing is forgotten; that is told once.
func TestTrouble(t *testing.T) {
	inTime(t, true, func(r *rig) {
		r.set(func() { r.broken = errors.New("no answer") })
		r.pass(30 * time.Minute)
		r.want("")
		if n := strings.Count(r.log.String(), "internal_error"); n != 1 {
			t.Errorf("%d errors", n)
		}
		r.set(func() { r.broken = nil })
		r.pass(10 * time.Second)
		r.want("waiting: ")
	})
}

// TestMemory: a file that cannot be understood is as none, and one that cannot be written keeps canaries from being sent.
func TestMemory(t *testing.T) {
	dir := t.TempDir()
	m := File(dir)
	for _, broken := range []string{"{", "null"} {
		if err := os.WriteFile(filepath.Join(dir, "canary.json"), []byte(broken), 0o600); err != nil {
			t.Fatal(err)
		}
		if states, err := m.Load(t.Context()); err != nil || len(states) != 0 {
			t.Fatal(states, err)
		}
	}
	want := State{ID: "C1", At: time.Now().UTC().Round(0), Fault: &Fault{Stage: StageSent, Since: time.Now().UTC().Round(0)}}
	if err := m.Save(t.Context(), "main", want); err != nil {
		t.Fatal(err)
	}
	states, err := File(dir).Load(t.Context())
	if got := states["main"]; err != nil || got.ID != "C1" || !got.At.Equal(want.At) || *got.Fault != *want.Fault {
		t.Error(states, err)
	}
	if err := m.Save(t.Context(), "main", State{}); err != nil {
		t.Fatal(err)
	}
	if states, err = m.Load(t.Context()); err != nil || len(states) != 0 {
		t.Error(states, err)
	}
	lost := File(filepath.Join(dir, "no", "such"))
	if _, err := lost.Load(t.Context()); err != nil {
		t.Error(err)
	}
	if err := lost.Save(t.Context(), "main", want); err == nil {
		t.Error("it is written nowhere")
	}
	if err := os.Mkdir(filepath.Join(dir, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "x", "canary.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := File(filepath.Join(dir, "x")).Load(t.Context()); err == nil {
		t.Error("a directory was read")
	}
}

// TestCheck: every problem names its key.
func TestCheck(t *testing.T) {
	good := Settings{To: "c@example.com"}
	good.Every.Duration, good.Within.Duration = time.Hour, time.Minute
	for name, c := range map[string]struct {
		change func(*Settings)
		want   string
	}{
		"good":      {func(*Settings) {}, ""},
		"often":     {func(s *Settings) { s.Every.Duration = time.Second }, "every"},
		"long":      {func(s *Settings) { s.Within.Duration = 2 * time.Hour }, "within"},
		"short":     {func(s *Settings) { s.Within.Duration = 0 }, "within"},
		"no to":     {func(s *Settings) { s.To = "" }, "to"},
		"addresses": {func(s *Settings) { s.To, s.From = "root", "A <a@b>" }, "from to"},
		"upstreams": {func(s *Settings) { s.Upstreams = []string{"main", "man"} }, "upstreams[1]"},
		"off":       {func(s *Settings) { s.Every.Duration, s.To = 0, "" }, ""},
	} {
		s := good
		c.change(&s)
		var keys []string
		for _, p := range s.Check(func(string) bool { return true }, []string{"main"}) {
			keys = append(keys, p.Key)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// board is what gateways leave for each other.
type board struct {
	queue.Fleet
	mu    sync.Mutex
	notes map[string][]byte
}

func (b *board) Put(_ context.Context, name string, value []byte) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notes[name] = value; value == nil {
		delete(b.notes, name)
	}
	return nil
}

func (b *board) Notes(_ context.Context, prefix string) (list []queue.Note, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.notes == nil {
		return nil, errors.New("the database is away")
	}
	for name, value := range b.notes {
		if strings.HasPrefix(name, prefix) {
			list = append(list, queue.Note{Name: name, Value: value})
		}
	}
	return list, nil
}

// TestShared: of gateways that share a queue one sends. The other knows what is wrong, and goes on where that one ends.
func TestShared(t *testing.T) {
	inTime(t, true, func(first *rig) {
		first.stop()
		b := &board{notes: map[string][]byte{"gate/main": []byte("{}"), "canary/broken": []byte("{")}}
		leader := "first"
		start := func(name string) (*Keeper, func()) {
			k := New(Tools{Store: first, Submit: first.submit, Memory: Notes(b), Clock: clock.New(nil, nil), Journal: journal.New(slog.New(slog.DiscardHandler), meter.NewRegistry()),
				Why: func(context.Context, *queue.Message) string { return "w" }, Excused: func(string) bool { return false },
				Alone: func(context.Context, string, time.Duration) bool {
					first.mu.Lock()
					defer first.mu.Unlock()
					return leader == name
				}}, &first.cfg)
			ctx, cancel := context.WithCancel(first.Context())
			done := make(chan error, 1)
			go func() { done <- k.Run(ctx) }()
			return k, func() { cancel(); <-done }
		}
		one, stopOne := start("first")
		first.pass(time.Second)
		two, stopTwo := start("second")
		defer stopTwo()
		first.pass(20 * time.Minute)
		for _, k := range []*Keeper{one, two} {
			if faults, known := k.Failing(); !known || faults["main"].Stage != StageWaiting || first.sent() != 2 {
				first.Errorf("%v %v, %d canaries", faults, known, first.sent())
			}
		}
		stopOne()
		first.set(func() { leader = "second" })
		first.pass(30 * time.Second)
		first.becomes(envelope.Delivered, "")
		first.pass(10 * time.Second)
		if faults, known := two.Failing(); !known || len(faults) > 0 || first.sent() != 2 {
			first.Errorf("%v %v, %d canaries", faults, known, first.sent())
		}
		first.pass(time.Hour)
		if first.sent() != 3 {
			first.Errorf("%d canaries", first.sent())
		}
		next := first.cfg
		next.Upstreams = nil
		two.Follow(&next)
		first.pass(time.Second)
		if _, left := b.notes["canary/main"]; left {
			first.Error("what is known of an upstream that is gone stays")
		}
		first.start()
	})
}
