package gate

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"mailhatch/gateway/journal"
	"mailhatch/gateway/meter"
	"mailhatch/upstream"
)

const identity = "The from address does not match a verified Sender Identity"

func refusal(words string) *upstream.Error {
	return &upstream.Error{Class: upstream.Account, Sender: true, Status: 403, Err: errors.New(words)}
}

// senderGate is a gate and what a test asks of it.
type senderGate struct {
	*testing.T
	*Gate
	log *strings.Builder
}

func newSenderGate(t *testing.T) senderGate {
	log := &strings.Builder{}
	return senderGate{t, New(Settings{Name: "a", MaxConcurrent: 4, Retry: []time.Duration{time.Hour}, MaxAge: time.Hour},
		journal.New(slog.New(slog.NewTextHandler(log, nil)), meter.NewRegistry())), log}
}

// tries offers mail of each From, and wants it let through.
func (g senderGate) tries(froms ...string) {
	g.Helper()
	for _, from := range froms {
		if r := g.TrySender(from, time.Time{}); r != nil {
			g.Errorf("%s waits for %s until %v", from, r.From, time.Until(r.Until))
		}
	}
}

// waits wants mail of a From held back for that time.
func (g senderGate) waits(from string, want time.Duration) {
	g.Helper()
	if r := g.TrySender(from, time.Time{}); r == nil {
		g.Errorf("%s need not wait, want %v", from, want)
	} else if wait := time.Until(r.Until); wait != want {
		g.Errorf("%s waits %v, want %v", from, wait, want)
	}
}

// refuse has the upstream refuse a From.
func (g senderGate) refuse(from, words string) {
	e := refusal(words)
	g.SenderRefused(from, e, e)
}

// known wants these to be what is refused.
func (g senderGate) known(want ...string) {
	g.Helper()
	var got []string
	for _, r := range g.Status().Refused {
		got = append(got, r.From)
	}
	if !slices.Equal(got, want) || g.RefusesSenders() != (len(want) > 0) {
		g.Errorf("refused: %q, want %q", got, want)
	}
}

func inSenderGate(t *testing.T, f func(g senderGate)) {
	synctest.Test(t, func(t *testing.T) { f(newSenderGate(t)) })
}

// TestRefusedAddress: mail of the refused address waits, one tries it after a pause that grows to ten minutes, and all goes when
// one was taken. Other addresses of its domain do not wait.
func TestRefusedAddress(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		g.tries("root@x.org")
		g.refuse("root@x.org", identity)
		g.known("root@x.org")
		for _, pause := range []time.Duration{30 * time.Second, time.Minute, 2 * time.Minute, 4 * time.Minute, 8 * time.Minute, 10 * time.Minute, 10 * time.Minute} {
			g.waits("root@x.org", pause)
			g.tries("noreply@x.org")
			time.Sleep(pause)
			g.tries("root@x.org")
			g.waits("root@x.org", senderTrial) // another mail, meanwhile
			g.refuse("root@x.org", identity)
		}
		if r := g.Refused("root@x.org"); r == nil || r.Error() != "403: "+identity || time.Since(r.Tried) != 0 || time.Since(r.Since) != 2130*time.Second {
			g.Errorf("%+v", r)
		}
		if g.SenderTaken("noreply@x.org") {
			g.Error("mail of another address shows nothing of this one")
		}
		if !g.SenderTaken("root@x.org") || g.SenderTaken("root@x.org") {
			g.Error("its mail need not wait any longer, and that is news once")
		}
		g.tries("root@x.org", "root@x.org")
		g.known()
		if n := strings.Count(g.log.String(), "sender_refused"); n != 1 || !strings.Contains(g.log.String(), "sender_taken upstream=a from=root@x.org after_ms=2130000") {
			g.Error(g.log)
		}
	})
}

// TestRefusedBySeveralOffers: what other offers under way meet makes the pause no longer.
func TestRefusedBySeveralOffers(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		for n := range 4 {
			g.refuse("root@x.org", fmt.Sprintf("not verified %d", n))
			time.Sleep(time.Second)
		}
		g.waits("root@x.org", 26*time.Second)
		if r := g.Refused("root@x.org"); r.Error() != "403: not verified 3" {
			g.Errorf("the words are %q, want the newest", r.Error())
		}
	})
}

// TestTrialWithoutAnAnswer: where the mail that tries a From shows nothing, another one does.
func TestTrialWithoutAnAnswer(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		g.refuse("root@x.org", identity)
		time.Sleep(senderFirst)
		g.tries("root@x.org")
		g.waits("root@x.org", senderTrial)
		time.Sleep(senderTrial)
		g.tries("root@x.org")
	})
}

// TestRefusedDomain: a domain waits where the provider's words are about it, or three of its addresses were refused and none
// taken.
func TestRefusedDomain(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		g.refuse("root@x.org", "The x.org domain is not verified. Please, add and verify your domain")
		g.known("*@x.org")
		g.waits("noreply@x.org", senderFirst)
		g.tries("root@sub.x.org")
		time.Sleep(senderFirst)
		g.tries("noreply@x.org")
		g.waits("root@x.org", senderTrial)
		if !g.SenderTaken("noreply@x.org") {
			g.Error("its mail need not wait any longer")
		}
		g.tries("root@x.org")
		g.known()
	})
	inSenderGate(t, func(g senderGate) {
		for _, from := range []string{"a@x.org", "b@x.org", "c@y.org"} {
			g.refuse(from, identity)
		}
		g.tries("d@x.org")
		g.refuse("d@x.org", identity)
		g.known("*@x.org", "c@y.org")
		g.waits("e@x.org", senderFirst)
		time.Sleep(senderFirst)
		g.tries("e@x.org") // another one may be allowed
		g.SenderTaken("e@x.org")
		g.tries("f@x.org", "g@x.org")
		g.known("a@x.org", "b@x.org", "c@y.org", "d@x.org")
		g.refuse("h@x.org", identity)
		g.tries("i@x.org") // the three from before do not count: the domain is good
	})
	inSenderGate(t, func(g senderGate) {
		for n := range 20 { // each try is that of another address
			g.refuse(fmt.Sprintf("%d@x.org", n), identity)
			if r := g.Refused("new@x.org"); r != nil {
				if wait := time.Until(r.Until); wait > domainTry {
					g.Errorf("after %d refusals another address waits %v", n, wait)
				}
				time.Sleep(time.Until(r.Until))
				g.tries("new@x.org")
			}
		}
	})
}

// TestOperatorAsks: mail that an operator wants tried is offered, if that was not done since; and it makes no pause longer.
func TestOperatorAsks(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		g.refuse("root@x.org", identity)
		for range 3 {
			before := time.Now()
			time.Sleep(time.Second)
			if g.TrySender("root@x.org", before.Add(-time.Second)) == nil {
				g.Error("who asked before the last try has its answer")
			}
			asked := time.Now()
			time.Sleep(time.Second)
			if r := g.TrySender("root@x.org", asked); r != nil {
				g.Errorf("not tried: %+v", r)
			}
			if g.TrySender("root@x.org", asked) == nil {
				g.Error("two mails try it")
			}
			g.refuse("root@x.org", identity)
			g.waits("root@x.org", senderFirst)
		}
	})
	inSenderGate(t, func(g senderGate) {
		g.refuse("root@x.org", identity)
		g.refuse("root@y.org", "domain is not verified")
		for range 3 {
			g.TrySenders()
			g.tries("root@x.org", "a@y.org")
			g.waits("root@x.org", senderTrial)
			g.refuse("root@x.org", identity)
			g.refuse("a@y.org", "domain is not verified")
			g.waits("root@x.org", senderFirst)
			g.waits("b@y.org", senderFirst)
		}
	})
}

// TestOperatorAsksByAnotherClock: when an operator asked is known by the time of day that is believed.
func TestOperatorAsksByAnotherClock(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		g.settings.Now = func() time.Time { return time.Now().Add(-10 * time.Hour) }
		g.refuse("root@x.org", identity)
		time.Sleep(time.Second)
		if g.TrySender("root@x.org", g.settings.Now().Add(-2*time.Second)) == nil {
			g.Error("it was asked for before")
		}
		if g.TrySender("root@x.org", g.settings.Now()) != nil {
			g.Error("it was asked for since")
		}
	})
}

// TestRefusedForATime: a provider that says when to come again is heard.
func TestRefusedForATime(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		e := refusal(identity)
		e.RetryAfter = time.Hour
		g.SenderRefused("root@x.org", e, e)
		g.waits("root@x.org", time.Hour)
	})
}

// TestSendersAreForgotten: what no mail comes to try is forgotten, and there are never too many.
func TestSendersAreForgotten(t *testing.T) {
	inSenderGate(t, func(g senderGate) {
		g.refuse("root@x.org", identity)
		time.Sleep(senderFirst + senderKept + time.Second)
		g.known()
		for n := range 3 * sendersMost {
			g.refuse(fmt.Sprintf("a@%d.org", n), identity)
		}
		if n := len(g.Status().Refused); n != sendersMost {
			g.Errorf("%d are known, want %d", n, sendersMost)
		}
		g.refuse("", identity) // without From
		g.tries("", "b@new.org")
	})
}

func TestIsAboutDomain(t *testing.T) {
	for words, want := range map[string]bool{
		"":       false,
		identity: false,
		"The example.com domain is not verified. Please, add and verify your domain on https://resend.com/domains": true,
		"Unconfigured Sending Domain <x.org>":                                   true,
		"The sender domain is not authenticated":                                true,
		"a@x.org is not a verified sender":                                      false,
		"The 'From' address you supplied is not a Sender Signature":             false,
		"the sender a@x.org is not valid. Validate it or authenticate a domain": false,
		"Email address is not verified: the domain of app@example.com":          false,
	} {
		if got := isAboutDomain(errors.New(words)); got != want {
			t.Errorf("%q: %v", words, got)
		}
	}
	if isAboutDomain(nil) {
		t.Error("nothing is about no domain")
	}
}
