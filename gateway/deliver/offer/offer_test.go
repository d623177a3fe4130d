package offer

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/mime"
	"mailhatch/upstream"
)

// answers is an upstream that answers as a test decides, and so does its log.
type answers struct {
	send  func() []upstream.Outcome
	trace []upstream.Traced
	err   error
	since time.Time // that it was asked for
}

func (a *answers) Send(context.Context, *upstream.Mail) []upstream.Outcome { return a.send() }

func (a *answers) TraceDelay() time.Duration { return time.Minute }

func (a *answers) Trace(_ context.Context, _ *upstream.Mail, since time.Time) ([]upstream.Traced, error) {
	a.since = since
	return a.trace, a.err
}

func mailTo(addresses ...string) *upstream.Mail {
	var to []envelope.Recipient
	for _, a := range addresses {
		to = append(to, envelope.Recipient{Address: a, Notify: []string{"NEVER"}})
	}
	return NewMail("ID", &envelope.Envelope{Ret: "HDRS", EnvID: "e", Body: "8BITMIME", UTF8: true}, "app@example.com", to, nil)
}

func TestNewMail(t *testing.T) {
	m := mailTo("a@x.example", "b@X.example", "c@y.example")
	if m.ID != "ID" || m.From != "app@example.com" || m.Ret != "HDRS" || m.EnvID != "e" || !m.EightBit || !m.UTF8 || len(m.To) != 3 || m.To[2].Address != "c@y.example" || m.To[0].Notify[0] != "NEVER" {
		t.Errorf("%+v", m)
	}
	got := DomainsOf([]envelope.Recipient{{Address: "a@x.example"}, {Address: "b@X.example"}, {Address: "c@y.example"}, {Address: "postmaster"}})
	if want := []string{"x.example", "y.example", "postmaster"}; !slices.Equal(got, want) {
		t.Errorf("domains %q", got)
	}
	for text, want := range map[string]string{"From: A <\"A\"@News.Example>, b@x\r\n\r\n": "a@news.example", "Subject: x\r\n\r\n": ""} {
		msg, err := mime.Parse(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		if got := FromAddress(msg); got != want {
			t.Errorf("%q is from %q", text, got)
		}
	}
}

// TestSend: each recipient has an outcome, whatever an upstream's code does.
func TestSend(t *testing.T) {
	no := errors.New("no")
	for name, c := range map[string]struct {
		send func() []upstream.Outcome
		want string
	}{
		"one for all": {func() []upstream.Outcome { return []upstream.Outcome{{Err: no}} }, "temporary temporary temporary"},
		"each":        {func() []upstream.Outcome { return []upstream.Outcome{{}, {Err: no}, {}} }, "sent temporary sent"},
		"none":        {func() []upstream.Outcome { return nil }, "temporary temporary temporary"},
		"a panic":     {func() []upstream.Outcome { panic("no") }, "uncertain uncertain uncertain"},
	} {
		var classes []string
		for _, o := range Send(t.Context(), &answers{send: c.send}, mailTo("a@x", "b@x", "c@x")) {
			classes = append(classes, Class(o.Err))
		}
		if got := strings.Join(classes, " "); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

func TestWorst(t *testing.T) {
	of := func(class upstream.Class, status int) upstream.Outcome {
		return upstream.Outcome{Err: &upstream.Error{Class: class, Status: status}}
	}
	for _, c := range []struct {
		list []upstream.Outcome
		want string
	}{
		{nil, "sent"},
		{[]upstream.Outcome{{}, of(upstream.Permanent, 550)}, "sent"},
		{[]upstream.Outcome{of(upstream.Permanent, 550), of(upstream.Temporary, 451)}, "permanent"},
		{[]upstream.Outcome{of(upstream.Permanent, 550), of(upstream.Account, 401)}, "account"},
		{[]upstream.Outcome{{}, of(upstream.Throttled, 429)}, "throttled"},
		{[]upstream.Outcome{{}, of(upstream.Throttled, 451)}, "sent"},
	} {
		if got := Class(Worst(c.list)); got != c.want {
			t.Errorf("%v: %s, want %s", c.list, got, c.want)
		}
	}
}

// TestGroups: recipients stay together whose outcomes are alike and who came by the same rule; what the provider must recognise
// stays together as it was.
func TestGroups(t *testing.T) {
	lost, gone := &upstream.Error{Class: upstream.Uncertain}, errors.New("gone")
	rule := func(n int) Treatment { return Treatment{Rule: n} }
	permanent := func(words string) upstream.Outcome {
		return upstream.Outcome{Err: &upstream.Error{Class: upstream.Permanent, Err: errors.New(words)}}
	}
	for _, c := range []struct {
		outcomes   []upstream.Outcome
		treatments []Treatment
		want       string
	}{
		{[]upstream.Outcome{{ID: "1"}, {ID: "1"}, {ID: "2"}, {ID: "1", Notifies: true}}, make([]Treatment, 4), "[[0 1] [2] [3]]"},
		{[]upstream.Outcome{{ID: "1"}, {ID: "1"}}, []Treatment{rule(1), rule(2)}, "[[0] [1]]"},
		{[]upstream.Outcome{permanent("a"), permanent("b"), permanent("a")}, make([]Treatment, 3), "[[0 2] [1]]"},
		{[]upstream.Outcome{{Err: lost}, {Err: gone}, {Err: lost}, {Err: errors.New("other words")}}, []Treatment{rule(1), rule(1), rule(2), rule(1)}, "[[0 2] [1 3]]"},
	} {
		if got := fmt.Sprint(Groups(c.outcomes, c.treatments, func(e *upstream.Error) bool { return e == lost })); got != c.want {
			t.Errorf("%v: %s, want %s", c.outcomes, got, c.want)
		}
	}
}

// TestAsk: what the log has is sent; what it has not is waited for as long as the log lags.
func TestAsk(t *testing.T) {
	offered := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := &envelope.Progress{Since: offered.Add(-time.Hour), LastAttempt: offered}
	a := &answers{trace: []upstream.Traced{{Found: true, ID: "p"}, {}}}
	for after, wait := range map[time.Duration]time.Duration{0: 30 * time.Second, 40 * time.Second: 20 * time.Second, time.Minute: 0, time.Hour: 0} {
		got, err := Ask(t.Context(), a, mailTo("a@x", "b@x"), p, offered.Add(after))
		if want := []Trace{{Found: true, ID: "p"}, {Wait: wait}}; err != nil || !slices.Equal(got, want) {
			t.Errorf("after %v: %+v, %v, want %+v", after, got, err, want)
		}
		if !a.since.Before(p.Since) {
			t.Errorf("asked since %v", a.since)
		}
	}
	if _, err := Ask(t.Context(), a, mailTo("a@x"), p, offered); err == nil {
		t.Error("an answer about others was believed")
	}
	a.err = errors.New("no")
	if _, err := Ask(t.Context(), a, mailTo("a@x", "b@x"), p, offered); !errors.Is(err, a.err) {
		t.Error(err)
	}
}

func TestAskAgain(t *testing.T) {
	for _, c := range []struct {
		err   error
		since time.Duration
		wait  time.Duration
		ok    bool
	}{
		{errors.New("garbage"), 0, 30 * time.Second, true},
		{errors.New("garbage"), 10 * time.Minute, 5 * time.Minute, true},
		{errors.New("garbage"), time.Hour, 30 * time.Minute, false},
		{&upstream.Error{Class: upstream.Temporary, Status: 503}, 0, 30 * time.Second, true},
		{&upstream.Error{Class: upstream.Temporary, Status: 200}, 0, 30 * time.Second, false},
		{&upstream.Error{Class: upstream.Throttled, Status: 429, RetryAfter: time.Minute}, 0, time.Minute, true},
		{&upstream.Error{Class: upstream.Account, Status: 403}, 0, 30 * time.Second, false},
	} {
		if wait, ok := AskAgain(c.err, c.since); wait != c.wait || ok != c.ok {
			t.Errorf("%v after %v: %v, %v", c.err, c.since, wait, ok)
		}
	}
}

// TestHeard: an event of any kind proves that a recipient was taken, unless anybody could have written it, and where there is none yet there may be one soon.
func TestHeard(t *testing.T) {
	offered := time.Now()
	p := &envelope.Progress{LastAttempt: offered}
	told := []queue.Told{{Recipient: "B@X.example", Kind: queue.EventDeferred}, {Recipient: "b@x.example", Kind: queue.EventBounced, ProviderID: "p-1"}, {Kind: queue.EventDelivered, ProviderID: "p-2"},
		{Recipient: "a@x.example", Kind: queue.EventDelivered, Unsigned: true}}
	to := []envelope.Recipient{{Address: "a@x.example"}, {Address: "b@x.example"}}
	for after, want := range map[time.Duration]string{time.Second: "30s", 2 * time.Minute: "1m0s", 3 * time.Minute: "0s"} {
		got := Heard(told, to, p, 3*time.Minute, offered.Add(after))
		if len(got) != 2 || got[0].Found || got[0].Wait.String() != want || got[1] != (Trace{Found: true, ID: "p-1"}) {
			t.Errorf("after %v: %+v, want a wait of %s", after, got, want)
		}
	}
	for _, c := range []struct {
		how  upstream.Listening
		want time.Duration
	}{
		{upstream.Listening{}, 0},
		{upstream.Listening{Every: time.Minute, Bounces: true}, 0},
		{upstream.Listening{Every: time.Minute, Webhook: true}, 3 * time.Minute},
		{upstream.Listening{Every: time.Hour}, 30 * time.Minute},
		{upstream.Listening{Webhook: true}, 2 * time.Minute},
	} {
		if got := HearingDelay(c.how); got != c.want {
			t.Errorf("%+v: %v, want %v", c.how, got, c.want)
		}
	}
}
