package main

import (
	"net/smtp"
	"path/filepath"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/upstream/upstreamtest"
)

// A process that dies while Resend has taken a mail and not answered leaves an unknown outcome: when Resend is away
// at the next start no other upstream gets the mail, and when it is back it gets the same request again. The same holds
// where the process is killed a second time, or the routes name another upstream by then.
func TestCrashIsAnUnknownOutcome(t *testing.T) {
	const both, other = "[[route]]\nvia = [\"api\", \"relay\"]\n[queue]\nfailover_after = 1\n", "[[route]]\nvia = [\"relay\"]\n[queue]\n"
	for _, c := range []struct {
		name, after string
		kills       int
	}{{"once", both, 1}, {"twice", both, 2}, {"other routes", other, 1}} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newCrash(t)
			w.calm()
			w.resend.Script(upstreamtest.Fault{Drop: upstreamtest.HoldReply})
			p := w.serveRoutes(0, both)
			w.offer("one mail")
			w.await(p, "the mail at Resend", func() bool { return len(w.resend.Accepted()) == 1 })
			p.kill()
			w.resend.Script(upstreamtest.Times(10000, upstreamtest.Fault{Drop: upstreamtest.DropBeforeBody})...)
			for life := range c.kills {
				seen := w.resend.Requests()
				p = w.serveRoutes(1+life, c.after)
				w.await(p, "attempts while Resend is away", func() bool { return w.resend.Requests() >= seen+3 })
				if life+1 < c.kills {
					p.kill()
				}
			}
			w.resend.Unscript()
			seen := w.resend.Requests()
			w.await(p, "the repeated request", func() bool { return w.resend.Requests() > seen })
			p.terminate(t)
			if got := w.history(); len(got) != 1 || got[0].State != envelope.Sent || got[0].Upstream != "api" {
				t.Errorf("history %+v\n%s", got, p.log)
			}
			if n, m := len(w.resend.Accepted()), w.relay.Count(); n != 1 || m != 0 {
				t.Errorf("%d mails at Resend and %d at the relay, want one at Resend", n, m)
			}
			if r := w.resend.Rejected(); len(r) > 0 {
				t.Errorf("Resend refused: %q", r)
			}
		})
	}
}

// offer hands over a mail.
func (c *crash) offer(subject string) {
	c.t.Helper()
	client, err := smtp.Dial(c.addr)
	if err != nil {
		c.t.Fatal(err)
	}
	defer client.Close()
	if err := crashSend(client, subject, []string{"x@example.org"}, 200); err != nil {
		c.t.Fatal(err)
	}
}

// history reads what became of the mail when no process runs.
func (c *crash) history() []queue.Record {
	c.t.Helper()
	r, err := engines.Read(c.t.Context(), engines.Default, queue.Settings{Dir: filepath.Join(c.dir, "state")})
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Close()
	list, err := r.Search(c.t.Context(), queue.HistoryFilter{})
	if err != nil {
		c.t.Fatal(err)
	}
	return list
}

// await waits until a condition holds.
func (c *crash) await(p *process, what string, holds func() bool) {
	c.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			p.kill()
			c.t.Fatalf("waited in vain for %s\n%s", what, p.log)
		}
	}
}
