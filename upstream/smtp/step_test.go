package smtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

// strayReply is a relay that gives one reply too many, or too few, at one point of the first dialog that gets there.
type strayReply struct {
	stage   smtpStage
	address string
	do      smtpReaction
	done    atomic.Bool
}

// react refuses those whose address begins with "bad", and goes astray once.
func (s *strayReply) react(step smtpStep) smtpReaction {
	re := smtpReaction{}
	if step.Stage == upstreamtest.SMTPRcpt && strings.HasPrefix(step.Address, "bad") {
		re.Reply = "550 5.1.1 no such user"
	}
	if step.Stage == s.stage && (s.address == "" || s.address == step.Address) && s.done.CompareAndSwap(false, true) {
		re.Extra, re.Late, re.Mute = s.do.Extra, s.do.Late, s.do.Mute
	}
	return re
}

// TestSMTPOutOfStep sends mail by a relay whose replies get out of step, at any point: whatever is refused for good
// is a recipient that the relay refuses, whatever counts as sent was taken, and what is to be tried again was not.
func TestSMTPOutOfStep(t *testing.T) {
	positions := []struct {
		stage   smtpStage
		address string
	}{
		{upstreamtest.SMTPGreeting, ""}, {upstreamtest.SMTPEhlo, ""}, {upstreamtest.SMTPAuth, ""}, {upstreamtest.SMTPMail, ""},
		{upstreamtest.SMTPRcpt, "a1@x"}, {upstreamtest.SMTPRcpt, "bad1@x"}, {upstreamtest.SMTPRcpt, "b1@x"}, {upstreamtest.SMTPRcpt, "bad2@x"}, {upstreamtest.SMTPRcpt, "bad3@x"},
		{upstreamtest.SMTPData, ""}, {upstreamtest.SMTPDot, ""}, {upstreamtest.SMTPRset, ""}, {upstreamtest.SMTPQuit, ""},
	}
	strays := []smtpReaction{{Mute: true}}
	for _, extra := range []string{"250 2.0.0 ok", "550 5.1.1 no such user", "451 4.3.0 later", "354 go on", "552 5.3.4 too large", "530 5.7.0 log in first"} {
		strays = append(strays, smtpReaction{Extra: extra}, smtpReaction{Extra: extra, Late: true})
	}
	for _, extensions := range [][]string{{"PIPELINING"}, {"8BITMIME"}} {
		for _, p := range positions {
			for _, do := range strays {
				t.Run(fmt.Sprintf("%s/%s %s/%s late=%v", extensions[0], p.stage, p.address, do.Extra, do.Late), func(t *testing.T) {
					t.Parallel()
					stray := &strayReply{stage: p.stage, address: p.address, do: do}
					relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: extensions, Users: map[string]string{"u": "p"}, React: stray.react})
					login := slices.Contains([]smtpStage{upstreamtest.SMTPGreeting, upstreamtest.SMTPEhlo, upstreamtest.SMTPAuth}, p.stage)
					size := p.stage == upstreamtest.SMTPData && strings.HasPrefix(do.Extra, "552") // a refusal for the size may come early
					checkInStep(t, relay, func(c upstream.Class) bool {
						return c == upstream.Temporary || login && c == upstream.Account || size && c == upstream.Unrepresentable
					})
				})
			}
		}
	}
}

func checkInStep(t *testing.T, relay *upstreamtest.SMTP, mayWait func(upstream.Class) bool) {
	u := openSMTP(t, relay, func(s *settings) {
		s.Username, s.Password, s.Timeout = "u", upstream.NewSecret("p"), upstream.Duration{Duration: 300 * time.Millisecond}
	})
	pending := [][]string{{"a1@x", "bad1@x", "b1@x", "bad2@x"}, {"bad3@x"}, {"a2@x"}, {"a3@x", "b3@x"}, {"bad4@x", "bad5@x"}, {"a4@x", "bad6@x"}, {"a5@x"}}
	for round := 0; len(pending) > 0; round++ {
		if round == 4 {
			t.Fatalf("%v are still not settled", pending)
		}
		var again [][]string
		for _, to := range pending {
			out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, to...))
			var rest []string
			for i, o := range out {
				if !settledRight(t, relay, to[i], o, mayWait) {
					rest = append(rest, to[i])
				}
			}
			if len(rest) > 0 {
				again = append(again, rest)
			}
		}
		pending = again
	}
}

// settledRight compares an outcome with what the relay did, and reports whether it settles the recipient.
func settledRight(t *testing.T, relay *upstreamtest.SMTP, address string, o upstream.Outcome, mayWait func(upstream.Class) bool) bool {
	taken := slices.ContainsFunc(relay.Taken(), func(m upstreamtest.SMTPTransaction) bool { return slices.Contains(m.Recipients(), address) })
	var e *upstream.Error
	switch {
	case o.Err == nil:
		if !taken {
			t.Errorf("%s counts as sent", address)
		}
		return true
	case !errors.As(o.Err, &e):
		t.Errorf("%s: %v", address, o.Err)
	case e.Class == upstream.Uncertain:
		return true // what follows is the gateway's
	case taken:
		t.Errorf("%s has it, and is told %v", address, o.Err)
	case e.Class == upstream.Permanent && strings.HasPrefix(address, "bad"):
		return true
	case !mayWait(e.Class):
		t.Errorf("%s: %v %v", address, e.Class, o.Err)
	}
	return false
}

// TestSMTPSpokeWhileIdle: what a relay says unasked is not taken for a reply to the next mail.
func TestSMTPSpokeWhileIdle(t *testing.T) {
	for _, mode := range []string{"", "starttls"} {
		relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: mode})
		u := openSMTP(t, relay, func(s *settings) {
			if mode != "" {
				s.TLS = mode
			}
		})
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@x")), "ok FAKE2")
		if n := relay.Dialed(); n != 1 {
			t.Fatalf("%d connections; nothing was pending", n)
		}
		relay.Say("550 5.1.1 no such user")
		await(t, "the reply arrives", func() bool {
			u.pool.mu.Lock()
			defer u.pool.mu.Unlock()
			return u.pool.idle[0].spoke()
		})
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "c@x")), "ok FAKE3")
		if n := relay.Dialed(); n != 2 {
			t.Errorf("%d connections, want another one", n)
		}
	}
}

// TestSMTPOneTooManyBetween: no command goes to a relay that has said something unasked, neither a first one nor
// that of a mail's next transaction.
func TestSMTPOneTooManyBetween(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Users: map[string]string{"u": "p"}, React: func(step smtpStep) smtpReaction {
		if step.Stage == upstreamtest.SMTPMail {
			t.Errorf("%q after one reply too many", step.Line)
		}
		return react(upstreamtest.SMTPAuth, "", smtpReaction{Extra: "550 5.1.1 no"})(step)
	}})
	u := openSMTP(t, relay, func(s *settings) { s.Username, s.Password = "u", upstream.NewSecret("p") })
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "temporary connect")

	stray := &strayReply{stage: upstreamtest.SMTPDot, do: smtpReaction{Extra: "550 5.1.1 no"}}
	relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"PIPELINING", "LIMITS RCPTMAX=1"}, React: stray.react})
	u = openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x", "b@x", "c@x")), "ok FAKE1", "ok FAKE2", "ok FAKE3")
	if n := relay.Dialed(); n != 2 {
		t.Errorf("%d connections, want 2", n)
	}
}

// TestSMTPEarlyReply: a success that comes before the message has gone is none, and nothing is sent after it.
func TestSMTPEarlyReply(t *testing.T) {
	large := upstreamtest.PlainMessage + strings.Repeat("large enough not to fit into any buffer\r\n", 1<<20)
	for reply, want := range map[string]string{"250 2.0.0 thanks": "temporary", "550 5.1.1 no": "temporary 550 5.1.1",
		"451 4.3.0 later": "temporary 451 4.3.0 outage", "552 5.3.4 too large": "unrepresentable 552 5.3.4"} {
		relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"PIPELINING"}, React: react(upstreamtest.SMTPBody, "", smtpReaction{Reply: reply})})
		u := openSMTP(t, relay, nil)
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, large, "a@x")), want)
		if n := relay.Count(); n != 0 {
			t.Errorf("%s: the message was taken", reply)
		}
	}
}
