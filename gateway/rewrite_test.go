package gateway

import (
	"errors"
	"fmt"
	"net/textproto"
	"slices"
	"strings"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream/upstreamtest"
)

// rewriteHouse is a gateway with rewrite rules before a relay that refuses some recipients.
func rewriteHouse(t *testing.T, rules string, refused ...string) (*house, *upstreamtest.SMTP) {
	t.Helper()
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{React: func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		if s.Stage == upstreamtest.SMTPRcpt && slices.Contains(refused, s.Address) {
			return upstreamtest.SMTPReaction{Reply: "550 5.1.1 no such user"}
		}
		return upstreamtest.SMTPReaction{}
	}})
	return newHouse(t, fmt.Sprintf("%s\n[[route]]\nvia = [\"main\"]\n[upstream.main]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\npass_control_headers = false\n", rules, relay.Port)), relay
}

// replyCode returns the SMTP code of an error of a client.
func replyCode(err error) int {
	var e *textproto.Error
	if errors.As(err, &e) {
		return e.Code
	}
	return 0
}

const stagingRules = `
[[rewrite]]
to = ["!*@corp.example"]
subject_prefix = "[staging]"
redirect_to = ["qa"]
[aliases]
qa = "qa@corp.example"
[[route]]
to = ["!*@corp.example"]
reject = "550 5.7.1 not from here"
`

func TestStagingShowsNoHiddenRecipient(t *testing.T) {
	h, relay := rewriteHouse(t, stagingRules)
	msg := "From: x@corp.example\nTo: Ann <ann@example.org>\nCc: in@corp.example\nSubject: hi\n\nhello\n"
	h.mustSend("x@corp.example", []string{"ann@example.org", "hidden@example.org", "in@corp.example"}, msg)
	h.await("the first", func() bool { return relay.Count() == 1 })
	h.mustSend("x@corp.example", []string{"hidden@example.org"}, msg)
	h.await("both", func() bool { return relay.Count() == 2 })
	if !strings.Contains(h.log.String(), `rewritten="[rewrite 1]"`) {
		t.Error("the log does not tell of the rule")
	}
	for i, want := range [][]string{{"qa@corp.example", "in@corp.example"}, {"qa@corp.example"}} {
		m := relay.Taken()[i]
		text := string(m.Data)
		if !slices.Equal(m.Recipients(), want) || strings.Contains(text, "hidden") || !strings.Contains(text, "Subject: [staging] hi\r\n") {
			t.Errorf("to %q:\n%s", m.Recipients(), text)
		}
		if told := strings.Contains(text, "X-Original-To: ann@example.org\r\n"); told != (i == 0) {
			t.Errorf("X-Original-To in message %d:\n%s", i, text)
		}
		if !strings.Contains(text, "\r\n\r\nhello\r\n") || !strings.Contains(text, "To: Ann <ann@example.org>\r\nCc: in@corp.example\r\n") {
			t.Errorf("the rest was changed:\n%s", text)
		}
	}
}

// TestRulesSteerProviders: what the operator's rules say to a provider reaches it, what programs say does not.
func TestRulesSteerProviders(t *testing.T) {
	h, relay := rewriteHouse(t, `
[[rewrite]]
from = ["*@local.example"]
map_sender = { "*@local.example" = "*@public.example" }
set_header = { X-SES-CONFIGURATION-SET = "cs-*" }
`)
	h.mustSend("app@local.example", []string{"a@example.org"}, "From: App <app@local.example>\nX-SES-Configuration-Set: evil\nX-SES-Message-Tags: evil\n\nhello\n")
	h.mustSend("app@other.example", []string{"a@example.org"}, "From: App <app@other.example>\nX-SES-Configuration-Set: evil\n\nhello\n")
	h.await("both", func() bool { return relay.Count() == 2 })
	for _, m := range relay.Taken() {
		ruled := m.From == "app@public.example"
		if got := string(m.Data); strings.Contains(got, "evil") || strings.Contains(got, "X-SES-CONFIGURATION-SET: cs-app\r\n") != ruled ||
			strings.Contains(got, "From: App <app@public.example>\r\n") != ruled {
			t.Errorf("from %s\n%s", m.From, got)
		}
	}
}

// TestReceivedIsHidden: a relay of received = "hide" learns nothing of the way before the gateway.
func TestReceivedIsHidden(t *testing.T) {
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{})
	h := newHouse(t, fmt.Sprintf("[upstream.main]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = %d\ntls = \"none\"\nreceived = \"hide\"\n[[route]]\nvia = [\"main\"]\n", relay.Port))
	h.mustSend("app@local.example", []string{"a@example.org"}, "Received: from pc7.inside\n by mx.inside\nReceived: by pc7.inside\nFrom: a@b.example\n\nhello\n")
	h.await("it", func() bool { return relay.Count() == 1 })
	got := string(relay.Taken()[0].Data)
	if strings.Count(got, "Received:") != 1 || strings.Contains(got, "inside") || strings.Contains(got, "127.0.0.1") || !strings.HasPrefix(got, "Received: by ") {
		t.Error(got)
	}
}

func TestArchiveCopies(t *testing.T) {
	const rules = "[[rewrite]]\nadd_bcc = [\"arc@corp.example\"]\n"
	const msg = "From: x@corp.example\nTo: a@example.org\n\nhello\n"
	t.Run("hidden", func(t *testing.T) {
		h, relay := rewriteHouse(t, rules)
		h.mustSend("x@corp.example", []string{"a@example.org"}, msg)
		h.await("both", func() bool { return len(h.ended(envelope.Sent)) == 2 })
		for _, m := range relay.Taken() {
			if strings.Contains(string(m.Data), "arc@") {
				t.Errorf("the copy shows:\n%s", m.Data)
			}
			for _, r := range m.To {
				if r.Address == "arc@corp.example" && !slices.Contains(r.Params, "NOTIFY=NEVER") {
					t.Errorf("%q", r)
				}
			}
		}
	})
	t.Run("the copy fails", func(t *testing.T) {
		h, relay := rewriteHouse(t, rules, "arc@corp.example")
		h.mustSend("x@corp.example", []string{"a@example.org"}, msg)
		h.await("the failed copy, which is kept", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
		h.mustSend("x@corp.example", []string{"b@example.org"}, msg)
		h.await("the next", func() bool { return slices.Equal(h.ended(envelope.Sent), []string{"a@example.org", "b@example.org"}) })
		for _, m := range relay.Taken() {
			if m.From == "" {
				t.Errorf("a bounce:\n%s", m.Data)
			}
		}
	})
	t.Run("both fail", func(t *testing.T) {
		h, relay := rewriteHouse(t, rules, "arc@corp.example", "a@example.org")
		h.mustSend("x@corp.example", []string{"a@example.org"}, msg)
		h.await("the bounce", func() bool { return relay.Count() == 1 })
		bounce := relay.Taken()[0]
		if text := string(bounce.Data); bounce.From != "" || strings.Contains(text, "arc@") || !strings.Contains(text, "a@example.org") || !slices.Equal(bounce.Recipients(), []string{"x@corp.example"}) {
			t.Errorf("the bounce to %q:\n%s", bounce.Recipients(), text)
		}
	})
	t.Run("the routes refuse", func(t *testing.T) {
		h, relay := rewriteHouse(t, rules+"[[route]]\nto = [\"no@*\"]\nheader_from = [\"*\"]\nreject = \"550 5.7.1 no\"\n")
		if err := h.send("x@corp.example", []string{"no@example.org"}, msg); replyCode(err) != 550 {
			t.Errorf("the answer is %v", err)
		}
		if n := relay.Count(); n != 0 {
			t.Errorf("%d messages: an archive of mail that was refused", n)
		}
	})
	t.Run("the routes refuse the copy", func(t *testing.T) {
		h, relay := rewriteHouse(t, rules+"[[route]]\nto = [\"arc@*\"]\nreject = \"550 5.7.1 no\"\n")
		h.mustSend("x@corp.example", []string{"a@example.org"}, msg)
		h.await("the mail", func() bool { return relay.Count() == 1 && len(h.waiting(envelope.Failed)) == 1 })
		if to := relay.Taken()[0].Recipients(); !slices.Equal(to, []string{"a@example.org"}) {
			t.Errorf("to %q", to)
		}
	})
}

func TestArchiveCopiesOfDirectMail(t *testing.T) {
	const rules = "[[listener]]\naddress = \"ADDR\"\nmode = \"direct\"\n[[rewrite]]\nadd_bcc = [\"arc@corp.example\"]\n"
	const msg = "From: x@corp.example\nTo: a@example.org\n\nhello\n"
	h, relay := rewriteHouse(t, rules, "no@example.org")
	if err := h.send("x@corp.example", []string{"no@example.org"}, msg); replyCode(err) != 550 {
		t.Errorf("the answer is %v", err)
	}
	if n := relay.Count(); n != 0 {
		t.Errorf("%d messages: an archive of mail that was refused", n)
	}
	h.mustSend("x@corp.example", []string{"a@example.org"}, msg)
	if n := relay.Count(); n != 2 {
		t.Errorf("%d messages", n)
	}

	h, relay = rewriteHouse(t, rules, "arc@corp.example")
	h.mustSend("x@corp.example", []string{"a@example.org"}, msg)
	h.await("the failed copy, which is kept", func() bool { return len(h.waiting(envelope.Failed)) == 1 })
	if n := relay.Count(); n != 1 {
		t.Errorf("%d messages", n)
	}
}

func TestRewriteRulesSeeSizes(t *testing.T) {
	h, relay := rewriteHouse(t, "[[rewrite]]\nmin_size = \"200KB\"\nset_header = { \"X-Large\" = \"yes\" }\n")
	large := strings.Repeat(strings.Repeat("x", 78)+"\n", 300_000/79)
	for i, body := range []string{"small\n", large} {
		h.mustSend("x@corp.example", []string{"a@example.org"}, "Subject: s\n\n"+body)
		h.await("it", func() bool { return relay.Count() == i+1 })
		text := string(relay.Taken()[i].Data)
		if strings.Contains(text, "X-Large: yes") != (i == 1) || !strings.HasSuffix(text, "\r\n\r\n"+strings.ReplaceAll(body, "\n", "\r\n")) {
			t.Errorf("message %d of %d bytes", i, len(text))
		}
	}
}

// A bounce keeps the null sender, is redirected as all mail, and is not bounced when that fails.
func TestRewriteRulesAndBounces(t *testing.T) {
	const rules = "[[rewrite]]\nset_envelope_from = \"bounces@corp.example\"\nset_from = \"App <app@corp.example>\"\n[[rewrite]]\nredirect_to = [\"qa@corp.example\"]\n"
	h, relay := rewriteHouse(t, rules, "qa@corp.example")
	h.mustSend("x@corp.example", []string{"a@example.org"}, "From: x@corp.example\nSubject: s\n\nhello\n")
	h.await("the message and its bounce, both given up", func() bool { return len(h.waiting(envelope.Failed)) == 2 })
	list := listFailed(h)
	if from := []string{list[0].From, list[1].From}; !slices.Equal(from, []string{"bounces@corp.example", ""}) {
		t.Errorf("senders %q", from)
	}
	for _, env := range list {
		if len(env.To) != 1 || env.To[0].Address != "qa@corp.example" {
			t.Errorf("to %+v", env.To)
		}
	}
	if given := list[1].To[0].Given; given != "bounces@corp.example" || relay.Count() != 0 {
		t.Errorf("the bounce was for %q", given)
	}
}

// listFailed returns the envelopes of failed mail, oldest first.
func listFailed(h *house) []envelope.Envelope {
	h.t.Helper()
	list, err := h.g.queue.List(h.t.Context(), queue.Filter{State: envelope.Failed}, queue.Page{})
	if err != nil {
		h.t.Fatal(err)
	}
	all := make([]envelope.Envelope, len(list))
	for i, m := range list {
		all[i] = m.Envelope
	}
	return all
}
