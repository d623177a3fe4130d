package gateway

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/smtp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/test/freeport"
	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest/teller"
)

const tellerConfig = `
[upstream.main]
type = "teller"
[upstream.back]
type = "memory"
[[route]]
to = ["*@quiet.example"]
via = ["main"]
on_late_bounce = "log"
[[route]]
to = ["*@example.com"]
via = ["back"]
[[route]]
via = ["main"]
`

// tellingHouse is a house whose upstream "main" tells later; what is sent to example.com is in the memory of "back".
func tellingHouse(t testing.TB, tell *teller.Teller, text string) *house {
	return openHouse(t, &house{kinds: []upstream.Kind{tell.Kind()}}, text+tellerConfig)
}

// reports returns the notifications that senders got.
func (h *house) reports() (list []string) {
	kept, _ := h.g.memory("back")
	for _, k := range kept {
		list = append(list, k.To[0]+"\n"+k.Source)
	}
	return list
}

func polled() upstream.Listening { return upstream.Listening{Every: 20 * time.Millisecond} }

// TestLateBounce: mail that was sent and does not arrive comes back to its sender, once, whatever is told again.
func TestLateBounce(t *testing.T) {
	tell := &teller.Teller{How: polled()}
	h := tellingHouse(t, tell, "")
	h.mustSend("app@example.com", []string{"ann@example.org", "bob@example.org"}, "From: app@example.com\r\nSubject: Invoice 7\r\nMessage-ID: <7@example.com>\r\nBcc: x@example.org\r\n\r\nhello\r\n")
	h.await("sent mail", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	id := tell.Taken()[0].ID
	at := time.Now().Add(-time.Second).Truncate(time.Millisecond)
	bounce := upstream.Event{ProviderID: "told-1", QueueID: id, Recipient: "ann@example.org", Kind: upstream.Bounced, At: at,
		Words: "550 5.1.1 no such user here", Status: "5.1.1", RemoteMTA: "mx.example.org", Key: "1"}
	delivered := upstream.Event{ProviderID: "told-1", Recipient: "bob@example.org", Kind: upstream.Delivered, At: at, Key: "2"}
	tell.Happen(bounce, delivered, bounce, upstream.Event{Kind: upstream.Opened, Recipient: "who@example.org", ProviderID: "not-ours", At: at, Key: "3"})
	h.await("a notification", func() bool { return len(h.reports()) == 1 })
	got := h.reports()[0]
	for _, want := range []string{"app@example.com\n", "Action: failed\r\n", "Status: 5.1.1\r\n", "Final-Recipient: rfc822; ann@example.org\r\n", "Remote-MTA: dns; mx.example.org\r\n",
		"Diagnostic-Code: smtp; 550 5.1.1 no such user here\r\n", "X-Mailhatch-Upstream: main\r\n", "Subject: Undelivered mail: Invoice 7\r\n", "Message-ID: <7@example.com>\r\n", "was sent, but the mail provider"} {
		if !strings.Contains(got, want) {
			t.Errorf("the notification lacks %q:\n%s", want, got)
		}
	}
	if strings.Contains(got, "bob@example.org") || strings.Contains(got, "Bcc:") {
		t.Errorf("the notification says too much:\n%s", got)
	}
	if b, d := h.ended(envelope.Bounced), h.ended(envelope.Delivered); !slices.Equal(b, []string{"ann@example.org"}) || !slices.Equal(d, []string{"bob@example.org"}) {
		t.Errorf("bounced %v, delivered %v", b, d)
	}
	polls := tell.Polls()
	tell.Happen(bounce)
	if h.await("no further question, for all is known", func() bool {
		n := tell.Polls()
		same := n == polls
		polls = n
		time.Sleep(100 * time.Millisecond)
		return same
	}); len(h.reports()) != 1 {
		t.Errorf("%d notifications", len(h.reports()))
	}
	events, err := h.g.queue.Events(t.Context(), id)
	if err != nil || len(events) != 2 || events[0].Status+events[1].Status != "5.1.1" {
		t.Errorf("events %+v, %v", events, err)
	}
	for _, want := range []string{"msg=told event=bounced id=" + id, "msg=told event=delivered", "msg=bounced id=" + id} {
		if !strings.Contains(h.log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// TestNoLateBounce: nobody hears of what they did not ask for.
func TestNoLateBounce(t *testing.T) {
	tell := &teller.Teller{How: polled()}
	h := tellingHouse(t, tell, "")
	h.mustSend("app@example.com", []string{"ann@quiet.example"}, "Subject: 1\r\n\r\nx\r\n") // on_late_bounce = "log"
	h.mustSend("", []string{"ann@example.org"}, "Subject: 2\r\n\r\nx\r\n")
	h.mustSend("app@example.com", []string{"cy@example.org"}, "Auto-Submitted: auto-replied\r\nSubject: 3\r\n\r\nx\r\n")
	h.dialog("EHLO x", "MAIL FROM:<app@example.com>", "RCPT TO:<bob@example.org> NOTIFY=NEVER", "RCPT TO:<dan@example.org> NOTIFY=DELAY")
	h.await("sent mail", func() bool { return len(h.ended(envelope.Sent)) == 5 })
	for _, m := range tell.Taken() {
		for i, to := range m.To {
			tell.Happen(upstream.Event{QueueID: m.ID, Recipient: to.Address, Kind: upstream.Bounced, At: time.Now(), Key: fmt.Sprint(m.ID, i)})
		}
	}
	h.await("bounced mail", func() bool { return len(h.ended(envelope.Bounced)) == 5 })
	h.await("nothing that is left", func() bool {
		late, err := h.g.queue.LateBounces(t.Context(), "", 10)
		return err == nil && len(late) == 0
	})
	if list := h.reports(); len(list) != 0 {
		t.Errorf("notifications: %q", list)
	}
}

// TestLateBounceDigest: a sender who gets many notifications has the rest in one.
func TestLateBounceDigest(t *testing.T) {
	tell := &teller.Teller{How: polled()}
	h := tellingHouse(t, tell, "")
	const n = 25
	for i := range n {
		h.mustSend("app@example.com", []string{fmt.Sprintf("r%d@example.org", i)}, fmt.Sprintf("Subject: %d\r\n\r\nx\r\n", i))
	}
	h.await("sent mail", func() bool { return len(h.ended(envelope.Sent)) == n })
	for _, m := range tell.Taken() {
		tell.Happen(upstream.Event{QueueID: m.ID, Recipient: m.To[0].Address, Kind: upstream.Bounced, At: time.Now(), Words: "no such user", Key: m.ID})
	}
	h.await("notifications", func() bool { return len(h.reports()) == 20 })
	h.await("late bounces that wait for the digest", func() bool {
		late, err := h.g.queue.LateBounces(t.Context(), "", 100)
		return err == nil && len(late) == n-20
	})
}

// TestToldBeforeTheAnswer: what is told while the mail is still being offered joins it when its record is there.
func TestToldBeforeTheAnswer(t *testing.T) {
	tell := &teller.Teller{How: upstream.Listening{Every: 20 * time.Millisecond, Webhook: true}}
	h := tellingHouse(t, tell, "")
	h.mustSend("app@example.com", []string{"first@example.org"}, "Subject: 0\r\n\r\nx\r\n") // there is mail to ask for
	h.await("sent mail", func() bool { return len(h.ended(envelope.Sent)) == 1 })
	tell.Happen(upstream.Event{ProviderID: "told-2", Recipient: "ann@example.org", Kind: upstream.Bounced, At: time.Now(), Key: "1"})
	h.await("an event that waits", func() bool { s := h.g.feedback.Status(); return len(s) == 1 && s[0].Waiting == 1 })
	h.mustSend("app@example.com", []string{"ann@example.org"}, "Subject: 1\r\n\r\nx\r\n")
	h.await("a notification", func() bool { return len(h.reports()) == 1 })
	if s := h.g.feedback.Status()[0]; s.Name != "main" || s.Mode != "poll, webhook" || s.Error != "" || s.Joined != 1 || s.Polled.IsZero() || s.Heard.IsZero() {
		t.Errorf("status %+v", s)
	}
}

// TestEventsTrouble: a provider that does not answer is asked less and less, and that is told once.
func TestEventsTrouble(t *testing.T) {
	tell := &teller.Teller{How: polled()}
	tell.Fail(&upstream.Error{Class: upstream.Account, Status: 403, Err: &upstream.ScopeError{Scope: "events.read", Hint: "in the console"}})
	h := tellingHouse(t, tell, "")
	h.mustSend("app@example.com", []string{"ann@example.org"}, "Subject: 1\r\n\r\nx\r\n")
	h.await("trouble", func() bool { s := h.g.feedback.Status(); return len(s) == 1 && s[0].Error != "" })
	if s := h.g.feedback.Status()[0]; s.Scope != "events.read" || time.Until(s.Next) < 5*time.Minute {
		t.Errorf("status %+v", s)
	}
	tell.Fail(&upstream.Error{Class: upstream.Temporary, Err: fmt.Errorf("garbage")})
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await("other trouble", func() bool { s := h.g.feedback.Status(); return len(s) == 1 && strings.Contains(s[0].Error, "garbage") })
	tell.Fail(nil)
	h.await("an end", func() bool { return h.g.feedback.Status()[0].Error == "" })
	count := func(name string) int { return strings.Count(h.log.String(), "msg="+name) }
	h.await("the line about it", func() bool { return count("events_back") == 1 }) // it follows the status
	if count("events_failed") != 2 {
		t.Errorf("%d lines of trouble, want 2", count("events_failed"))
	}
}

// TestListeningEnds: an upstream that is not listened to any more is not asked.
func TestListeningEnds(t *testing.T) {
	tell := &teller.Teller{How: polled()}
	h := tellingHouse(t, tell, "")
	h.mustSend("app@example.com", []string{"ann@example.org"}, "Subject: 1\r\n\r\nx\r\n")
	h.await("questions", func() bool { return tell.Polls() > 2 })
	h.write(strings.ReplaceAll(tellerConfig, `"teller"`, `"memory"`))
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	h.await("an end", func() bool { return len(h.g.feedback.Status()) == 0 })
	if list, err := h.g.queue.Search(t.Context(), queue.HistoryFilter{Upstream: "main"}); err != nil || len(list) != 1 {
		t.Errorf("%+v %v", list, err)
	}
}

// TestWebhooks: the address is there while some upstream takes webhooks, and what it answers with 200 is on stable storage.
func TestWebhooks(t *testing.T) {
	tell := &teller.Teller{How: upstream.Listening{Webhook: true}, Secret: "s"}
	addr := freeport.Addr(t)
	events := fmt.Sprintf("[events]\naddress = %q\n", addr)
	h := tellingHouse(t, tell, events)
	h.mustSend("app@example.com", []string{"ann@example.org", "bob@example.org"}, "Subject: 1\r\n\r\nx\r\n")
	h.await("sent mail", func() bool { return len(h.ended(envelope.Sent)) == 2 })
	post := func(header http.Header, body []byte) int {
		t.Helper()
		req, err := http.NewRequest("POST", "http://"+addr+"/events/main", bytes.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header = header
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		return resp.StatusCode
	}
	event := func(to string, kind upstream.EventKind) upstream.Event {
		return upstream.Event{ProviderID: "told-1", Recipient: to, Kind: kind, At: time.Now().Add(-time.Second), Words: "x", Key: to}
	}
	header, body := tell.Webhook(event("ann@example.org", upstream.Bounced), event("who@example.org", upstream.Bounced))
	if got := post(header, append(body, ' ')); got != 401 {
		t.Errorf("forged: %d", got)
	}
	if got := post(header, body); got != 200 || !slices.Equal(h.ended(envelope.Bounced), []string{"ann@example.org"}) {
		t.Errorf("%d, bounced %v", got, h.ended(envelope.Bounced))
	}
	h.await("a notification", func() bool { return len(h.reports()) == 1 })
	if got := post(header, body); got != 200 {
		t.Errorf("again: %d", got)
	}
	// After a restart a late bounce that was not reported yet is.
	header, body = tell.Webhook(event("bob@example.org", upstream.Suppressed))
	if got := post(header, body); got != 200 {
		t.Errorf("another: %d", got)
	}
	http.DefaultClient.CloseIdleConnections()
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	before := 0
	if strings.Count(h.log.String(), "msg=bounced") == 2 {
		before = 1
	}
	h.start()
	h.await("the other notification", func() bool { return len(h.reports())+before == 1 })
	h.write(events + strings.ReplaceAll(tellerConfig, `"teller"`, `"memory"`))
	if err := h.g.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("somebody listens still")
	}
}

// TestToldOn: what is told suppresses its recipient, and goes to a program that asked for it, once each, over a restart.
func TestToldOn(t *testing.T) {
	var mu sync.Mutex
	got, away := map[string]string{}, true
	hook := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if body, _ := io.ReadAll(r.Body); away {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			got[r.Header.Get("webhook-id")] += string(body)
		}
	}))
	defer hook.Close()
	tell := &teller.Teller{How: polled()}
	h := tellingHouse(t, tell, fmt.Sprintf("[[alert]]\nname = \"crm\"\non = [\"event\"]\nevents = [\"bounced\", \"complained\"]\nurl = %q\nsecret = \"a secret\"\n", hook.URL))
	h.mustSend("app@example.com", []string{"ann@example.org", "bob@example.org", "cy@example.org"}, "Subject: 1\r\n\r\nx\r\n")
	h.await("sent mail", func() bool { return len(h.ended(envelope.Sent)) == 3 })
	at := time.Now().Add(-time.Second)
	tell.Happen(upstream.Event{ProviderID: "told-1", Recipient: "ann@example.org", Kind: upstream.Bounced, At: at, Words: "550 no mailbox", Key: "1"},
		upstream.Event{ProviderID: "told-1", Recipient: "bob@example.org", Kind: upstream.Complained, At: at, Key: "2"},
		upstream.Event{ProviderID: "told-1", Recipient: "cy@example.org", Kind: upstream.Delivered, At: at, Key: "3"})
	h.await("all events", func() bool { return len(h.ended(envelope.Delivered)) == 1 && len(h.reports()) == 1 })
	h.wantRefusal("app@example.com", "ann@example.org", "mail to it bounced (550 no mailbox)")
	h.wantRefusal("other@example.com", "bob@example.org", "its owner has complained")
	h.mustSend("app@example.net", []string{"ann@example.org"}, "Subject: 2\r\n\r\nx\r\n")
	for _, want := range []string{"msg=suppressed address=ann@example.org domain=example.com reason=bounced", "msg=suppressed address=bob@example.org domain=example.com reason=complained"} {
		h.await(want, func() bool { return strings.Contains(h.log.String(), want) })
	}
	if err := h.stop(); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	away = false
	mu.Unlock()
	h.start()
	h.await("both events at the program", func() bool { mu.Lock(); defer mu.Unlock(); return len(got) == 2 })
	mu.Lock()
	defer mu.Unlock()
	for id, body := range got {
		if strings.Count(body, `"type":"event"`) != 1 || !strings.HasPrefix(id, "evt_") || !strings.Contains(body, `"event":"bounced"`) && !strings.Contains(body, `"event":"complained"`) {
			t.Errorf("%s: %s", id, body)
		}
	}
}

// BenchmarkSendWhilePolling: an op is a mail from its acceptance to its end, at a provider that tells of each; with polling
// and without.
func BenchmarkSendWhilePolling(b *testing.B) {
	for _, c := range []struct {
		name string
		how  upstream.Listening
		page int
	}{
		{"off", upstream.Listening{}, 0},
		{"poll", upstream.Listening{Every: 10 * time.Second, Pace: time.Second}, 100},       // Mailgun, Postmark, Brevo
		{"large", upstream.Listening{Every: 10 * time.Second, Pace: 2 * time.Second}, 1000}, // SendGrid, SparkPost
	} {
		b.Run(c.name, func(b *testing.B) {
			tell := &teller.Teller{How: c.how, Page: c.page}
			told := &tellsAll{Teller: tell}
			h := openHouse(b, &house{kinds: []upstream.Kind{told.Kind()}}, tellerConfig)
			b.ResetTimer()
			var work sync.WaitGroup
			const sessions = 8
			for s := range sessions {
				work.Go(func() {
					c, err := smtp.Dial(h.addr)
					if err != nil {
						b.Error(err)
						return
					}
					defer c.Close()
					for i := s; i < b.N; i += sessions {
						if err := errors.Join(c.Mail("app@example.com"), c.Rcpt(fmt.Sprintf("r%d@example.org", i))); err != nil {
							b.Error(err)
							return
						}
						w, err := c.Data()
						if err != nil {
							b.Error(err)
							return
						}
						fmt.Fprintf(w, "Subject: %d\r\n\r\n%s\r\n", i, strings.Repeat("words ", 500))
						if err := w.Close(); err != nil {
							b.Error(err)
							return
						}
					}
				})
			}
			work.Wait()
			h.await("all mail", func() bool { return int(told.sent.Load()) >= b.N })
			b.StopTimer()
			b.ReportMetric(float64(tell.Polls()), "polls")
		})
	}
}

// tellsAll tells of each mail that it arrived.
type tellsAll struct {
	*teller.Teller
	sent atomic.Int64
}

func (t *tellsAll) Send(ctx context.Context, m *upstream.Mail) []upstream.Outcome {
	out := t.Teller.Send(ctx, m)
	for i, to := range m.To {
		t.Happen(upstream.Event{QueueID: m.ID, ProviderID: out[i].ID, Recipient: to.Address, Kind: upstream.Delivered, At: time.Now(), Key: m.ID + to.Address})
	}
	t.sent.Add(1)
	return out
}

// Kind makes upstreams that are t.
func (t *tellsAll) Kind() upstream.Kind {
	return upstream.Kind{Name: "teller", New: func() upstream.Settings { return &tellsAllSettings{teller: t} }}
}

type tellsAllSettings struct {
	Timeout upstream.Duration `toml:"timeout"`
	teller  *tellsAll
}

func (s *tellsAllSettings) Open(upstream.Env) (upstream.Upstream, error) { return s.teller, nil }
