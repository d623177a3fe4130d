package feedback

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/feedback/webhook"
	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
	"mailhatch/gateway/queue/sqlite"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/teller"
)

// rig is a follower on a store of its own, with one upstream "main".
type rig struct {
	*testing.T
	*Follower
	store queue.Engine
	tell  *teller.Teller
	cfg   *Config

	mu      sync.Mutex
	log     bytes.Buffer
	sent    []string // notifications: "sender keys…"
	texts   []string
	refuse  error
	until   time.Time
	counted int
}

func (r *rig) Write(p []byte) (int, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.log.Write(p) }
func (r *rig) lines() string               { r.mu.Lock(); defer r.mu.Unlock(); return r.log.String() }

var errRefused = errors.New("refused for good")

func newRig(t *testing.T, how upstream.Listening) *rig {
	t.Helper()
	r := &rig{T: t, tell: &teller.Teller{How: how, Secret: "s"}}
	store, err := sqlite.Open(context.Background(), queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	r.store = store
	t.Cleanup(queuetest.Start(t, store))
	r.cfg = &Config{Sources: []Source{{Name: "main", Feedback: r.tell}}, KeepSent: time.Hour, Hostname: "gw.example.com", Notify: func(*Late) bool { return true }}
	log := slog.New(slog.NewTextHandler(r, nil))
	r.Follower = New(Tools{Store: store, Journal: journal.New(log, meter.NewRegistry()), Door: Door{
		Submit:  r.submit,
		Refused: func(err error) bool { return errors.Is(err, errRefused) },
		Count:   func(string) { r.mu.Lock(); r.counted++; r.mu.Unlock() },
		After:   func(string) time.Time { r.mu.Lock(); defer r.mu.Unlock(); return r.until },
	}}, r.cfg)
	return r
}

// submit commits a message that reports, as acceptance does.
func (r *rig) submit(ctx context.Context, sender string, msg []byte, keys []string) (string, error) {
	r.mu.Lock()
	err := r.refuse
	r.mu.Unlock()
	if err != nil {
		return "", err
	}
	to := []envelope.Recipient{{Address: sender}}
	d, err := r.store.New(ctx)
	if err != nil {
		return "", err
	}
	defer d.Discard() //nolint:errcheck // after Commit it does nothing
	if _, err := d.Write(msg); err != nil {
		return "", err
	}
	m := queue.Accepted{Envelope: envelope.Envelope{To: to}, Parts: []queue.Part{{To: to, Lane: "back", State: envelope.Held}}, Reports: keys}
	if err := d.Commit(ctx, m); err != nil {
		return "", err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent, r.texts = append(r.sent, sender), append(r.texts, string(msg))
	return d.ID(), nil
}

func (r *rig) notified() int { r.mu.Lock(); defer r.mu.Unlock(); return len(r.sent) }

// mail is a message whose recipients were sent but for those that still wait.
func (r *rig) mail(env envelope.Envelope, waiting int, to ...string) (id string) {
	r.Helper()
	for _, a := range to {
		env.To = append(env.To, envelope.Recipient{Address: a})
	}
	m := queue.Accepted{Envelope: env, Header: queue.Summary{Subject: "Hello"}}
	for i, rcpt := range env.To {
		m.Parts = append(m.Parts, queue.Part{To: env.To[i : i+1], Lane: "main", State: envelope.Queued})
		_ = rcpt
	}
	d, err := r.store.New(r.Context())
	if err == nil {
		_, err = d.Write([]byte("Subject: Hello\r\nFrom: app@example.com\r\n\r\nthe whole text\r\n"))
	}
	if err == nil {
		err = d.Commit(r.Context(), m)
	}
	if err != nil {
		r.Fatal(err)
	}
	leases, err := r.store.Claim(r.Context(), "main", len(to)-waiting, time.Minute)
	for _, l := range leases {
		if err == nil {
			err = l.Finish(r.Context(), queue.Result{Done: []queue.Record{{Recipient: l.Message().Parts[0].To[0], State: envelope.Sent, Upstream: "main", ProviderID: "p-" + d.ID()}}})
		}
	}
	if err != nil || len(leases) != len(to)-waiting {
		r.Fatal(len(leases), err)
	}
	return d.ID()
}

func from(sender string) envelope.Envelope {
	return envelope.Envelope{From: sender, Received: time.Now()}
}

func (r *rig) bounce(id string, to ...string) {
	r.Helper()
	b := upstream.Batch{}
	for _, a := range to {
		b.Events = append(b.Events, upstream.Event{QueueID: id, Recipient: a, Kind: upstream.Bounced, At: time.Now(), Key: id + a})
	}
	if _, err := r.take(r.Context(), "main", &b); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) left() int {
	r.Helper()
	list, err := r.store.LateBounces(r.Context(), "", 10_000)
	if err != nil {
		r.Fatal(err)
	}
	return len(list)
}

func (r *rig) round(rep *reporter) error { r.Helper(); return rep.round(r.Context()) }

func (r *rig) reporter() *reporter {
	return &reporter{Follower: r.Follower, held: map[string]time.Time{}}
}

// TestReports: what is known of a message decides what its sender is told.
func TestReports(t *testing.T) {
	for _, c := range []struct {
		name    string
		env     envelope.Envelope
		waiting int
		want    []string
		not     string
	}{
		{"header alone", from("app@example.com"), 0, []string{"Subject: Hello", "text/rfc822-headers", "the recipient's mail server refused it"}, "the whole text"},
		{"whole", envelope.Envelope{From: "app@example.com", Ret: "FULL", EnvID: "e-1", Received: time.Now()}, 0, []string{"the whole text", "message/rfc822", "Original-Envelope-Id: e-1"}, "text/rfc822-headers"},
		{"others wait", from("app@example.com"), 1, []string{"Subject: Hello", "Final-Recipient: rfc822; r0@example.org"}, "the whole text"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t, upstream.Listening{})
			if _, err := r.store.Prune(t.Context(), queue.Keep{Bodies: queue.KeepBodies{For: time.Hour}}); err != nil {
				t.Fatal(err)
			}
			id := r.mail(c.env, c.waiting, "r0@example.org", "r1@example.org")
			r.bounce(id, "r0@example.org")
			if err := r.round(r.reporter()); err != nil || r.notified() != 1 || r.left() != 0 {
				t.Fatalf("%v, %d notifications, %d left", err, r.notified(), r.left())
			}
			text := strings.ReplaceAll(r.texts[0], "=\r\n", "")
			for _, want := range c.want {
				if !strings.Contains(text, want) {
					t.Errorf("no %q in\n%s", want, text)
				}
			}
			if strings.Contains(text, c.not) {
				t.Errorf("%q in\n%s", c.not, text)
			}
		})
	}
}

// TestOneReport: recipients of a message that bounce together are reported together, and those of others apart.
func TestOneReport(t *testing.T) {
	r := newRig(t, upstream.Listening{})
	first := r.mail(from("app@example.com"), 0, "a@example.org", "b@example.org", "c@example.org")
	second := r.mail(from("app@example.com"), 0, "a@example.org")
	r.bounce(first, "a@example.org", "c@example.org")
	r.bounce(second, "a@example.org")
	if err := r.round(r.reporter()); err != nil || r.notified() != 2 || r.counted != 2 {
		t.Errorf("%v, %d notifications", err, r.notified())
	}
	if strings.Count(r.texts[0], "Final-Recipient:") != 2 || strings.Count(r.texts[1], "Final-Recipient:") != 1 {
		t.Errorf("%s\n%s", r.texts[0], r.texts[1])
	}
}

// TestReportTrouble: what cannot be reported now stays, and what never can does not.
func TestReportTrouble(t *testing.T) {
	r := newRig(t, upstream.Listening{})
	id := r.mail(from("app@example.com"), 0, "a@example.org", "b@example.org")
	r.bounce(id, "a@example.org")
	rep := r.reporter()
	for _, c := range []struct {
		refuse error
		err    bool
		left   int
	}{{errors.New("the disk is full"), true, 1}, {queue.ErrReported, false, 1}, {errRefused, false, 0}} {
		r.refuse = c.refuse
		if err := r.round(rep); (err != nil) != c.err || r.left() != c.left {
			t.Errorf("%v: %v, %d left", c.refuse, err, r.left())
		}
	}
	if r.notified() != 0 {
		t.Error("somebody was notified")
	}
	r.refuse = nil
	r.cfg.Notify = func(*Late) bool { return false }
	r.bounce(id, "b@example.org")
	if err := r.round(rep); err != nil || r.left() != 0 || r.notified() != 0 {
		t.Errorf("nobody wants it: %v, %d left", err, r.left())
	}
	r.Alone = func(context.Context, string, time.Duration) bool { return false }
	r.bounce(r.mail(from("app@example.com"), 0, "c@example.org"), "c@example.org")
	if err := r.round(rep); err != nil || r.left() != 1 {
		t.Errorf("another gateway sees to it: %v, %d left", err, r.left())
	}
}

// TestDigest: a sender who had many notifications has the rest in one, in good time.
func TestDigest(t *testing.T) {
	r := newRig(t, upstream.Listening{})
	for i := range 5 {
		r.bounce(r.mail(from("app@example.com"), 0, fmt.Sprintf("r%d@example.org", i)), fmt.Sprintf("r%d@example.org", i))
	}
	r.until = time.Now().Add(time.Minute)
	rep := r.reporter()
	for range 2 {
		if err := r.round(rep); err != nil || r.notified() != 0 || r.left() != 5 || rep.next().IsZero() {
			t.Fatalf("%v, %d notifications, %d left", err, r.notified(), r.left())
		}
	}
	rep.held["app@example.com"] = time.Now().Add(-time.Second)
	r.until = time.Time{}
	if err := r.round(rep); err != nil || r.notified() != 1 || r.left() != 0 || !rep.next().IsZero() {
		t.Fatalf("%v, %d notifications, %d left", err, r.notified(), r.left())
	}
	if !strings.Contains(r.texts[0], "Undelivered mail: 5 recipients") || strings.Count(r.texts[0], "queue id") != 5 {
		t.Error(r.texts[0])
	}
}

// TestNoDigest: for a digest that has become needless no round is due: its late bounces are gone, nobody wants it any more, or
// another gateway sees to it.
func TestNoDigest(t *testing.T) {
	for name, c := range map[string]struct {
		bounce bool
		change func(*rig)
	}{
		"gone":                     {false, func(*rig) {}},
		"not wanted":               {true, func(r *rig) { r.cfg.Notify = func(*Late) bool { return false } }},
		"another gateway's matter": {true, func(r *rig) { r.Alone = func(context.Context, string, time.Duration) bool { return false } }},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, upstream.Listening{})
			if c.bounce {
				r.bounce(r.mail(from("app@example.com"), 0, "a@example.org"), "a@example.org")
			}
			c.change(r)
			rep := r.reporter()
			rep.held["app@example.com"] = time.Now().Add(-time.Second)
			if err := r.round(rep); err != nil || r.notified() != 0 || !rep.next().IsZero() {
				t.Errorf("%v, %d notifications, the next is due at %v", err, r.notified(), rep.next())
			}
		})
	}
}

// TestHiddenSender: where the history has no sender there is nobody to tell.
func TestHiddenSender(t *testing.T) {
	r := newRig(t, upstream.Listening{})
	if err := r.store.SetPrivacy(queue.HideAddresses); err != nil {
		t.Fatal(err)
	}
	r.bounce(r.mail(from("app@example.com"), 0, "a@example.org"), "a@example.org")
	if err := r.round(r.reporter()); err != nil || r.left() != 0 || r.notified() != 0 {
		t.Errorf("%v, %d left, %d notifications", err, r.left(), r.notified())
	}
}

func TestFate(t *testing.T) {
	for words, want := range map[string]int{"550 no": 550, "550-5.1.1 no": 550, "421": 421, "200 ok": 0, "5501 x": 0, "": 0, "no such user": 0, "smtp;550 5.1.1 no": 550, "SMTP; 450 no": 450, "smtp;": 0, "x-other; 550 no": 0} {
		f := (&reporter{}).fate(&queue.LateBounce{Told: queue.Told{Words: words}})
		if f.Code != want || f.SMTP != (want > 0) {
			t.Errorf("%q: %+v", words, f)
		}
		if strings.HasPrefix(strings.ToLower(f.Text), "smtp;") {
			t.Errorf("%q: the reply is %q", words, f.Text)
		}
	}
	for kind, want := range map[queue.EventKind]string{queue.EventSuppressed: "does not send", queue.EventFailed: "could not send", queue.EventBounced: "refused it"} {
		if got := words(&queue.LateBounce{Told: queue.Told{Kind: kind}}); !strings.Contains(got, want) {
			t.Errorf("%s: %s", kind, got)
		}
	}
}

// TestTake: events are bounded in number and length, and strange ones are counted and told now and then.
func TestTake(t *testing.T) {
	r := newRig(t, upstream.Listening{Webhook: true})
	r.know(r.cfg)
	id := r.mail(from("app@example.com"), 0, "a@example.org")
	b := upstream.Batch{Next: "7", Skipped: 3, Note: "an event that nobody knows"}
	for i := range 1200 {
		b.Events = append(b.Events, upstream.Event{QueueID: id, Recipient: "a@example.org", Kind: upstream.Opened, At: time.Now().Add(time.Hour), Key: fmt.Sprint(i), Words: strings.Repeat("x\x00", 5000)})
	}
	b.Events = append(b.Events, upstream.Event{Kind: upstream.Opened, Key: "nothing"}, upstream.Event{})
	if _, err := r.take(t.Context(), "main", &b); err != nil {
		t.Fatal(err)
	}
	cursor, err := r.store.Cursor(t.Context(), "main")
	events, err2 := r.store.Events(t.Context(), id)
	if err != nil || err2 != nil || cursor != "7" || len(events) != queue.ToldOfMail || len(events[0].Words) > textMost || strings.ContainsRune(events[0].Words, 0) || events[0].At.After(time.Now()) {
		t.Errorf("cursor %q, %d events, %v %v", cursor, len(events), err, err2)
	}
	if s := r.Status()[0]; s.Joined != queue.ToldOfMail || s.Dropped != 2 || s.Mode != "webhook" || s.Heard.IsZero() {
		t.Errorf("%+v", s)
	}
	for range 50 {
		_, _ = r.take(t.Context(), "main", &upstream.Batch{Skipped: 1})
	}
	if n := strings.Count(r.lines(), "msg=events_stray"); n != 1 {
		t.Errorf("%d lines of strange events", n)
	}
	nonce := upstream.Batch{Nonce: "n", Events: []upstream.Event{{QueueID: id, Recipient: "a@example.org", Kind: upstream.Delivered, Key: "d"}}}
	first, err := r.take(t.Context(), "main", &nonce)
	again, err2 := r.take(t.Context(), "main", &nonce)
	if first || !again || err != nil || err2 != nil {
		t.Errorf("replay: %v %v, %v %v", first, again, err, err2)
	}
}

func TestReceive(t *testing.T) {
	r := newRig(t, upstream.Listening{Webhook: true})
	header, body := r.tell.Webhook(upstream.Event{ProviderID: "x", Recipient: "a@example.org", Kind: upstream.Delivered, Key: "1"})
	if err := r.Receive(t.Context(), "main", header, body); err != nil {
		t.Error(err)
	}
	if err := r.Receive(t.Context(), "main", header, append(body, ' ')); !errors.Is(err, upstream.ErrSignature) {
		t.Error(err)
	}
	if err := r.Receive(t.Context(), "none", header, body); !errors.Is(err, webhook.ErrUnknown) {
		t.Error(err)
	}
	r.tell.How = upstream.Listening{Every: time.Minute}
	if err := r.Receive(t.Context(), "main", header, body); !errors.Is(err, webhook.ErrUnknown) {
		t.Error(err)
	}
}

// poller returns that of main.
func (r *rig) poller() *poller {
	r.know(r.cfg)
	return &poller{Follower: r.Follower, source: r.cfg.Sources[0], how: r.tell.How, keep: r.cfg.KeepSent}
}

// TestPolls: the provider is asked while there is mail to ask for, behind that mail, by one gateway, page by page.
func TestPolls(t *testing.T) {
	r := newRig(t, upstream.Listening{Every: time.Minute, Pace: time.Millisecond})
	r.tell.Page = 2
	p := r.poller()
	about := func(d, want time.Duration) bool { return d > want*8/10 && d < want*12/10 }
	if d := p.once(t.Context()); !about(d, time.Minute) || r.tell.Polls() != 0 || !r.Status()[0].Idle {
		t.Errorf("no mail: %v, %d polls", d, r.tell.Polls())
	}
	id := r.mail(from("app@example.com"), 0, "a@example.org", "b@example.org")
	for i := range 7 {
		r.tell.Happen(upstream.Event{QueueID: id, Recipient: "a@example.org", Kind: upstream.Opened, Key: fmt.Sprint(i), At: time.Now()})
	}
	busy := true
	r.Busy = func(string) bool { return busy }
	for range busyMost {
		if d := p.once(t.Context()); !about(d, 15*time.Second) || r.tell.Polls() != 0 {
			t.Fatalf("busy: %v, %d polls", d, r.tell.Polls())
		}
	}
	p.once(t.Context())
	if n := r.tell.Polls(); n != 4 {
		t.Errorf("after all: %d polls", n)
	}
	if cursor, err := r.store.Cursor(t.Context(), "main"); cursor != "1 7" || err != nil {
		t.Errorf("cursor %q %v", cursor, err)
	}
	busy = false
	r.Alone = func(context.Context, string, time.Duration) bool { return false }
	p.once(t.Context())
	if n := r.tell.Polls(); n != 4 {
		t.Errorf("another gateway does: %d polls", n)
	}
}

// TestPollsForUncertain: the provider is asked about mail, too, of which nobody else knows whether it was taken.
func TestPollsForUncertain(t *testing.T) {
	ago := func(d time.Duration) envelope.Progress {
		at := time.Now().Add(-d)
		return envelope.Progress{Upstream: "main", Uncertain: true, Since: at, LastAttempt: at}
	}
	elsewhere, certain := ago(time.Minute), ago(time.Minute)
	elsewhere.Upstream, certain.Uncertain = "back", false
	for _, c := range []struct {
		name  string
		state envelope.State
		p     envelope.Progress
		polls int
	}{
		{"queued", envelope.Queued, ago(time.Minute), 1},
		{"held", envelope.Held, ago(time.Minute), 1},
		{"long ago", envelope.Queued, ago(2 * time.Hour), 0},
		{"elsewhere", envelope.Queued, elsewhere, 0},
		{"certain", envelope.Queued, certain, 0},
	} {
		r := newRig(t, upstream.Listening{Every: time.Minute})
		to := []envelope.Recipient{{Address: "a@example.org"}}
		d, err := r.store.New(t.Context())
		if err == nil {
			_, err = d.Write([]byte("Subject: Hello\r\n\r\nx\r\n"))
		}
		if err == nil {
			err = d.Commit(t.Context(), queue.Accepted{Envelope: envelope.Envelope{To: to, Received: time.Now()},
				Parts: []queue.Part{{To: to, Lane: "main", State: c.state, NextAt: time.Now().Add(time.Hour), Progress: c.p}}})
		}
		if err != nil {
			t.Fatal(err)
		}
		r.poller().once(t.Context())
		if n := r.tell.Polls(); n != c.polls {
			t.Errorf("%s: %d polls, want %d", c.name, n, c.polls)
		}
	}
}

// TestPollTrouble: a provider that gives nothing of use is asked less and less, and that is told once.
func TestPollTrouble(t *testing.T) {
	r := newRig(t, upstream.Listening{Every: time.Minute})
	r.mail(from("app@example.com"), 0, "a@example.org")
	p := r.poller()
	r.tell.Fail(&upstream.Error{Err: errors.New("garbage")})
	last := time.Duration(0)
	for i := range 10 {
		d := p.once(t.Context())
		if i < 5 && d < last*3/2 || d > 70*time.Minute {
			t.Errorf("after %d failures: %v, after %v", i+1, d, last)
		}
		last = d
	}
	r.tell.Fail(&upstream.Error{Class: upstream.Throttled, RetryAfter: 2 * time.Hour, Err: errors.New("slower")})
	if d := p.once(t.Context()); d < 2*time.Hour {
		t.Errorf("the provider wants two hours: %v", d)
	}
	r.tell.Fail(&upstream.Error{Class: upstream.Account, Err: &upstream.ScopeError{Scope: "logs"}})
	p.failures = 0
	if d := p.once(t.Context()); d < scopeLeast || r.Status()[0].Scope != "logs" {
		t.Errorf("a scope lacks: %v", d)
	}
	r.tell.Fail(nil)
	p.once(t.Context())
	log := r.lines()
	if strings.Count(log, "msg=events_failed") != 2 || strings.Count(log, "msg=events_back") != 1 || r.Status()[0].Error != "" {
		t.Error(log)
	}
}

// TestRun: all of it, from a start to an end, with another config between.
func TestRun(t *testing.T) {
	r := newRig(t, upstream.Listening{Every: 10 * time.Millisecond})
	id := r.mail(from("app@example.com"), 1, "a@example.org", "late@example.org")
	r.tell.Happen(upstream.Event{QueueID: id, Recipient: "a@example.org", Kind: upstream.Bounced, Key: "1", At: time.Now()},
		upstream.Event{QueueID: id, Recipient: "late@example.org", Kind: upstream.Bounced, Key: "2", At: time.Now()})
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- r.Follower.Run(ctx) }()
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("waited in vain for %s\n%s", what, r.lines())
			}
		}
	}
	await("a notification", func() bool { return r.notified() == 1 })
	await("one that waits", func() bool { s := r.Status(); return len(s) == 1 && s[0].Waiting == 1 })
	leases, err := r.store.Claim(t.Context(), "main", 1, time.Minute)
	if err != nil || len(leases) != 1 {
		t.Fatal(leases, err)
	}
	if err := leases[0].Finish(t.Context(), queue.Result{Done: []queue.Record{{Recipient: envelope.Recipient{Address: "late@example.org"}, State: envelope.Sent, Upstream: "main"}}}); err != nil {
		t.Fatal(err)
	}
	await("the other notification", func() bool { return r.notified() == 2 })
	r.Follow(&Config{KeepSent: time.Hour, Notify: r.cfg.Notify})
	await("an end of listening", func() bool { return len(r.Status()) == 0 })
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// TestUnsigned: that nobody vouches for an event goes with it into the store.
func TestUnsigned(t *testing.T) {
	now := time.Now()
	for _, unsigned := range []bool{false, true} {
		e := upstream.Event{QueueID: "Q", Recipient: "a@example.org", Kind: upstream.Delivered, At: now, Unsigned: unsigned}
		if got := told(&e, now); got.Unsigned != unsigned || got.ID != "Q" {
			t.Errorf("%+v", got)
		}
	}
}
