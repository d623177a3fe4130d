package smtp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"mailhatch/mime/wire"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
)

type (
	smtpStep     = upstreamtest.SMTPStep
	smtpReaction = upstreamtest.SMTPReaction
	smtpStage    = upstreamtest.SMTPStage
)

// at reacts at one stage, for one address where it is given.
func react(stage smtpStage, address string, re smtpReaction) func(smtpStep) smtpReaction {
	return func(step smtpStep) smtpReaction {
		if step.Stage == stage && (address == "" || step.Address == address) {
			return re
		}
		return smtpReaction{}
	}
}

// smtpFailure is a script and what must become of a mail to a@x, b@x and c@x.
type smtpFailure struct {
	name  string
	react func(smtpStep) smtpReaction
	want  []string // one word for all three, or three
	taken int      // recipients who get the message
}

func replyWith(s string) smtpReaction { return smtpReaction{Reply: s} }

// smtpEarlyFailures come before any recipient is known.
func smtpEarlyFailures() []smtpFailure {
	const none = 0
	drop := smtpReaction{Drop: true}
	return []smtpFailure{
		{"greeting 554", react(upstreamtest.SMTPGreeting, "", replyWith("554 5.3.2 go away")), []string{"temporary 554 5.3.2 connect"}, none},
		{"greeting 421", react(upstreamtest.SMTPGreeting, "", replyWith("421 4.3.2 shutting down")), []string{"temporary 421 4.3.2 connect"}, none},
		{"greeting 421 rate", react(upstreamtest.SMTPGreeting, "", replyWith("421 4.7.0 Too many connections")), []string{"throttled 421 4.7.0"}, none},
		{"greeting dropped", react(upstreamtest.SMTPGreeting, "", drop), []string{"temporary connect"}, none},
		{"greeting garbage", react(upstreamtest.SMTPGreeting, "", replyWith("HTTP/1.1 400 Bad Request")), []string{"temporary connect"}, none},
		{"ehlo dropped", react(upstreamtest.SMTPEhlo, "", drop), []string{"temporary connect"}, none},
		{"mail 4yz", react(upstreamtest.SMTPMail, "", replyWith("451 4.3.0 later")), []string{"temporary 451 4.3.0 outage"}, none},
		{"mail 5yz", react(upstreamtest.SMTPMail, "", replyWith("553-5.1.8 no such\n553 5.1.8 domain")), []string{"permanent 553 5.1.8"}, none},
		{"mail too large", react(upstreamtest.SMTPMail, "", replyWith("552 5.3.4 too big")), []string{"unrepresentable 552 5.3.4"}, none},
		{"mail 530", react(upstreamtest.SMTPMail, "", replyWith("530 5.7.0 Must issue a STARTTLS command first")), []string{"account 530 5.7.0"}, none},
		{"mail not our sender", react(upstreamtest.SMTPMail, "", replyWith("553 5.7.1 <a@example.com>: Sender address rejected: not owned by user x")),
			[]string{"account 553 5.7.1 sender"}, none},
		{"mail 421", react(upstreamtest.SMTPMail, "", replyWith("421 4.4.2 bye")), []string{"temporary 421 4.4.2"}, none},
		{"mail dropped", react(upstreamtest.SMTPMail, "", drop), []string{"temporary connect"}, none},
		{"mail garbage", react(upstreamtest.SMTPMail, "", replyWith("hello there")), []string{"temporary connect"}, none},
		{"mail mixed codes", react(upstreamtest.SMTPMail, "", replyWith("250-a\n450 b")), []string{"temporary connect"}, none},
		{"mail endless reply", react(upstreamtest.SMTPMail, "", replyWith(strings.Repeat("250-a\n", 200)+"250 b")), []string{"temporary connect"}, none},
		{"mail endless line", react(upstreamtest.SMTPMail, "", replyWith("250 "+strings.Repeat("x", 5000))), []string{"temporary connect"}, none},
		{"refused MAIL, allowed DATA", func(step smtpStep) smtpReaction {
			if step.Stage == upstreamtest.SMTPMail {
				return replyWith("550 5.1.8 no")
			}
			return replyWith("")
		}, []string{"permanent 550 5.1.8"}, none},
		{"dropped at the lone dot", func(step smtpStep) smtpReaction {
			switch step.Stage {
			case upstreamtest.SMTPData:
				return smtpReaction{Reply: "354 go on", Drop: true}
			case upstreamtest.SMTPRcpt:
				return replyWith("550 5.1.1 no")
			}
			return replyWith("")
		}, []string{"permanent 550 5.1.1"}, none},
	}
}

// smtpLateFailures are those of recipients and of the message.
func smtpLateFailures() []smtpFailure {
	const all, none = 3, 0
	drop := smtpReaction{Drop: true}
	return []smtpFailure{
		{"one recipient 550", react(upstreamtest.SMTPRcpt, "b@x", replyWith("550 5.1.1 no such user")),
			[]string{"ok FAKE1", "permanent 550 5.1.1", "ok FAKE1"}, 2},
		{"one recipient 450", react(upstreamtest.SMTPRcpt, "c@x", replyWith("450 4.2.0 greylisted")),
			[]string{"ok FAKE1", "ok FAKE1", "temporary 450 4.2.0"}, 2},
		{"one recipient relay denied", react(upstreamtest.SMTPRcpt, "a@x", replyWith("554 5.7.1 Relay access denied")),
			[]string{"permanent 554 5.7.1", "ok FAKE1", "ok FAKE1"}, 2},
		{"all recipients relay denied", react(upstreamtest.SMTPRcpt, "", replyWith("554 5.7.1 Relay access denied")),
			[]string{"account 554 5.7.1 sender"}, none},
		{"all recipients refused", react(upstreamtest.SMTPRcpt, "", replyWith("550 no such user")), []string{"permanent 550"}, none},
		{"recipient 421", react(upstreamtest.SMTPRcpt, "b@x", replyWith("421 4.3.2 bye")), []string{"temporary 421 4.3.2"}, none},
		{"recipient dropped", react(upstreamtest.SMTPRcpt, "b@x", drop), []string{"temporary"}, none},
		{"first refused, then dropped", func(step smtpStep) smtpReaction {
			if step.Address == "a@x" {
				return replyWith("550 5.1.1 no")
			}
			return react(upstreamtest.SMTPRcpt, "b@x", drop)(step)
		}, []string{"permanent 550 5.1.1", "temporary", "temporary"}, none},
		{"recipient 354", react(upstreamtest.SMTPRcpt, "b@x", replyWith("354 go on")), []string{"temporary"}, none},
		{"data 451", react(upstreamtest.SMTPData, "", replyWith("451 4.3.0 no")), []string{"temporary 451 4.3.0 outage"}, none},
		{"data 554", react(upstreamtest.SMTPData, "", replyWith("554 5.5.1 no")), []string{"permanent 554 5.5.1"}, none},
		{"data 250", react(upstreamtest.SMTPData, "", replyWith("250 what")), []string{"temporary"}, none},
		{"data dropped", react(upstreamtest.SMTPData, "", drop), []string{"temporary"}, none},
		{"354 without recipients", func(step smtpStep) smtpReaction {
			if step.Stage == upstreamtest.SMTPData {
				return replyWith("354 go on")
			}
			return react(upstreamtest.SMTPRcpt, "", replyWith("550 5.1.1 no"))(step)
		}, []string{"permanent 550 5.1.1"}, none},
		{"dot 451", react(upstreamtest.SMTPDot, "", replyWith("451 4.3.0 later")), []string{"temporary 451 4.3.0 outage"}, none},
		{"dot 421", react(upstreamtest.SMTPDot, "", replyWith("421 4.3.2 later")), []string{"temporary 421 4.3.2 outage"}, none},
		{"dot throttled", react(upstreamtest.SMTPDot, "", replyWith("454 4.7.0 Throttling failure: Maximum sending rate exceeded")),
			[]string{"throttled 454 4.7.0"}, none},
		{"dot quota", react(upstreamtest.SMTPDot, "", replyWith("550 5.4.5 Daily user sending limit exceeded")), []string{"throttled 550 5.4.5"}, none},
		{"dot spam", react(upstreamtest.SMTPDot, "", replyWith("554 5.7.1 spam")), []string{"permanent 554 5.7.1"}, none},
		{"dot not verified", react(upstreamtest.SMTPDot, "", replyWith("554 Message rejected: Email address is not verified.")),
			[]string{"account 554 sender"}, none},
		{"dot dropped", react(upstreamtest.SMTPDot, "", drop), []string{"uncertain"}, all},
		{"dot garbage", react(upstreamtest.SMTPDot, "", replyWith("2")), []string{"uncertain"}, all},
		{"dot odd code", react(upstreamtest.SMTPDot, "", replyWith("354 more?")), []string{"uncertain"}, all},
		{"success without words", react(upstreamtest.SMTPDot, "", replyWith("250")), []string{"ok"}, all},
	}
}

func TestSMTPFailures(t *testing.T) {
	for _, test := range append(smtpEarlyFailures(), smtpLateFailures()...) {
		for _, extensions := range [][]string{nil, {"8BITMIME"}} {
			name := test.name
			if extensions != nil {
				name += ", no pipelining"
			}
			t.Run(name, func(t *testing.T) {
				relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: test.react, Extensions: extensions})
				u := openSMTP(t, relay, nil)
				out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x", "b@x", "c@x"))
				want := test.want
				if len(want) == 1 {
					want = slices.Repeat(want, 3)
				}
				upstreamtest.CheckOutcomes(t, out, want...)
				taken := 0
				for _, m := range relay.Taken() {
					taken += len(m.To)
				}
				if taken != test.taken {
					t.Errorf("%d recipients get it, want %d", taken, test.taken)
				}
				checkFaults(t, relay)
			})
		}
	}
}

// TestSMTPRefusalThatRepeatsTheMail: words that a mail brings along close nothing.
func TestSMTPRefusalThatRepeatsTheMail(t *testing.T) {
	for reply, want := range map[string]string{
		"554 5.7.1 Phishing: Your account has been suspended": "temporary 554 5.7.1",
		"554 spam: slow down, rate limit exceeded":            "temporary 554",
		"554 5.7.1 Rate limit exceeded for you":               "throttled 554 5.7.1",
		"550 5.4.5 slow down, rate limit exceeded":            "throttled 550 5.4.5", // by its code
		"554 5.7.1 Our list of phrases has: has been":         "permanent 554 5.7.1",
	} {
		relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPDot, "", replyWith(reply))})
		u := openSMTP(t, relay, nil)
		message := "From: Slow down <a@b.test>\r\nSubject: Your account has been suspended\r\nX-Note: spam: slow down, rate limit exceeded\r\n\r\nhi\r\n"
		if want == "throttled 554 5.7.1" {
			message = upstreamtest.PlainMessage
		}
		upstreamtest.CheckOutcomes(t, u.Send(t.Context(), upstreamtest.NewMail(t, message, "a@x")), want)
	}
}

func TestSMTPDropInBody(t *testing.T) {
	large := upstreamtest.PlainMessage + strings.Repeat("large enough not to fit into any buffer\r\n", 1<<20)
	for _, test := range []struct {
		name string
		re   smtpReaction
		want string
	}{
		{"dropped", smtpReaction{Drop: true}, "temporary"},
		{"silent", smtpReaction{Stall: true}, "temporary"},
		{"refused meanwhile", smtpReaction{Reply: "552 5.3.4 too much", Stall: true}, "unrepresentable 552 5.3.4"},
		{"odd words meanwhile", smtpReaction{Reply: "250 thanks", Stall: true}, "temporary"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"PIPELINING"}, React: react(upstreamtest.SMTPBody, "", test.re)})
			u := openSMTP(t, relay, func(s *settings) { s.Timeout = hasty })
			upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, large, "a@x")), test.want)
		})
	}
}

func TestSMTPTooLarge(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"SIZE 64"}})
	u := openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x", "b@x")), "unrepresentable 552 5.3.4", "unrepresentable 552 5.3.4")
	relay = upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: []string{"SIZE 65"}})
	u = openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x")), "ok FAKE1")
}

func TestSMTPManyRecipients(t *testing.T) {
	var many []string
	for i := range 250 {
		many = append(many, "r"+strings.Repeat("x", i%7)+string(rune('a'+i%26))+"@x"+strings.Repeat("y", i/26))
	}
	for _, test := range []struct {
		name         string
		extensions   []string
		limit        int
		reply        string
		transactions int
	}{
		{"no limit", []string{"PIPELINING"}, 1000, "", 1},
		{"452", []string{"PIPELINING"}, 100, "452 4.5.3 too many recipients", 3},
		{"452 without code and pipelining", []string{"8BITMIME"}, 100, "452 too many", 3},
		{"552", []string{"PIPELINING"}, 120, "552 5.5.3 too many", 3},
		{"LIMITS", []string{"PIPELINING", "LIMITS RCPTMAX=125 MAILMAX=1 X=0"}, 125, "550 5.5.3 over the limit", 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			counts := map[[2]int]int{}
			lock := make(chan struct{}, 1)
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Extensions: test.extensions, React: func(step smtpStep) smtpReaction {
				if step.Stage != upstreamtest.SMTPRcpt {
					return smtpReaction{}
				}
				lock <- struct{}{}
				defer func() { <-lock }()
				counts[[2]int{step.Conn, step.Transaction}]++
				if counts[[2]int{step.Conn, step.Transaction}] > test.limit {
					return smtpReaction{Reply: test.reply}
				}
				return smtpReaction{}
			}})
			u := openSMTP(t, relay, nil)
			for i, o := range u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, many...)) {
				if o.Err != nil {
					t.Fatalf("%s: %v", many[i], o.Err)
				}
			}
			var got []string
			for _, m := range relay.Taken() {
				got = append(got, m.Recipients()...)
			}
			slices.Sort(got)
			want := slices.Sorted(slices.Values(many))
			if !slices.Equal(got, want) {
				t.Errorf("%d of %d recipients", len(got), len(want))
			}
			if n := len(relay.Taken()); n != test.transactions {
				t.Errorf("%d transactions, want %d", n, test.transactions)
			}
			checkFaults(t, relay)
		})
	}
}

// TestSMTPTooManyForTheMessage: relays that count recipients at DATA or behind the message get it again for fewer,
// and later mail is divided from the beginning.
func TestSMTPTooManyForTheMessage(t *testing.T) {
	to := []string{"bad@x"}
	for i := range 60 {
		to = append(to, fmt.Sprintf("r%d@x", i))
	}
	for name, test := range map[string]struct {
		stage upstreamtest.SMTPStage
		reply string
	}{
		"at DATA":        {upstreamtest.SMTPData, "554 5.5.3 Too many recipients"},
		"at the dot":     {upstreamtest.SMTPDot, "554 Transaction failed: Recipient count exceeds 20."},
		"temporary ones": {upstreamtest.SMTPDot, "452 4.5.3 too many recipients for one message"},
	} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			counts := map[[2]int]int{}
			refusals := 0
			relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(step smtpStep) smtpReaction {
				mu.Lock()
				defer mu.Unlock()
				key := [2]int{step.Conn, step.Transaction}
				switch {
				case step.Stage == upstreamtest.SMTPRcpt && step.Address == "bad@x":
					return smtpReaction{Reply: "550 5.1.1 no such user"}
				case step.Stage == upstreamtest.SMTPRcpt:
					counts[key]++
				case step.Stage == test.stage && counts[key] > 20:
					refusals++
					return smtpReaction{Reply: test.reply}
				}
				return smtpReaction{}
			}})
			u := openSMTP(t, relay, nil)
			for round := range 2 {
				out := u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, to...))
				if got := upstreamtest.Describe(out[:1])[0]; got != "permanent 550 5.1.1" {
					t.Errorf("the bad one: %s", got)
				}
				for i, o := range out[1:] {
					if o.Err != nil {
						t.Fatalf("%d: %v", i, o.Err)
					}
				}
				if refusals != 2 { // 60, 30, and then 15 at once
					t.Errorf("round %d: %d refusals", round, refusals)
				}
			}
			if n := len(relay.Taken()); n < 8 || n > 10 {
				t.Errorf("%d messages", n)
			}
			checkFaults(t, relay)
		})
	}
}

// TestSMTPTooManyOfOne: what cannot be divided waits.
func TestSMTPTooManyOfOne(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPDot, "", smtpReaction{Reply: "554 recipient count exceeds 0"})})
	u := openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x", "b@x", "c@x")),
		"temporary 554", "temporary 554", "temporary 554")
}

func TestSMTPTooManyAndNoProgress(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: react(upstreamtest.SMTPRcpt, "", smtpReaction{Reply: "452 4.5.3 too many"})})
	u := openSMTP(t, relay, nil)
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a@x", "b@x")), "temporary 452 4.5.3", "temporary 452 4.5.3")
}

func TestSMTPUnrepresentable(t *testing.T) {
	const eightBit = "Subject: x\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n"
	const signed = "Content-Type: multipart/signed; protocol=\"application/pgp-signature\"; boundary=x\r\n\r\n--x\r\n" +
		"Content-Type: text/plain\r\nContent-Transfer-Encoding: 8bit\r\n\r\n\xc3\xbc\r\n--x\r\nContent-Type: application/pgp-signature\r\n\r\nsig\r\n--x--\r\n"
	sevenBit := upstreamtest.SMTPOptions{Extensions: []string{"PIPELINING", "SIZE"}}
	t.Run("8-bit is encoded", func(t *testing.T) {
		relay := upstreamtest.NewSMTP(t, sevenBit)
		u := openSMTP(t, relay, nil)
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, eightBit, "a@x")), "ok FAKE1")
		got := relay.Taken()[0].Data
		if wire.Has8Bit(got) || !strings.Contains(string(got), "=C3=BC") {
			t.Errorf("%q", got)
		}
		checkFaults(t, relay)
	})
	for _, test := range []struct {
		name, source string
		mail         upstream.Mail
		want         []string
	}{
		{"signed 8-bit", signed, upstream.Mail{From: "a@x", To: []upstream.Recipient{{Address: "b@x"}}}, []string{"unrepresentable 554 5.6.3"}},
		{"sender", upstreamtest.PlainMessage, upstream.Mail{From: "ä@x", To: []upstream.Recipient{{Address: "b@x"}, {Address: "c@x"}}},
			[]string{"unrepresentable 553 5.6.7", "unrepresentable 553 5.6.7"}},
		{"one recipient", upstreamtest.PlainMessage, upstream.Mail{From: "a@x", To: []upstream.Recipient{{Address: "b@x"}, {Address: "ä@x"}}},
			[]string{"ok FAKE1", "unrepresentable 553 5.6.7"}},
		{"header", "Subject: \xc3\xa4\r\n\r\n", upstream.Mail{From: "a@x", UTF8: true, To: []upstream.Recipient{{Address: "b@x"}}}, []string{"unrepresentable 553 5.6.7"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			relay := upstreamtest.NewSMTP(t, sevenBit)
			u := openSMTP(t, relay, nil)
			test.mail.Message = upstreamtest.ParseMessage(t, test.source)
			upstreamtest.CheckOutcomes(t, u.Send(context.Background(), &test.mail), test.want...)
			checkFaults(t, relay)
		})
	}
}

func TestSMTPBadAddresses(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	u := openSMTP(t, relay, nil)
	bad := []string{"", "a@x\r\nDATA", "a b@x", "<a@x>", "a@x>", "a@x> NOTIFY=NEVER", "a@", "@x", "\"a@x", "\"a\"b@x", "a\"b\"@x", "a@b@c",
		"a\x00@x", "a@x y", "\xff@x", "a,b@x", "a@x,b@y", "a@\u00a0", strings.Repeat("a", 600) + "@x", "a\\@x", "\"a\nb\"@x", "a@\"x\""}
	m := upstreamtest.NewMail(t, upstreamtest.PlainMessage, append(slices.Clone(bad), "good@x")...)
	for i, o := range u.Send(context.Background(), m) {
		var e *upstream.Error
		switch {
		case i == len(bad) && o.Err != nil:
			t.Errorf("the good one: %v", o.Err)
		case i < len(bad) && (!errors.As(o.Err, &e) || e.Class != upstream.Permanent || e.Code != "5.1.3"):
			t.Errorf("%q: %v", bad[i], o.Err)
		}
	}
	for _, from := range bad[1:] {
		m := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "good@x")
		m.From = from
		upstreamtest.CheckOutcomes(t, u.Send(context.Background(), m), "permanent 5.1.7")
		if err := u.Preflight(m); err == nil {
			t.Errorf("Preflight lets %q pass", from)
		}
	}
	if n := relay.Count(); n != 1 {
		t.Errorf("%d messages", n)
	}
	upstreamtest.CheckOutcomes(t, u.Send(context.Background(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a b@x")), "permanent 5.1.3")
	if err := u.Preflight(upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a b@x", "c@x")); err != nil {
		t.Errorf("Preflight with one good recipient: %v", err)
	}
	if err := u.Preflight(upstreamtest.NewMail(t, upstreamtest.PlainMessage, "a b@x")); err == nil {
		t.Error("Preflight without good recipients passes")
	}
	checkFaults(t, relay)
}
