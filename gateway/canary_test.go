package gateway

import (
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/admin/api"
	"mailhatch/gateway/canary"
	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/teller"
)

const canaryConfig = `
[canary]
every = "1h"
to = "canary@example.org"
from = "app@example.com"
upstreams = ["main"]
[[route]]
to = ["canary@*"]
reject = "550 not here"
`

// TestCanary: a canary goes past the routes and the list of suppressed addresses, the history marks it, its bounce stops
// nobody and is reported to nobody but operators, and a restart sends no other.
func TestCanary(t *testing.T) {
	tell := &teller.Teller{How: polled()}
	h := tellingHouse(t, tell, canaryConfig)
	h.await("a canary", func() bool { return len(tell.Taken()) == 1 && len(h.ended(envelope.Sent)) == 1 })
	m := tell.Taken()[0]
	if m.To[0].Address != "canary@example.org" || m.From != "app@example.com" {
		t.Errorf("%+v", m)
	}
	done, err := h.g.queue.Finished(t.Context(), m.ID)
	if err != nil || strings.Join(done.Envelope.To[0].Notify, " ") != "NEVER" {
		t.Errorf("%+v, %v", done, err)
	}
	steps, err := h.g.queue.Events(t.Context(), m.ID)
	if err != nil || !slices.ContainsFunc(steps, func(e queue.Event) bool { return e.Kind == queue.EventCanary && e.Upstream == "main" }) {
		t.Errorf("%v, %v", steps, err)
	}
	tell.Happen(upstream.Event{ProviderID: "told-1", QueueID: m.ID, Recipient: "canary@example.org", Kind: upstream.Bounced, At: time.Now(), Words: "550 no such user", Key: "1"})
	h.await("a bounce", func() bool { return len(h.ended(envelope.Bounced)) == 1 })
	stopped := func() string {
		h.g.canaries.Follow(canariesOf(h.g.current.Load())) // it looks at once
		list, _ := h.g.stoppedCanaries()
		if len(list) == 0 {
			return ""
		}
		return list[0].Upstream + " " + list[0].Text + ": " + list[0].Error
	}
	const want = "main main has sent the canary, and it bounced: 550 no such user"
	h.await("what is wrong", func() bool { return stopped() == want })
	h.stop()
	h.start()
	h.await("what was wrong", func() bool { return stopped() == want })
	status := h.g.upstreamStatus()
	if i := slices.IndexFunc(status, func(u api.Upstream) bool { return u.Name == "main" }); status[i].Canary == nil || "main "+status[i].Canary.Why != want || status[i].Canary.ID != m.ID {
		t.Errorf("status: %+v", status[i].Canary)
	}
	if len(tell.Taken()) != 1 || len(h.reports()) != 0 {
		t.Errorf("%d canaries, %v", len(tell.Taken()), h.reports())
	}
	id, err := h.g.accept.Canary(t.Context(), "app@example.com", "canary@example.org", "main", []byte("Subject: again\r\n\r\n"))
	if err != nil {
		t.Fatal(err) // it is suppressed now
	}
	h.await("another one", func() bool { return len(tell.Taken()) == 2 && tell.Taken()[1].ID == id })
	if _, err := h.g.accept.Canary(t.Context(), "app@example.com", "canary@example.org", "none", nil); err == nil || !strings.Contains(err.Error(), `no upstream "none"`) {
		t.Error(err)
	}
}

func TestCanaryText(t *testing.T) {
	for _, s := range []canary.Stage{canary.StageQueue, canary.StageWaiting, canary.StageRefused, canary.StageSent, canary.StageBounced, canary.StageElsewhere} {
		if text := canaryText("main", &canary.Fault{Stage: s}); !strings.Contains(text, "main") || !strings.Contains(text, "canary") {
			t.Errorf("%s: %s", s, text)
		}
	}
}

// TestWhyCanaryWaits: what holds it up is said without what is soon past.
func TestWhyCanaryWaits(t *testing.T) {
	h := newHouse(t, "[upstream.main]\ntype = \"smtp\"\nhost = \"127.0.0.1\"\nport = 1\ntls = \"none\"\n[[route]]\nvia = [\"main\"]\n")
	if _, err := h.g.accept.Canary(t.Context(), "app@example.com", "canary@example.org", "main", []byte("Subject: s\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	why := func() string {
		list, err := h.g.queue.List(t.Context(), queue.Filter{}, queue.Page{})
		if err != nil || len(list) != 1 {
			t.Fatal(list, err)
		}
		return h.g.whyWaits(t.Context(), &list[0])
	}
	h.await("a closed upstream", func() bool {
		return strings.HasPrefix(why(), "main is closed (unreachable): cannot speak to 127.0.0.1:1: ") || strings.HasPrefix(why(), "main is probing (unreachable): ")
	})
	m := queue.Message{ID: "x", Parts: []queue.Part{{Lane: "other", State: envelope.Queued, To: []envelope.Recipient{{Address: "a@example.org"}}}}}
	if why := h.g.whyWaits(t.Context(), &m); why == "" {
		t.Error("nobody knows why")
	}
	m.Parts[0].Progress.Error = "450 later"
	if why := h.g.whyWaits(t.Context(), &m); why != "450 later" {
		t.Error(why)
	}
}
