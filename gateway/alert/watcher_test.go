package alert

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/journal"
)

func closedSince(t time.Time) []Upstream {
	return []Upstream{{Name: "main", Closed: true, Reason: "account", Since: t, Error: "401 for ann@example.com"}, {Name: "relay"}}
}

// TestUpstreamClosed: an upstream that is closed for long is told, again after `repeat`, and its recovery.
func TestUpstreamClosed(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.upstreams = []Upstream{{Name: "main"}}
		r.start(alerter(l, nil, UpstreamClosed))
		r.set(func() { r.upstreams = closedSince(time.Now()) })
		r.pass(9 * time.Minute)
		l.want(t, "")
		r.pass(2 * time.Minute)
		l.want(t, "upstream main is closed (account): 401 for …@…")
		r.pass(3 * time.Hour)
		l.want(t, "")
		r.pass(time.Hour)
		l.want(t, "still: upstream main is closed (account): 401 for …@…")
		r.journal.UpstreamOpened("main", time.Hour)
		r.set(func() { r.upstreams = []Upstream{{Name: "main"}} })
		r.pass(10 * time.Second)
		l.want(t, "resolved: upstream main is closed (account): 401 for …@…")
		r.pass(10 * time.Hour)
		l.want(t, "")
	})
}

// TestSendersAreRefused: that an upstream takes no mail of some is told as that it takes none, and of whom.
func TestSendersAreRefused(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.upstreams = []Upstream{{Name: "main"}}
		r.start(alerter(l, nil, UpstreamClosed))
		r.set(func() {
			r.upstreams = []Upstream{{Name: "main", Closed: true, Reason: "sender", Since: time.Now(), Error: "403 for ann@example.com", Refuses: "all of example.com"}}
		})
		r.pass(11 * time.Minute)
		l.want(t, "upstream main refuses mail from all of example.com: 403 for …@…")
	})
}

// TestShortClosing: what is soon over is not told.
func TestShortClosing(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.start(alerter(l, nil, UpstreamClosed))
		for range 5 {
			r.set(func() { r.upstreams = closedSince(time.Now()) })
			r.pass(8 * time.Minute)
			r.set(func() { r.upstreams = nil })
			r.pass(8 * time.Minute)
		}
		l.want(t, "")
	})
}

// TestEvents: each event begins and ends.
func TestEvents(t *testing.T) {
	for _, c := range []struct {
		event    string
		settings func(*Settings)
		begin    func(r *rig)
		wait     time.Duration
		end      func(r *rig)
		after    time.Duration
		want     string
	}{
		{QueueOld, nil, func(r *rig) { r.queue = Depth{7, time.Now().Add(-59 * time.Minute)} }, 2 * time.Minute,
			func(r *rig) { r.queue = Depth{} }, 10 * time.Second, "the oldest of 7 in the queue was accepted 60 min ago"},
		{Database, nil, func(r *rig) { r.slow = []string{"a transaction is open", "many rows are dead"} }, 10 * time.Second,
			func(r *rig) { r.slow = nil }, 10 * time.Second, "a transaction is open; many rows are dead"},
		{Disk, nil, func(r *rig) { r.full = errors.New("queue: no space left") }, 10 * time.Second,
			func(r *rig) { r.full = nil }, 10 * time.Second, "new mail is refused: queue: no space left"},
		{Maildrop, nil, func(r *rig) { r.maildrop.Refused = 1 }, 10 * time.Second,
			func(r *rig) { r.maildrop.Refused = 0 }, 10 * time.Second, "1 message of the maildrop could not be taken in: set aside in maildrop-refused; the log says why"},
		{Maildrop, nil, func(r *rig) { r.maildrop = Drops{Depth: Depth{3, time.Now()}} }, 11 * time.Minute,
			func(r *rig) { r.maildrop = Drops{} }, 10 * time.Second, "3 messages in the maildrop, the oldest for 10 min"},
		{Canary, nil, func(r *rig) {
			r.stopped = []Stopped{{"main", "main has refused the canary", "550 no ann@example.org", time.Now()}}
		}, 10 * time.Second,
			func(r *rig) { r.stopped = nil }, 10 * time.Second, "main has refused the canary: 550 no …@…"},
		{Expiring, nil, func(r *rig) {
			r.endings = []Ending{{Owner: "upstream main", What: "token", Reason: "invalid_grant"}, {Owner: "upstream main", What: "certificate", At: time.Now().Add(50 * time.Hour)}}
		}, 2 * time.Minute, func(r *rig) { r.endings = nil }, 2 * time.Minute,
			"upstream main: the certificate ends in 2 d | upstream main: the token is missing and was not renewed: invalid_grant"},
		{Failed, func(s *Settings) { s.Count = 4 }, func(r *rig) {
			r.journal.Failed(journal.Attempt{Upstream: "main", To: []string{"a@x", "b@x"}})
			r.journal.Failed(journal.Attempt{Upstream: "main", To: []string{"c@x"}})
			r.journal.Failed(journal.Attempt{To: []string{"a@x", "b@x"}})
		}, 10 * time.Second, func(*rig) {}, 62 * time.Minute, "5 recipients failed in 60 min: main 3, no upstream 2"},
		{Failed, func(s *Settings) { s.Count = 2 }, func(r *rig) { r.journal.Failed(journal.Attempt{To: []string{"a@x", "b@x"}}) }, time.Minute,
			func(*rig) {}, 0, ""},
		{InternalError, nil, func(r *rig) { r.journal.InternalError("queue", errors.New("EIO")) }, 10 * time.Second,
			func(*rig) {}, 62 * time.Minute, "1 internal error in 60 min: queue 1; see the log"},
		{InternalError, nil, func(r *rig) { r.away = "new mail is refused: the database is out of reach" }, 10 * time.Second,
			func(r *rig) { r.away = "" }, 10 * time.Second, "new mail is refused: the database is out of reach"},
		{Silent, func(s *Settings) { s.For = duration(26 * time.Hour) }, func(r *rig) {
			r.journal.Accepted(journal.Accepted{})
			r.journal.Sent(journal.Attempt{Upstream: "main", To: []string{"a@x"}})
			r.journal.Accepted(journal.Accepted{})
		}, 26*time.Hour + time.Minute, func(r *rig) { r.journal.Sent(journal.Attempt{}) }, 10 * time.Second,
			"nothing was sent for 26 h; 1 message accepted meanwhile"},
	} {
		t.Run(c.event, func(t *testing.T) {
			inTime(t, func(r *rig, l *listener) {
				r.start(alerter(l, c.settings, c.event))
				l.want(t, "")
				r.set(func() { c.begin(r) })
				r.pass(c.wait)
				l.want(t, c.want)
				r.set(func() { c.end(r) })
				r.pass(c.after)
				if got := l.take(); (got == "") != (c.want == "") || got != "" && strings.Count(got, "resolved: ") != strings.Count(c.want, " | ")+1 {
					t.Errorf("at the end it was told %q", got)
				}
			})
		})
	}
}

// TestComesAndGoes: of what comes and goes nobody is told every minute, and a new beginning after hours is new.
func TestComesAndGoes(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.start(alerter(l, func(s *Settings) { s.Repeat = duration(0) }, QueueOld))
		for range 720 { // six hours
			r.set(func() { r.queue = Depth{1, time.Now().Add(-2 * time.Hour)} })
			r.pass(20 * time.Second)
			r.set(func() { r.queue = Depth{} })
			r.pass(10 * time.Second)
		}
		if n := strings.Count(l.take(), "\n") + 1; n < 2 || n > 5 {
			t.Errorf("%d messages in six hours", n)
		}
		r.pass(4 * time.Hour)
		l.take()
		r.set(func() { r.queue = Depth{1, time.Now().Add(-2 * time.Hour)} })
		r.pass(20 * time.Second)
		l.want(t, "the oldest of 1 in the queue was accepted 2 h ago")
		r.set(func() { r.queue = Depth{} })
		r.pass(20 * time.Second)
		l.want(t, "resolved: the oldest of 1 in the queue was accepted 2 h ago")
	})
}

// TestGrouped: what happens at once is one message, and each receiver gets what it asked for.
func TestGrouped(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		other := &listener{}
		b := alerter(other, nil, Disk)
		b.name = "disk"
		b.settings.Name = "disk"
		r.start(alerter(l, func(s *Settings) { s.After = duration(0) }, UpstreamClosed, Disk, QueueOld), b)
		r.set(func() {
			for i := range 150 {
				r.upstreams = append(r.upstreams, Upstream{Name: fmt.Sprintf("u%03d", i), Closed: true, Reason: "unreachable", Since: time.Now()})
			}
			r.full = errors.New("full")
		})
		r.pass(30 * time.Second)
		other.want(t, "new mail is refused: full")
		lines := strings.Split(l.take(), "\n")
		if len(lines) != 2 || strings.Count(lines[0], "|") != maxAlerts-1 || strings.Count(lines[1], "|") != 50 {
			t.Errorf("%d messages: %q", len(lines), lines)
		}
	})
}

// TestRestart: a restart neither repeats an alert nor forgets a recovery, and a gate that is open only because the
// gateway has started is none.
func TestRestart(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		ops := func() *Alerter { return alerter(l, nil, UpstreamClosed, Failed, QueueOld) }
		r.start(ops())
		r.set(func() { r.upstreams, r.queue = closedSince(time.Now()), Depth{1, time.Now().Add(-2 * time.Hour)} })
		r.journal.Failed(journal.Attempt{Upstream: "main", To: []string{"a@x"}})
		r.pass(11 * time.Minute)
		if got := l.take(); strings.Count(got, "\n") != 1 {
			t.Fatal(got)
		}
		r.stop()
		if info, err := os.Stat(stateFile(r.dir)); err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
		r.pass(20 * time.Minute)

		r.set(func() { r.upstreams, r.queueErr = []Upstream{{Name: "main"}}, errors.New("busy") }) // as after a start
		r.start(ops())
		r.pass(5 * time.Minute)
		l.want(t, "")
		r.set(func() { r.upstreams, r.queueErr = closedSince(time.Now()), nil })
		r.pass(15 * time.Minute)
		l.want(t, "")
		r.stop()

		r.set(func() { r.upstreams, r.queue = []Upstream{{Name: "main"}}, Depth{} })
		r.start(ops())
		l.want(t, "resolved: the oldest of 1 in the queue was accepted 2 h ago")
		r.journal.Sent(journal.Attempt{Upstream: "main"})
		r.pass(20 * time.Second)
		l.want(t, "resolved: upstream main is closed (account): 401 for …@…")
		r.pass(20 * time.Minute)
		l.want(t, "resolved: 1 recipient failed in 60 min: main 1")
	})
}

// TestRecoveryWithoutMail: where no mail shows that an upstream works, some time must.
func TestRecoveryWithoutMail(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.upstreams = closedSince(time.Now().Add(-time.Hour))
		r.start(alerter(l, nil, UpstreamClosed))
		l.want(t, "upstream main is closed (account): 401 for …@…")
		r.set(func() { r.upstreams = []Upstream{{Name: "main"}} })
		r.pass(9 * time.Minute)
		l.want(t, "")
		r.pass(2 * time.Minute)
		l.want(t, "resolved: upstream main is closed (account): 401 for …@…")
	})
}

// TestPaused: an operator's pause is no fault, and no recovery.
func TestPaused(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		paused := []Upstream{{Name: "main", Paused: true, Reason: "paused", Since: time.Now()}}
		r.upstreams = paused
		r.start(alerter(l, nil, UpstreamClosed))
		r.pass(time.Hour)
		l.want(t, "")
		r.set(func() { r.upstreams = closedSince(time.Now().Add(-time.Hour)) })
		r.pass(10 * time.Second)
		l.want(t, "upstream main is closed (account): 401 for …@…")
		r.set(func() { r.upstreams = paused })
		r.pass(time.Hour)
		l.want(t, "")
		r.set(func() { r.upstreams = []Upstream{{Name: "main"}} })
		r.pass(9 * time.Minute)
		l.want(t, "")
		r.pass(2 * time.Minute)
		l.want(t, "resolved: upstream main is closed (account): 401 for …@…")
	})
}

// TestReceiverIsDown: a message is tried until it is taken, with the same id as long as it says the same; what was over
// meanwhile is told.
func TestReceiverIsDown(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		ops := func() *Alerter { return alerter(l, nil, Disk, QueueOld) }
		r.start(ops())
		l.answer(errRefused)
		r.set(func() { r.full = errors.New("full") })
		r.pass(time.Hour)
		first := r.watcher.memories
		l.want(t, "")
		l.mu.Lock()
		if l.all < 5 || l.all > 15 {
			t.Errorf("%d attempts in an hour", l.all)
		}
		l.mu.Unlock()
		id := ""
		for _, m := range first {
			id = m.Pending.ID
		}
		r.stop()
		l.answer(nil)
		r.start(ops())
		l.mu.Lock()
		if len(l.got) != 1 || l.got[0].id != id || id == "" {
			t.Errorf("%+v, want the id %s", l.got, id)
		}
		l.mu.Unlock()
		l.want(t, "new mail is refused: full")

		l.answer(&refusal{words: "429", after: 20 * time.Minute})
		r.set(func() { r.queue = Depth{1, time.Now().Add(-2 * time.Hour)} })
		r.pass(10 * time.Second)
		l.answer(nil)
		r.set(func() { r.queue, r.full = Depth{}, nil })
		r.pass(19 * time.Minute)
		l.want(t, "")
		r.pass(2 * time.Minute)
		l.want(t, "resolved: the oldest of 1 in the queue was accepted 2 h ago | resolved: new mail is refused: full")
	})
}

// TestHungReceiver: who never answers keeps nobody from being told, and nothing that happens is waited for.
func TestHungReceiver(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		hung := alerter(&listener{hang: true}, nil, Failed)
		hung.settings.Name = "hung"
		r.start(hung, alerter(l, nil, Failed))
		began := time.Now()
		for range 10_000 {
			r.journal.Failed(journal.Attempt{Upstream: "main", To: []string{"a@x"}})
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("the journal waited for %s", took)
		}
		r.pass(10 * time.Second)
		l.want(t, "10000 recipients failed in 60 min: main 10000")
	})
}

// TestFollow: other receivers take over, those that stay know what they were told, and an alert that is taken out ends.
func TestFollow(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.start()
		r.set(func() { r.full, r.queue = errors.New("full"), Depth{1, time.Now().Add(-2 * time.Hour)} })
		r.pass(time.Minute)
		if _, err := os.Stat(stateFile(r.dir)); err == nil {
			t.Error("there is a file and no alert")
		}
		r.watcher.Follow([]*Alerter{alerter(l, nil, Disk, QueueOld)}, "app2")
		r.pass(10 * time.Second)
		l.want(t, "mailhatch on app2: the oldest of 1 in the queue was accepted 2 h ago | mailhatch on app2: new mail is refused: full")
		r.watcher.Follow([]*Alerter{alerter(l, nil, Disk), alerter(l, nil, Disk)}, "app1") // both have the same address
		r.pass(10 * time.Second)
		lines := strings.Split(l.take(), "\n")
		slices.Sort(lines)
		if want := []string{"new mail is refused: full", "resolved: the oldest of 1 in the queue was accepted 2 h ago"}; !slices.Equal(lines, want) {
			t.Errorf("it was told %q, want %q", lines, want)
		}
		r.watcher.Follow(nil, "app1")
		r.pass(time.Minute)
		l.want(t, "")
	})
}

// TestDamagedState: a file that cannot be read is as none, and is reported.
func TestDamagedState(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		if err := os.WriteFile(stateFile(r.dir), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.full = errors.New("full")
		r.start(alerter(l, nil, Disk, InternalError))
		l.want(t, "new mail is refused: full")
		if got := readState(t, r.dir); !strings.Contains(got, `"disk `) {
			t.Error(got)
		}
		if err := os.RemoveAll(r.dir); err != nil {
			t.Fatal(err)
		}
		r.set(func() { r.full = nil })
		r.pass(time.Minute)
		if got := l.take(); !strings.HasPrefix(got, "resolved: new mail is refused: full\n") || !strings.HasSuffix(got, "; see the log") {
			t.Error(got)
		}
	})
}

// TestHeartbeat: it beats while the gateway is well.
func TestHeartbeat(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		beats := func() int { return strings.Count(l.take(), "mailhatch on app1 is well") }
		r.sick = true
		r.start(alerter(l, func(s *Settings) { s.Every = duration(time.Minute) }))
		if n := beats(); n != 0 {
			t.Errorf("%d", n)
		}
		r.set(func() { r.sick = false })
		r.pass(5*time.Minute + 10*time.Second)
		if n := beats(); n != 6 {
			t.Errorf("%d beats in 5 minutes", n)
		}
		l.answer(errRefused)
		r.pass(3 * time.Minute)
		r.set(func() { r.sick = true })
		l.answer(nil)
		r.pass(3 * time.Minute)
		if n := beats(); n != 0 {
			t.Errorf("%d beats of a sick gateway", n)
		}
	})
}

// TestTest: what came back is told of each receiver.
func TestTest(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		bad := alerter(&listener{err: errRefused}, nil, Disk)
		bad.name = "bad"
		r.start(alerter(l, nil, Disk), bad)
		for name, want := range map[string]string{"": "ops 200 OK <nil>, bad  answered 500", "bad": "bad  answered 500", "ops": "ops 200 OK <nil>"} {
			results, err := r.watcher.Test(t.Context(), name)
			var got []string
			for _, x := range results {
				got = append(got, fmt.Sprint(x.Name, " ", x.Answer, " ", x.Err))
				if x.Receiver != "https://example.com/***" {
					t.Error(x.Receiver)
				}
			}
			if strings.Join(got, ", ") != want || err != nil {
				t.Errorf("%q: %q, %v", name, got, err)
			}
		}
		if _, err := r.watcher.Test(t.Context(), "oops"); err == nil || !strings.Contains(err.Error(), "bad, ops") {
			t.Error(err)
		}
		r.watcher.Follow(nil, "app1")
		if _, err := r.watcher.Test(t.Context(), ""); err == nil {
			t.Error("no error without an alert")
		}
	})
}

// TestCanaries: they are no mail of programs, and while nothing is known of them what was told stands.
func TestCanaries(t *testing.T) {
	inTime(t, func(r *rig, l *listener) {
		r.start(alerter(l, func(s *Settings) { s.For = duration(26 * time.Hour) }, Silent, Failed, Canary))
		r.set(func() { r.stopped = []Stopped{{"main", "main has refused the canary", "", time.Now()}} })
		r.pass(10 * time.Second)
		l.want(t, "main has refused the canary")
		r.set(func() { r.stopped, r.blind = nil, true })
		for range 27 {
			r.journal.Accepted(journal.Accepted{ID: "C", To: []string{"canary@example.com"}, Listener: envelope.CanaryListener})
			r.journal.Failed(journal.Attempt{ID: "C", To: []string{"canary@example.com"}, Upstream: "main", Canary: true})
			r.journal.Sent(journal.Attempt{ID: "C", To: []string{"canary@example.com"}, Upstream: "main", Canary: true})
			r.pass(time.Hour)
		}
		if got := l.take(); !strings.Contains(got, "nothing was sent for 26 h; 0 messages accepted meanwhile") || strings.Contains(got, "resolved") || strings.Contains(got, "failed in") {
			t.Error(got)
		}
		r.set(func() { r.blind = false })
		r.pass(20 * time.Second)
		l.want(t, "resolved: main has refused the canary")
	})
}
