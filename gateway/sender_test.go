package gateway

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream/upstreamtest"
)

const unverified = "The from address does not match a verified Sender Identity. Mail cannot be sent until this error is resolved. (from)"

// newPicky starts a SendGrid that takes no mail from root.
func newPicky(t *testing.T) *upstreamtest.Server {
	p := upstreamtest.NewSendGrid("k")
	t.Cleanup(p.Close)
	p.SetSenders("noreply@example.com")
	return p
}

func picky(p *upstreamtest.Server, more string) string {
	return fmt.Sprintf("[queue]\nretry = [\"1h\"]\n[upstream.sg]\ntype = \"sendgrid\"\napi_key = \"k\"\nbase_url = %q\n%s", p.URL, more)
}

const toSendGrid = "[[route]]\nvia = [\"sg\"]\n"

func mailFrom(from string) string { return "From: " + from + "\r\nSubject: hi\r\n\r\nhello\r\n" }

// TestOperatorTriesARefusedSender: whatever an operator does to have mail tried has it tried at once, though its From was
// refused a moment before and its time comes in an hour.
func TestOperatorTriesARefusedSender(t *testing.T) {
	all := api.Selection{All: true}
	act := func(a api.Action) func(t *testing.T, h *house) {
		return func(t *testing.T, h *house) {
			if _, err := h.g.admin.Act(t.Context(), a, all, "root"); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, do := range map[string]func(t *testing.T, h *house){
		"retry": act(api.Retry),
		"retry that waits": func(t *testing.T, h *house) {
			out, err := h.g.admin.Retry(t.Context(), all, "root", 30*time.Second)
			if err != nil || len(out.Tried) != 2 || out.Tried[0].Outcome != "sent" || out.Tried[1].Outcome != "sent" {
				t.Errorf("%+v, %v", out, err)
			}
		},
		"probe": func(t *testing.T, h *house) {
			if _, err := h.g.admin.ActOn(t.Context(), "sg", api.Probe, "root"); err != nil {
				t.Fatal(err)
			}
		},
		"flush": func(t *testing.T, h *house) {
			if err := h.g.deliverer.Flush(t.Context(), "sg"); err != nil {
				t.Fatal(err)
			}
		},
		"release": func(t *testing.T, h *house) { act(api.Hold)(t, h); act(api.Release)(t, h) },
		"reload": func(t *testing.T, h *house) {
			if err := h.g.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
		"restart": func(t *testing.T, h *house) {
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			h.start()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPicky(t)
			h := newHouse(t, picky(p, toSendGrid))
			for i := range 2 {
				h.mustSend("root@example.com", []string{fmt.Sprintf("a%d@example.org", i)}, mailFrom("root@example.com"))
				h.await("the refusal", func() bool {
					parts := h.waiting(envelope.Queued)
					for i := range parts {
						if !strings.Contains(parts[i].Progress.Error, unverified) {
							return false
						}
					}
					return len(parts) == i+1
				})
			}
			if n := p.Requests(); n != 1 {
				t.Fatalf("%d requests, want that of the first mail alone", n)
			}
			p.SetSenders()
			do(t, h)
			h.await("both mails", func() bool { return len(h.ended(envelope.Sent)) == 2 })
		})
	}
}

// TestRefusedSenderIsSeen: operators see whose mail a provider refuses, in its words, wherever they look; mail of other
// senders of the domain goes on.
func TestRefusedSenderIsSeen(t *testing.T) {
	p := newPicky(t)
	url, told := receiver(t)
	h := newHouse(t, picky(p, toSendGrid+fmt.Sprintf("[[alert]]\non = [\"upstream_closed\"]\nafter = \"0s\"\nurl = %q\n", url)))
	h.mustSend("noreply@example.com", []string{"x@example.org"}, mailFrom("noreply@example.com"))
	h.mustSend("root@example.com", []string{"a@example.org"}, mailFrom("root@example.com"))
	const refuses = "refuses mail from root@example.com: 403: " + unverified
	h.await("the refusal", func() bool {
		st, err := h.g.admin.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		text, _ := json.Marshal(st)
		return strings.Contains(string(text), refuses+"; next try in ")
	})
	h.mustSend("root@example.com", []string{"b@example.org"}, mailFrom("Root <ROOT@Example.COM>"))
	h.mustSend("noreply@example.com", []string{"y@example.org"}, mailFrom("noreply@example.com"))
	h.await("the other mail", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	h.await("the reasons", func() bool {
		list, err := h.g.queue.List(t.Context(), queue.Filter{}, queue.Page{})
		if err != nil {
			t.Fatal(err)
		}
		view, err := h.g.waiting(t.Context(), list)
		if err != nil {
			t.Fatal(err)
		}
		for i := range list {
			part := &list[i].Parts[0]
			why := view.Of(&list[i], part)
			if !strings.HasPrefix(why.Words, "waits for sg, which "+refuses+"; next try in ") || why.Code != "sender" || part.Progress.Error != "403: "+unverified {
				return false
			}
		}
		return len(list) == 2
	})
	h.await("the alert", func() bool {
		return strings.Contains(told.String(), `"event":"upstream_closed","status":"firing","subject":"sg","text":"upstream sg refuses mail from an address of example.com: 403: `+unverified)
	})
	if strings.Contains(told.String(), "root@") {
		t.Errorf("an alert names an address: %s", told)
	}
	if !strings.Contains(h.log.String(), "level=ERROR msg=sender_refused upstream=sg from=root@example.com") {
		t.Error("the log does not have it")
	}
	p.SetSenders()
	if _, err := h.g.admin.ActOn(t.Context(), "sg", api.Probe, "root"); err != nil {
		t.Fatal(err)
	}
	h.await("the recovery", func() bool { return strings.Contains(told.String(), `"event":"upstream_closed","status":"resolved"`) })
}

// TestRetryOfARefusedSender: who retries mail that is refused still gets the provider's words, for all of it.
func TestRetryOfARefusedSender(t *testing.T) {
	p := newPicky(t)
	h := newHouse(t, picky(p, toSendGrid))
	for i := range 3 {
		h.mustSend("root@example.com", []string{fmt.Sprintf("a%d@example.org", i)}, mailFrom("root@example.com"))
	}
	h.await("the refusal", func() bool { return p.Requests() > 0 && len(h.waiting(envelope.Queued)) == 3 })
	out, err := h.g.admin.Retry(t.Context(), api.Selection{All: true}, "root", 30*time.Second)
	if err != nil || len(out.Tried) != 3 {
		t.Fatalf("%+v, %v", out, err)
	}
	for _, f := range out.Tried {
		if f.Outcome != "refused" || f.Words != "403: "+unverified {
			t.Errorf("%+v", f)
		}
	}
}

// TestRefusedSenderGoesElsewhere: the next upstream of a route gets the mail at once, whichever the route begins with; and mail
// that was refused by both goes when one of them takes it.
func TestRefusedSenderGoesElsewhere(t *testing.T) {
	for name, route := range map[string]string{
		"via":     "via = [\"sg\", \"other\"]",
		"balance": "balance = { sg = 1, other = 1 }",
	} {
		t.Run(name, func(t *testing.T) {
			p, other := newPicky(t), newPicky(t)
			other.SetSenders()
			h := newHouse(t, picky(p, fmt.Sprintf("[upstream.other]\ntype = \"sendgrid\"\napi_key = \"k\"\nbase_url = %q\n[[route]]\n%s\n", other.URL, route)))
			for i := range 8 {
				h.mustSend("root@example.com", []string{fmt.Sprintf("a%d@example.org", i)}, mailFrom("root@example.com"))
			}
			h.await("all mail", func() bool { return len(h.ended(envelope.Sent)) == 8 })
			if n := len(other.Accepted()); n != 8 {
				t.Errorf("the other upstream took %d, want 8", n)
			}
		})
	}
}
