package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
	"mailhatch/upstream/upstreamtest/telling"
)

// With on_uncertain = "hold" a lost reply is asked for again where the provider knows the key, and left to
// the operator where it does not.
func TestUncertainIsHeldOrRepeated(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			fake := k.fake()
			t.Cleanup(fake.Close)
			h := newHouse(t, strings.Replace(k.config(fake.URL, "right", ""), "[queue]\n", "[queue]\non_uncertain = \"hold\"\n", 1))
			fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropReply})
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			if k.keyed {
				h.sentRecord("a@example.org")
			} else {
				h.await("the hold", func() bool { return len(h.waiting(envelope.Held)) == 1 })
				if p := h.waiting(envelope.Held)[0].Progress; !p.Uncertain || p.Class != "uncertain" || p.Error == "" {
					t.Errorf("held with %+v", p)
				}
			}
			if n := deliveries(fake, "a@example.org"); n != 1 {
				t.Errorf("%d deliveries", n)
			}
		})
	}
}

// No failover follows a lost reply, not even when the upstream goes from the config.
func TestUncertainGoesToNoOtherUpstream(t *testing.T) {
	first, second := upstreamtest.NewSendGrid("right"), upstreamtest.NewMailgun("right", "mg.example.com")
	t.Cleanup(first.Close)
	t.Cleanup(second.Close)
	with := func(more, via string) string {
		return "[queue]\nretry = [\"50ms\"]\nfailover_after = 1\n[[route]]\nvia = [" + via + "]\n" + more +
			"[upstream.second]\ntype = \"mailgun\"\ndomain = \"mg.example.com\"\napi_key = \"right\"\nbase_url = \"" + second.URL + "\"\n"
	}
	h := newHouse(t, with("[upstream.first]\ntype = \"sendgrid\"\napi_key = \"right\"\nbase_url = \""+first.URL+"\"\n", `"first", "second"`))
	first.Script(append([]upstreamtest.Fault{{Drop: upstreamtest.DropReply}}, upstreamtest.Times(10000, upstreamtest.Fault{Status: 503, Body: "{}"})...)...)
	h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
	h.await("several attempts", func() bool { return first.Requests() >= 3 })
	h.write(with("", `"second"`))
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await("the hold", func() bool { return len(h.waiting(envelope.Held)) == 1 })
	if n := deliveries(second, "a@example.org"); n != 0 || deliveries(first, "a@example.org") != 1 {
		t.Errorf("%d deliveries by another upstream", n)
	}
}

// A proxy's page leaves open what the provider did, unless it is about the size: then another upstream gets the mail.
func TestPagesOfProxies(t *testing.T) {
	for _, c := range []struct {
		fault         upstreamtest.Fault
		first, second int
	}{
		{upstreamtest.Fault{Status: 502, Body: "<html>Bad Gateway</html>", Accept: true}, 1, 0},
		{upstreamtest.Fault{Status: 200, Body: "<html>Sign in</html>", Accept: true}, 1, 0},
		{upstreamtest.Fault{Status: 521, Body: "<html>Web server is down</html>"}, 0, 1},
		{upstreamtest.Fault{Status: 413, Body: "<html>Request Entity Too Large</html>"}, 0, 1},
	} {
		first, second := upstreamtest.NewResend("k"), upstreamtest.NewSendGrid("k")
		t.Cleanup(first.Close)
		t.Cleanup(second.Close)
		h := newHouse(t, fmt.Sprintf("[queue]\nretry = [\"50ms\"]\nfailover_after = 1\n[[route]]\nvia = [\"first\", \"second\"]\n"+
			"[upstream.first]\ntype = \"resend\"\napi_key = \"k\"\nbase_url = %q\n[upstream.second]\ntype = \"sendgrid\"\napi_key = \"k\"\nbase_url = %q\n", first.URL, second.URL))
		first.Script(c.fault)
		h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
		h.sentRecord("a@example.org")
		if a, b := deliveries(first, "a@example.org"), deliveries(second, "a@example.org"); a != c.first || b != c.second {
			t.Errorf("%d: %d and %d deliveries, want %d and %d", c.fault.Status, a, b, c.first, c.second)
		}
	}
}

// A request that is not the one that may have been taken waits for a person, who can send it with a new key.
func TestChangedRequestIsHeld(t *testing.T) {
	for _, c := range []struct {
		name     string
		fault    upstreamtest.Fault
		requests int // until it is held
	}{
		{"the reply was lost", upstreamtest.Fault{Drop: upstreamtest.DropReply}, 1},
		{"the provider says so", upstreamtest.Fault{Status: 409, Body: `{"statusCode":409,"name":"invalid_idempotent_request","message":"Other payload"}`}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			rewrite := func(url string) string {
				return "[queue]\nretry = [\"1h\"]\n[[route]]\nvia = [\"main\"]\n[upstream.main]\ntype = \"resend\"\napi_key = \"k\"\nbase_url = \"" + url +
					"\"\nfrom_domains = [\"example.net\"]\nrewrite_from = "
			}
			fake := upstreamtest.NewResend("k")
			t.Cleanup(fake.Close)
			h := newHouse(t, rewrite(fake.URL)+"\"One <one@example.net>\"\n")
			fake.Script(c.fault)
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			h.await("the uncertain offer", func() bool {
				p := append(h.waiting(envelope.Queued), h.waiting(envelope.Held)...)
				return len(p) == 1 && p[0].Progress.Uncertain
			})
			h.write(rewrite(fake.URL) + "\"Two <two@example.net>\"\n")
			if err := h.g.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := h.g.queue.Retry(t.Context(), queue.Filter{}, "root"); err != nil {
				t.Fatal(err)
			}
			h.await("the hold", func() bool { return len(h.waiting(envelope.Held)) == 1 })
			p := h.waiting(envelope.Held)[0].Progress
			if !p.Uncertain || !strings.Contains(p.Error, "mailhatch queue release") || fake.Requests() != c.requests {
				t.Errorf("held with %+v after %d requests", p, fake.Requests())
			}
			if _, err := h.g.queue.Release(t.Context(), queue.Filter{}, "root"); err != nil {
				t.Fatal(err)
			}
			h.sentRecord("a@example.org")
			if got := fake.Accepted(); len(got) == 0 || !strings.Contains(string(got[len(got)-1].Raw), "two@example.net") {
				t.Errorf("accepted %+v", got)
			}
			if r := fake.Rejected(); len(r) > 0 {
				t.Errorf("refused: %q", r)
			}
		})
	}
}

// forgetful is a store that takes no results.
type forgetful struct{ queue.Engine }

type forgetfulLease struct{ queue.Lease }

func (f forgetful) Claim(ctx context.Context, lane string, n int, d time.Duration) ([]queue.Lease, error) {
	leases, err := f.Engine.Claim(ctx, lane, n, d)
	for i := range leases {
		leases[i] = forgetfulLease{leases[i]}
	}
	return leases, err
}

func (forgetfulLease) Finish(context.Context, queue.Result) error {
	return errors.New("the database is locked")
}

// Mail whose results no store took before the gateway stopped is not sent twice: it counts as uncertain.
func TestStopBeforeResultsAreStored(t *testing.T) {
	for i := range faultKinds {
		k := &faultKinds[i]
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			fake := k.fake()
			t.Cleanup(fake.Close)
			h := newHouse(t, "shutdown_timeout = \"2s\"\n[[listener]]\naddress = \"ADDR\"\n"+
				strings.Replace(k.config(fake.URL, "right", ""), "[queue]\n", "[queue]\non_uncertain = \"hold\"\n", 1))
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			h.wrap = func(q queue.Engine) queue.Engine { return forgetful{q} }
			h.start()
			const mails = 5
			for range mails {
				h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			}
			h.await("an offer", func() bool { return deliveries(fake, "a@example.org") > 0 })
			_ = h.stop()
			offered := deliveries(fake, "a@example.org")
			h.wrap = nil
			h.start()
			h.await("the end of each mail", func() bool { return len(h.ended(envelope.Sent))+len(h.waiting(envelope.Held)) == mails })
			held := len(h.waiting(envelope.Held))
			if n := deliveries(fake, "a@example.org"); k.keyed && (n != mails || held != 0) || !k.keyed && (n != mails || held != offered) {
				t.Errorf("%d deliveries of %d mails, %d before the stop; %d are held", n, mails, offered, held)
			}
		})
	}
}

// A stop waits for the offer under way and records its end; what it cuts off is offered again with the
// same key.
func TestStopLosesNothing(t *testing.T) {
	for _, c := range []struct {
		name, timeout string
		delay         time.Duration
		requests      int
	}{
		{"the offer ends in time", "10s", 300 * time.Millisecond, 1},
		{"the offer is cut off", "200ms", 30 * time.Second, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			h, fake := resendHouse(t, "shutdown_timeout = \""+c.timeout+"\"\n[[listener]]\naddress = \"ADDR\"\n[queue]\nretry = [\"50ms\"]\n")
			fake.Script(upstreamtest.Fault{Delay: c.delay})
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			h.await("the offer", func() bool { return fake.Requests() == 1 })
			start := time.Now()
			if err := h.stop(); err != nil {
				t.Fatal(err)
			}
			if took := time.Since(start); took > 15*time.Second {
				t.Errorf("the stop took %v", took)
			}
			h.start()
			h.sentRecord("a@example.org")
			if n := deliveries(fake, "a@example.org"); n != 1 || fake.Requests() != c.requests {
				t.Errorf("%d deliveries by %d requests, want 1 by %d", n, fake.Requests(), c.requests)
			}
		})
	}
}

// TestUncertainAtResendsRelay: what Resend's SMTP took and did not answer for is asked for again, and taken once.
func TestUncertainAtResendsRelay(t *testing.T) {
	var lost atomic.Bool
	relay := upstreamtest.NewSMTP(t, upstreamtest.SMTPOptions{Keyed: true, React: func(s upstreamtest.SMTPStep) upstreamtest.SMTPReaction {
		return upstreamtest.SMTPReaction{Drop: s.Stage == upstreamtest.SMTPDot && lost.CompareAndSwap(false, true)}
	}})
	h := newHouse(t, fmt.Sprintf("[queue]\non_uncertain = \"hold\"\nretry = [\"50ms\"]\n[[route]]\nvia = [\"main\"]\n[upstream.main]\ntype = \"smtp\"\n"+
		"preset = \"resend\"\nhost = %q\nport = %d\ntls = \"none\"\n", relay.Host, relay.Port))
	h.mustSend("x@example.com", []string{"a@example.org", "b@example.org"}, plainMail)
	h.sentRecord("a@example.org")
	h.sentRecord("b@example.org")
	if n := relay.Count(); n != 1 || !lost.Load() || len(relay.Faults()) > 0 {
		t.Errorf("taken %d times; %v", n, relay.Faults())
	}
}

// TestUncertainAtSES: SES has no log that can be asked about a mail whose reply was lost. What it puts into the queue of SQS
// settles the mail, which is not sent again.
func TestUncertainAtSES(t *testing.T) {
	for _, c := range []struct {
		kind  upstream.EventKind
		state envelope.State
	}{{upstream.Delivered, envelope.Delivered}, {upstream.Bounced, envelope.Bounced}} {
		t.Run(c.kind.String(), func(t *testing.T) {
			t.Parallel()
			fake := fakes.NewSES("key", "")
			log := telling.New(fake, &telling.SES{}, "")
			t.Cleanup(log.Close)
			h := newHouse(t, fmt.Sprintf("[queue]\nretry = [\"1h\"]\n[[route]]\nvia = [\"main\"]\n[upstream.main]\ntype = \"ses\"\nregion = \"us-east-1\"\n"+
				"access_key_id = %q\nsecret_access_key = \"key\"\nbase_url = %q\nevents_queue = \"%s/123456789012/mail-events\"\n[upstream.main.events]\nmode = \"poll\"\nevery = \"10s\"\n",
				fakes.SESKeyID, log.URL, log.URL))
			fake.Script(upstreamtest.Fault{Drop: upstreamtest.DropReply})
			h.mustSend("x@example.com", []string{"a@example.org"}, plainMail)
			h.await("the lost reply", func() bool {
				list := h.waiting(envelope.Queued)
				return len(list) == 1 && list[0].Progress.Uncertain
			})
			mail := fake.Accepted()[0]
			log.Happen(telling.Entry{Mail: mail.ID, QueueID: mail.Options["mailhatch_id"], Recipient: "a@example.org", Kind: c.kind, Words: "550 no such user", Status: "5.1.1"})
			h.await("an event that waits", func() bool { s := h.g.feedback.Status(); return len(s) == 1 && s[0].Waiting == 1 })
			if _, err := h.g.queue.Retry(t.Context(), queue.Filter{}, "root"); err != nil {
				t.Fatal(err)
			}
			h.await("the mail's end", func() bool { return len(h.ended(c.state)) == 1 })
			list, err := h.g.queue.Search(t.Context(), queue.HistoryFilter{To: "a@example.org"})
			if err != nil || len(list) != 1 || list[0].ProviderID != mail.ID {
				t.Errorf("%+v, %v, want the provider's id %s", list, err, mail.ID)
			}
			if n := deliveries(fake, "a@example.org"); n != 1 {
				t.Errorf("%d deliveries", n)
			}
		})
	}
}
