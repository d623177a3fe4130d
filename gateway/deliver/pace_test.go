package deliver

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/deliver/offer"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// TestMaxRecipients: a message for many goes in offers of so many, each with a fate of its own.
func TestMaxRecipients(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, failing(upstream.Temporary, 450, "later"))
		}
		return all(m, upstream.Outcome{ID: "ok"})
	}}
	r := newRig(t, func(c *Config) { c.Upstreams[0].MaxRecipients = 3 }, ups{"a": a})
	var to []string
	for i := range 10 {
		to = append(to, fmt.Sprintf("r%d@example.org", i))
	}
	r.put("a", to...)
	r.start()
	r.awaitSent(10)
	if n := a.count(); n != 5 {
		t.Errorf("%d offers, want 4 and one again", n)
	}
	for i, m := range a.calls {
		if len(m.To) > 3 {
			t.Errorf("offer %d has %d recipients", i, len(m.To))
		}
	}
	if got := slices.Compact(a.offered()); len(got) != 10 {
		t.Errorf("offered %q", got)
	}
	for _, rec := range r.history(envelope.Sent) {
		if rec.Attempts > 2 {
			t.Errorf("%d attempts: waiting for the others counts as none", rec.Attempts)
		}
	}
}

// TestMaxRecipientsKeepsOffers: what the provider may have and would recognise is repeated as it was.
func TestMaxRecipientsKeepsOffers(t *testing.T) {
	for _, keyed := range []time.Duration{time.Hour, 0} {
		a := &scripted{keyed: keyed}
		r := newRig(t, func(c *Config) { c.Upstreams[0].MaxRecipients = 1 }, ups{"a": a})
		p := envelope.Progress{Attempts: 1, Tries: 1, Upstream: "a", Since: time.Now(), Uncertain: true}
		r.putPart("sender@example.com", "a", time.Now(), queue.Part{Progress: p}, "x@example.org", "y@example.org")
		r.start()
		r.awaitSent(2)
		if n, want := a.count(), map[bool]int{true: 1, false: 2}[keyed > 0]; n != want {
			t.Errorf("keyed %v: %d offers, want %d", keyed, n, want)
		}
		r.stop()
	}
}

func TestDirectMaxRecipients(t *testing.T) {
	a := &scripted{}
	r := newRig(t, func(c *Config) { c.Upstreams[0].MaxRecipients = 2 }, ups{"a": a})
	r.start()
	m, msg := directMail(t, "1@x.org", "2@x.org", "3@x.org")
	result := r.d.Direct(t.Context(), m, msg, m.Parts[0])
	if len(result.Taken) != 3 || result.Err != nil || a.count() != 2 || len(a.calls[0].To) != 2 {
		t.Errorf("%+v by %d offers", result, a.count())
	}
}

// directMail is a message for Direct.
func directMail(t *testing.T, to ...string) (*queue.Message, *mime.Message) {
	t.Helper()
	msg, err := mime.Parse(mime.NewBytesSource([]byte("From: a@example.com\r\n\r\nhello\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	part := queue.Part{Lane: "a", State: envelope.Queued}
	for _, address := range to {
		part.To = append(part.To, envelope.Recipient{Address: address})
	}
	return &queue.Message{ID: "ID", Envelope: envelope.Envelope{From: "s@example.com", To: part.To, Received: time.Now()}, Parts: []queue.Part{part}}, msg
}

// TestRatePerDomain: recipients of a domain that has had its mail wait for their turn; the others go at once.
func TestRatePerDomain(t *testing.T) {
	const interval = 300 * time.Millisecond
	a := &scripted{}
	r := newRig(t, func(c *Config) { c.Upstreams[0].RatePerDomain = 1 / interval.Seconds() }, ups{"a": a})
	for range 3 {
		r.put("a", "x@slow.example", "y@SLOW.example")
	}
	r.put("a", "z@slow.example", "w@other.example")
	r.start()
	r.awaitSent(8)
	var slow []time.Time
	for i, m := range a.calls {
		if strings.EqualFold(m.To[0].Address[2:], "slow.example") {
			slow = append(slow, a.times[i])
		} else if len(slow) == 4 {
			t.Error("the other domain waited")
		}
	}
	if burst := int(1 / interval.Seconds()); len(slow) != 4 || slow[3].Sub(slow[0]) < time.Duration(4-burst)*interval-interval/10 {
		t.Errorf("offers at %v", slow)
	}
	for _, rec := range r.history(envelope.Sent) {
		if rec.Attempts != 1 {
			t.Errorf("%d attempts: to wait is none", rec.Attempts)
		}
	}
}

// TestDividedMailIsPaced: to be divided uses no turn up.
func TestDividedMailIsPaced(t *testing.T) {
	a := &scripted{}
	r := newRig(t, func(c *Config) { c.Upstreams[0].RatePerDomain, c.Upstreams[0].MaxRecipients = 1e-6, 1 }, ups{"a": a})
	r.put("a", "x@one.example", "y@two.example", "z@three.example")
	r.start()
	r.awaitSent(3)
}

// TestTurnOfADomain: mail that waits has its turn stored with it, for whoever offers it then. It is used once, and only as
// it was given.
func TestTurnOfADomain(t *testing.T) {
	const rate = 1e-6
	turn := func(change func(*envelope.Turn)) *envelope.Turn {
		given := &envelope.Turn{Upstream: "a", Rate: rate, Domain: "x.example", At: time.Now().Add(-time.Minute)}
		change(given)
		return given
	}
	for name, row := range map[string]struct {
		turn *envelope.Turn
		goes bool
	}{
		"its turn":         {turn(func(*envelope.Turn) {}), true},
		"no turn":          {nil, false},
		"later":            {turn(func(g *envelope.Turn) { g.At = time.Now().Add(time.Hour) }), false},
		"long ago":         {turn(func(g *envelope.Turn) { g.At = time.Now().Add(-2 * turnKept) }), false},
		"another upstream": {turn(func(g *envelope.Turn) { g.Upstream = "b" }), false},
		"another rate":     {turn(func(g *envelope.Turn) { g.Rate = 1 }), false},
		"another domain":   {turn(func(g *envelope.Turn) { g.Domain = "y.example" }), false},
	} {
		t.Run(name, func(t *testing.T) {
			a := &scripted{send: func(_ int, m *upstream.Mail) []upstream.Outcome {
				return all(m, failing(upstream.Temporary, 450, "later"))
			}}
			r := newRig(t, func(c *Config) {
				c.Upstreams[0].RatePerDomain = rate
				c.Policy.Retry = []time.Duration{time.Millisecond}
			}, ups{"a": a})
			r.put("a", "first@x.example")
			r.start()
			r.await("the first offer", func() bool { return a.count() == 1 })
			r.putPart("sender@example.com", "a", time.Now(), queue.Part{Progress: envelope.Progress{Turn: row.turn}}, "second@x.example")
			want := map[bool]int{true: 2, false: 1}[row.goes]
			r.await("both to wait", func() bool {
				parts := slices.DeleteFunc(r.parts(), func(p queue.Part) bool {
					t := p.Progress.Turn
					return t == nil || !t.At.After(time.Now()) || !p.NextAt.Equal(t.At.Truncate(time.Millisecond))
				})
				return len(parts) == 2
			})
			if n := a.count(); n != want {
				t.Errorf("%d offers, want %d", n, want)
			}
		})
	}
}

// TestRatePerDomainExpires: mail that never has its turn is given up in the end, and the sender is told why.
func TestRatePerDomainExpires(t *testing.T) {
	a := &scripted{}
	r := newRig(t, func(c *Config) { c.Upstreams[0].RatePerDomain = 1e-6 }, ups{"a": a})
	r.put("a", "x@slow.example")
	r.start()
	r.awaitSent(1)
	r.putFrom("sender@example.com", "a", time.Now().Add(-2*time.Hour), "y@slow.example")
	if p := r.awaitState(envelope.Failed); !strings.Contains(p.Progress.Error, "rate_per_domain is used up") {
		t.Errorf("%+v", p.Progress)
	}
}

func TestDirectRatePerDomain(t *testing.T) {
	a := &scripted{}
	r := newRig(t, func(c *Config) { c.Upstreams[0].RatePerDomain = 1e-6 }, ups{"a": a})
	r.start()
	for i, want := range []int{1, 0} {
		m, msg := directMail(t, "1@x.org")
		m.ID = fmt.Sprint(i)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		result := r.d.Direct(ctx, m, msg, m.Parts[0])
		cancel()
		if e := offer.Failure(result.Err); len(result.Taken) != want || want == 0 && (e.Class != upstream.Throttled || len(result.Rest) != 1) {
			t.Errorf("%d: %+v", i, result)
		}
	}
}

// TestThrottleOnKeepsMail: a refusal that the operator knows is no bounce, and holds back all mail.
func TestThrottleOnKeepsMail(t *testing.T) {
	a := &scripted{send: func(n int, m *upstream.Mail) []upstream.Outcome {
		if n == 1 {
			return all(m, failing(upstream.Permanent, 550, "odd words: too many requests"))
		}
		return all(m, upstream.Outcome{ID: "ok"})
	}}
	r := newRig(t, func(c *Config) { c.Upstreams[0].ThrottleOn = []string{"*too many requests*"} }, ups{"a": a})
	r.put("a", "x@example.org")
	r.start()
	r.awaitSent(1)
	if !strings.Contains(r.journal(), "reason=throttled") || len(r.bounced()) > 0 {
		t.Error(r.journal())
	}
}
