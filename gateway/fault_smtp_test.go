package gateway

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/upstream/upstreamtest"
)

// relayFault is what a relay does at a stage of the dialog, so many times.
type relayFault struct {
	stage   upstreamtest.SMTPStage
	times   int
	address string // only of this recipient
	do      upstreamtest.SMTPReaction

	mu sync.Mutex
}

func (f *relayFault) react(step upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
	f.mu.Lock()
	defer f.mu.Unlock()
	if step.Stage != f.stage || f.times == 0 || (f.address != "" && step.Address != f.address) {
		return upstreamtest.SMTPReaction{}
	}
	f.times--
	return f.do
}

func relayConfig(relay *upstreamtest.SMTP, more string) string {
	return fmt.Sprintf("[queue]\nretry = [\"%dms\"]\n[[route]]\nvia = [\"main\"]\n[upstream.main]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\n%s",
		faultRetry.Milliseconds(), relay.Port, more)
}

// relayed counts the messages that a relay took for a recipient, and those whose reply it withheld.
func relayedTo(relay *upstreamtest.SMTP, to string) (taken, unanswered int) {
	for _, m := range relay.Taken() {
		if slices.Contains(m.Recipients(), to) {
			taken++
			if !m.Answered {
				unanswered++
			}
		}
	}
	return taken, unanswered
}

func reply(text string) upstreamtest.SMTPReaction { return upstreamtest.SMTPReaction{Reply: text} }

var dropped = upstreamtest.SMTPReaction{Drop: true}

func TestFaultsOfRelays(t *testing.T) {
	const retry = faultRetry * 85 / 100
	for _, c := range []struct {
		name     string
		fault    *relayFault
		class    string // of the first failure
		status   int
		attempts int // of a@; b@ too unless the fault was a@'s alone
		lost     int // replies withheld for a message that was taken
		wait     time.Duration
	}{
		{"421 as greeting", &relayFault{stage: upstreamtest.SMTPGreeting, times: 1, do: reply("421 4.3.2 shutting down")}, "temporary", 421, 2, 0, retry},
		{"554 as greeting", &relayFault{stage: upstreamtest.SMTPGreeting, times: 1, do: reply("554 5.3.2 no service")}, "temporary", 554, 2, 0, retry},
		{"dropped as greeting", &relayFault{stage: upstreamtest.SMTPGreeting, times: 1, do: dropped}, "temporary", 0, 2, 0, retry},
		{"silent as greeting", &relayFault{stage: upstreamtest.SMTPGreeting, times: 1, do: upstreamtest.SMTPReaction{Stall: true}}, "temporary", 0, 2, 0, retry},
		{"EHLO dropped", &relayFault{stage: upstreamtest.SMTPEhlo, times: 1, do: dropped}, "temporary", 0, 2, 0, retry},
		{"STARTTLS refused", &relayFault{stage: upstreamtest.SMTPStartTLS, times: 1, do: reply("454 4.7.0 TLS not available")}, "temporary", 454, 2, 0, retry},
		{"AUTH 454", &relayFault{stage: upstreamtest.SMTPAuth, times: 1, do: reply("454 4.7.0 try later")}, "temporary", 454, 2, 0, retry},
		{"AUTH 535", &relayFault{stage: upstreamtest.SMTPAuth, times: 1, do: reply("535 5.7.8 wrong")}, "account", 535, 2, 0, retry},
		{"MAIL 451", &relayFault{stage: upstreamtest.SMTPMail, times: 1, do: reply("451 4.3.0 not now")}, "temporary", 451, 2, 0, retry},
		{"MAIL dropped", &relayFault{stage: upstreamtest.SMTPMail, times: 1, do: dropped}, "temporary", 0, 2, 0, retry},
		{"MAIL throttled", &relayFault{stage: upstreamtest.SMTPMail, times: 1, do: reply("421 4.7.0 too many messages, slow down")}, "throttled", 421, 2, 0, retry},
		{"RCPT 450 of one", &relayFault{stage: upstreamtest.SMTPRcpt, times: 1, address: "a@example.org", do: reply("450 4.2.0 greylisted")}, "temporary", 450, 2, 0, retry},
		{"RCPT 452 of one", &relayFault{stage: upstreamtest.SMTPRcpt, times: 1, address: "a@example.org", do: reply("452 4.2.2 mailbox full")}, "temporary", 452, 2, 0, retry},
		{"RCPT 450 of all", &relayFault{stage: upstreamtest.SMTPRcpt, times: 2, do: reply("450 4.2.0 greylisted")}, "temporary", 450, 2, 0, retry},
		{"DATA 451", &relayFault{stage: upstreamtest.SMTPData, times: 1, do: reply("451 4.3.0 not now")}, "temporary", 451, 2, 0, retry},
		{"dropped before the message", &relayFault{stage: upstreamtest.SMTPBody, times: 1, do: dropped}, "temporary|uncertain", 0, 2, 0, retry},
		{"451 after the dot", &relayFault{stage: upstreamtest.SMTPDot, times: 1, do: reply("451 4.3.0 not now")}, "temporary", 451, 2, 0, retry},
		{"twice 451 after the dot", &relayFault{stage: upstreamtest.SMTPDot, times: 2, do: reply("451 4.3.0 not now")}, "temporary", 451, 3, 0, 2 * retry},
		{"reply to the dot lost", &relayFault{stage: upstreamtest.SMTPDot, times: 1, do: dropped}, "uncertain", 0, 2, 1, retry},
		{"QUIT dropped", &relayFault{stage: upstreamtest.SMTPQuit, times: 9, do: dropped}, "", 0, 1, 0, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"app": "pw"}, React: c.fault.react})
			more := fmt.Sprintf("username = \"app\"\npassword = \"pw\"\nca_file = %q\n", filepath.ToSlash(relay.CAFile))
			if c.fault.do.Stall {
				more += hasty
			}
			h := newHouse(t, relayConfig(relay, more))
			h.mustSend("x@example.com", []string{"a@example.org", "b@example.org"}, plainMail)
			var first firstFailure
			if c.class != "" {
				first = h.awaitFirst()
			}
			rec := h.sentRecord("a@example.org")
			h.sentRecord("b@example.org")
			if p := first.part.Progress; first.seen {
				if !strings.Contains("|"+c.class+"|", "|"+p.Class+"|") || p.Status != c.status || p.Error == "" || p.Uncertain != (p.Class == "uncertain") {
					t.Errorf("after the first attempt: %+v, want class %s, status %d", p, c.class, c.status)
				}
				if gap := rec.At.Sub(p.LastAttempt); gap < c.wait {
					t.Errorf("delivered %v after the first failure, want at least %v", gap, c.wait)
				}
			}
			if rec.Attempts != c.attempts {
				t.Errorf("%d attempts, want %d", rec.Attempts, c.attempts)
			}
			for _, to := range []string{"a@example.org", "b@example.org"} {
				if taken, unanswered := relayedTo(relay, to); taken != 1+c.lost || unanswered != c.lost {
					t.Errorf("%s got %d mails, %d without a reply; want %d and %d", to, taken, unanswered, 1+c.lost, c.lost)
				}
			}
			if taken, _ := relayedTo(relay, "x@example.com"); taken != 0 {
				t.Error("a bounce for trouble that was not the mail's")
			}
			if faults := relay.Faults(); len(faults) > 0 {
				t.Errorf("breaches of protocol: %q", faults)
			}
		})
	}
}

// What a relay says of a message or a recipient is final for these alone.
func TestRefusalsOfRelays(t *testing.T) {
	for _, c := range []struct {
		name   string
		fault  *relayFault
		status int
		all    bool // both recipients
	}{
		{"MAIL 550", &relayFault{stage: upstreamtest.SMTPMail, times: 1, do: reply("550 5.7.1 not from you")}, 550, true},
		{"RCPT 550 of one", &relayFault{stage: upstreamtest.SMTPRcpt, times: 1, address: "a@example.org", do: reply("550 5.1.1 no such user")}, 550, false},
		{"DATA 554", &relayFault{stage: upstreamtest.SMTPData, times: 1, do: reply("554 5.6.0 no")}, 554, true},
		{"554 after the dot", &relayFault{stage: upstreamtest.SMTPDot, times: 1, do: reply("554 5.6.0 spam")}, 554, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: c.fault.react})
			h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
			h.mustSend("x@example.com", []string{"a@example.org", "b@example.org"}, plainMail)
			h.await("the bounce", func() bool { n, _ := relayedTo(relay, "x@example.com"); return n == 1 })
			h.await("the failed mail", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
			p := h.waiting(envelope.Failed)[0]
			if p.Progress.Class != "permanent" || p.Progress.Status != c.status || !strings.HasPrefix(p.Progress.Enhanced, "5.") {
				t.Errorf("failed with %+v", p.Progress)
			}
			want := map[string]int{"a@example.org": 0, "b@example.org": 1}
			if c.all {
				want["b@example.org"] = 0
			}
			for to, n := range want {
				if taken, _ := relayedTo(relay, to); taken != n {
					t.Errorf("%s got %d mails, want %d", to, taken, n)
				}
			}
			bounce := string(relay.Taken()[len(relay.Taken())-1].Data)
			if !strings.Contains(bounce, "Final-Recipient: rfc822; a@example.org") || strings.Contains(bounce, "rfc822; b@example.org") != c.all ||
				!strings.Contains(bounce, fmt.Sprintf("Diagnostic-Code: smtp; %d ", c.status)) {
				t.Errorf("bounce:\n%s", bounce)
			}
		})
	}
}

func TestReloadHealsRelays(t *testing.T) {
	for _, c := range []struct {
		name, bad, good string
		class           string
	}{
		{"wrong password", "password = \"wrong\"\nca_file = %q\n", "password = \"pw\"\nca_file = %q\n", "account"},
		{"unknown certificate", "password = \"pw\"\n# %q\n", "password = \"pw\"\nca_file = %q\n", "temporary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{TLS: "starttls", Users: map[string]string{"app": "pw"}})
			config := func(form string) string {
				return relayConfig(relay, "username = \"app\"\n"+fmt.Sprintf(form, filepath.ToSlash(relay.CAFile)))
			}
			h := newHouse(t, config(c.bad))
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			if f := h.awaitFirst(); f.seen && (f.part.Progress.Class != c.class || f.part.Progress.Uncertain) {
				t.Errorf("after the first attempt: %+v, want class %s", f.part.Progress, c.class)
			}
			h.write(config(c.good))
			if err := h.g.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			h.sentRecord("a@example.org")
			if taken, _ := relayedTo(relay, "a@example.org"); taken != 1 {
				t.Errorf("%d deliveries", taken)
			}
		})
	}
}

// A relay that offers DSN is told of NOTIFY and answers itself; for others a note says that the mail
// went where no further one comes from.
func TestSuccessNotifications(t *testing.T) {
	for _, c := range []struct {
		name       string
		extensions []string
		notes      int
	}{
		{"DSN", []string{"PIPELINING", "DSN"}, 0},
		{"no DSN", []string{"PIPELINING"}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: c.extensions})
			h := newHouse(t, relayConfig(relay, "tls = \"none\"\n"))
			h.dialog("MAIL FROM:<x@example.com> ENVID=q1", "RCPT TO:<a@example.org> NOTIFY=SUCCESS,FAILURE", "RCPT TO:<b@example.org>")
			h.sentRecord("a@example.org")
			h.sentRecord("b@example.org")
			if c.notes == 0 {
				if to := relay.Taken()[0].To; !slices.Contains(to[0].Params, "NOTIFY=SUCCESS,FAILURE") {
					t.Errorf("recipients %+v", to)
				}
			} else {
				h.sentRecord("x@example.com")
				note := string(relay.Taken()[1].Data)
				if !strings.Contains(note, "Action: relayed") || !strings.Contains(note, "Original-Envelope-Id: q1") ||
					strings.Contains(note, "Final-Recipient: rfc822; b@example.org") {
					t.Errorf("note:\n%s", note)
				}
			}
			if taken, _ := relayedTo(relay, "x@example.com"); taken != c.notes {
				t.Errorf("%d notifications, want %d", taken, c.notes)
			}
		})
	}
}

// One reply too many after a mail, at once or in front of the next mail's replies, refuses nobody of the next mail.
func TestReplyTooManyShiftsNothing(t *testing.T) {
	for _, late := range []bool{false, true} {
		for _, stage := range []upstreamtest.SMTPStage{upstreamtest.SMTPDot, upstreamtest.SMTPRcpt, upstreamtest.SMTPData} {
			t.Run(fmt.Sprintf("%s late=%v", stage, late), func(t *testing.T) {
				t.Parallel()
				fault := &relayFault{stage: stage, times: 1, do: upstreamtest.SMTPReaction{Extra: "550 5.1.1 no such user", Late: late}}
				relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: fault.react})
				h := newHouse(t, relayConfig(relay, "tls = \"none\"\nmax_concurrent = 1\n"))
				for _, to := range []string{"a@example.org", "b@example.org", "c@example.org"} {
					h.mustSend("x@example.com", []string{to}, plainMail)
					h.sentRecord(to)
				}
				if taken, _ := relayedTo(relay, "x@example.com"); taken != 0 || len(h.waiting(envelope.Failed)) > 0 {
					t.Errorf("%d bounces for good recipients: %+v", taken, h.waiting(envelope.Failed))
				}
				for _, to := range []string{"b@example.org", "c@example.org"} {
					if taken, _ := relayedTo(relay, to); taken != 1 {
						t.Errorf("%s got %d mails", to, taken)
					}
				}
			})
		}
	}
}
