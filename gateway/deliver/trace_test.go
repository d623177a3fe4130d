package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
	"mailhatch/upstream/upstreamtest/telling"
)

// traced is an upstream whose log can be asked.
type traced struct {
	scripted
	delay time.Duration

	logMu sync.Mutex
	asked int
	trace func(n int, m *upstream.Mail) ([]upstream.Traced, error)
}

func (u *traced) TraceDelay() time.Duration { return u.delay }

func (u *traced) Trace(_ context.Context, m *upstream.Mail, _ time.Time) ([]upstream.Traced, error) {
	u.logMu.Lock()
	defer u.logMu.Unlock()
	u.asked++
	return u.trace(u.asked, m)
}

func (u *traced) questions() int {
	u.logMu.Lock()
	defer u.logMu.Unlock()
	return u.asked
}

// TestUncertainOutcomesAreAskedAbout: before another offer the provider's log is asked, and its answer decides.
func TestUncertainOutcomesAreAskedAbout(t *testing.T) {
	yes := func(int, *upstream.Mail) ([]upstream.Traced, error) {
		return []upstream.Traced{{Found: true, ID: "in the log"}}, nil
	}
	no := func(int, *upstream.Mail) ([]upstream.Traced, error) { return []upstream.Traced{{}}, nil }
	denied := func(int, *upstream.Mail) ([]upstream.Traced, error) {
		return nil, &upstream.Error{Class: upstream.Account, Err: &upstream.ScopeError{Scope: "logs"}}
	}
	broken := func(int, *upstream.Mail) ([]upstream.Traced, error) { return nil, errors.New("garbage") }
	portal := func(int, *upstream.Mail) ([]upstream.Traced, error) {
		return nil, &upstream.Error{Status: 200, Err: errors.New("an HTML page")}
	}
	short := func(int, *upstream.Mail) ([]upstream.Traced, error) { return nil, nil }
	ago := func(d time.Duration) time.Time { return time.Now().Add(-d) }
	for _, c := range []struct {
		name, policy string
		trace        func(int, *upstream.Mail) ([]upstream.Traced, error)
		last         time.Time // offer
		keyed        time.Duration
		released     bool
		state        envelope.State
		atA, atB     int    // offers
		asked        int    // times
		id           string // of the provider, in the history
	}{
		{name: "found", policy: "retry", trace: yes, last: ago(time.Second), state: envelope.Sent, asked: 1, id: "in the log"},
		{name: "found, hold", policy: "hold", trace: yes, last: ago(time.Second), state: envelope.Sent, asked: 1, id: "in the log"},
		{name: "found, failover", policy: "failover", trace: yes, last: ago(time.Second), state: envelope.Sent, asked: 1, id: "in the log"},
		{name: "not found", policy: "retry", trace: no, last: ago(2 * time.Minute), state: envelope.Sent, atA: 1, asked: 1},
		{name: "not found, hold", policy: "hold", trace: no, last: ago(2 * time.Minute), state: envelope.Sent, atA: 1, asked: 1},
		{name: "not found yet", policy: "retry", trace: no, last: ago(time.Second), state: envelope.Queued, asked: 1},
		{name: "denied, retry", policy: "retry", trace: denied, last: ago(time.Second), state: envelope.Sent, atA: 1, asked: 1},
		{name: "denied, hold", policy: "hold", trace: denied, last: ago(time.Second), state: envelope.Held, asked: 1},
		{name: "denied, hold, released", policy: "hold", trace: denied, released: true, last: ago(time.Second), state: envelope.Sent, atA: 1, asked: 1},
		{name: "denied, failover", policy: "failover", trace: denied, last: ago(time.Second), state: envelope.Sent, atB: 1, asked: 1},
		{name: "broken", policy: "retry", trace: broken, last: ago(time.Second), state: envelope.Queued, asked: 1},
		{name: "broken for long", policy: "retry", trace: broken, last: ago(2 * time.Hour), state: envelope.Sent, atA: 1, asked: 1},
		{name: "no log there", policy: "hold", trace: portal, last: ago(time.Second), state: envelope.Held, asked: 1},
		{name: "half an answer", policy: "hold", trace: short, last: ago(2 * time.Hour), state: envelope.Held, asked: 1},
		{name: "still known by its key", policy: "retry", keyed: time.Hour, trace: yes, last: ago(time.Second), state: envelope.Sent, atA: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			a, b := &traced{delay: time.Minute, trace: c.trace}, &scripted{}
			a.keyed = c.keyed
			r := newRig(t, func(cfg *Config) {
				cfg.Route, cfg.Policy.OnUncertain = via("a", "b"), c.policy
				cfg.Upstreams = append(cfg.Upstreams, Upstream{Name: "a", Upstream: a, MaxConcurrent: 4, Failover: true})
			}, ups{"b": b})
			r.putPart("s@example.com", "a", time.Now(), queue.Part{Progress: envelope.Progress{Upstream: "a", Tries: 1, Attempts: 1, Released: c.released,
				Uncertain: true, Since: c.last, LastAttempt: c.last, Class: "uncertain", Error: "lost"}}, "x@example.org")
			r.start()
			switch c.state {
			case envelope.Sent:
				r.awaitSent(1)
				if got := r.history(envelope.Sent)[0]; c.id != "" && got.ProviderID != c.id {
					t.Errorf("%+v", got)
				}
			case envelope.Held:
				r.awaitState(envelope.Held)
			default:
				r.await("the question", func() bool { return a.questions() == 1 })
			}
			if a.count() != c.atA || b.count() != c.atB || a.questions() != c.asked {
				t.Errorf("%d and %d offers, %d questions; want %d, %d, %d", a.count(), b.count(), a.questions(), c.atA, c.atB, c.asked)
			}
		})
	}
}

// quick is an upstream whose log is trusted sooner than the provider's documentation has it.
type quick struct {
	upstream.Upstream
	upstream.Tracer
	delay time.Duration
}

func (q quick) TraceDelay() time.Duration { return q.delay }

// TestLostRepliesNeitherDoubleNorLose: at providers without keys of idempotency a twentieth of all replies is lost, half
// of them of mail that was taken, and their logs lag. Every mail arrives once.
func TestLostRepliesNeitherDoubleNorLose(t *testing.T) {
	// The log is trusted long after it has everything, however slow the machine: a mail is looked for twice.
	lag, delay := 2*time.Second, 20*time.Second
	mails, err := strconv.Atoi(cmp.Or(os.Getenv("MAILHATCH_MAILS"), "320")) // 2,000 by hand, with a log that is slower
	if err != nil {
		t.Fatal(err)
	}
	if mails >= 2000 {
		lag, delay = 20*time.Second, 2*time.Minute
	}
	for _, c := range []struct {
		kind, settings string
		fake           *upstreamtest.Server
		dialect        telling.Dialect
	}{
		{"mailgun", "api_key = \"key\"\ndomain = \"mg.example.com\"\n", upstreamtest.NewMailgun("key", "mg.example.com"), telling.Mailgun{Domain: "mg.example.com"}},
		{"postmark", "server_token = \"key\"\n", fakes.NewPostmark("key"), telling.Postmark{}},
		{"brevo", "api_key = \"key\"\n", fakes.NewBrevo("key"), telling.Brevo{}},
	} {
		t.Run(c.kind, func(t *testing.T) {
			t.Parallel() // it waits for the most part
			log := telling.New(c.fake, c.dialect, "secret")
			defer log.Close()
			log.SetLag(lag)
			i := slices.IndexFunc(kinds.Kinds(), func(k upstream.Kind) bool { return k.Name == c.kind })
			up, err := upstreamtest.Open(kinds.Kinds()[i], c.settings+fmt.Sprintf("base_url = %q\n", log.URL))
			if err != nil {
				t.Fatal(err)
			}
			var faults []upstreamtest.Fault
			for n := range mails {
				switch {
				case n%40 == 7:
					faults = append(faults, upstreamtest.Fault{Drop: upstreamtest.DropReply})
				case n%40 == 27:
					faults = append(faults, upstreamtest.Fault{Drop: upstreamtest.DropAfterBody})
				default:
					faults = append(faults, upstreamtest.Fault{})
				}
			}
			c.fake.Script(faults...)
			r := newRig(t, func(cfg *Config) {
				cfg.Upstreams = []Upstream{{Name: "a", Upstream: quick{up, up.(upstream.Tracer), delay}, MaxConcurrent: 16}}
			}, ups{})
			for n := range mails {
				r.put("a", fmt.Sprintf("r%d@example.org", n))
			}
			r.start()
			for begin := time.Now(); len(c.fake.Accepted()) < mails && time.Since(begin) < 5*time.Minute; {
				time.Sleep(100 * time.Millisecond)
			}
			r.awaitSent(mails)
			got := map[string]int{}
			for _, m := range c.fake.Accepted() {
				for _, rcpt := range m.Recipients {
					got[rcpt]++
				}
			}
			doubled := 0
			for _, n := range got {
				if n > 1 {
					doubled++
				}
			}
			t.Logf("%d of %d arrived, %d of them twice; %d questions", len(got), mails, doubled, len(log.Asked()))
			if len(got) != mails || doubled > 0 || len(log.Asked()) < mails/20 {
				t.Errorf("%d of %d arrived, %d of them twice; %d questions", len(got), mails, doubled, len(log.Asked()))
			}
		})
	}
}
