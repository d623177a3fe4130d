package kinds_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/fakes"
	"mailhatch/upstream/upstreamtest/telling"
)

// teller is how a kind's provider reports, in tests.
type teller struct {
	dialect telling.Dialect
	fake    func() *upstreamtest.Server
	config  string // settings without base_url and events
	denied  int    // status for a key that lacks the right; 0: it cannot
	covers  bool   // the signature covers the body
}

const (
	hookSecret   = "hook:secret"
	resendSecret = "whsec_aG9vay1zZWNyZXQtb2YtYS10ZXN0"
)

// signer is the key of providers that sign by RSA.
var signer = sync.OnceValue(telling.NewKey)

const hookURL = "https://mail.example.com/events/main"

func tellers() map[string]teller {
	return map[string]teller{
		"jmap":      {dialect: telling.JMAP{}, denied: 403, config: "token = \"key\"\n", fake: func() *upstreamtest.Server { return fakes.NewJMAP("key") }},
		"sparkpost": {dialect: telling.SparkPost{}, denied: 403, config: "api_key = \"key\"\n", fake: func() *upstreamtest.Server { return fakes.NewSparkPost("key") }},
		"mandrill":  {dialect: telling.Mandrill{URL: hookURL}, covers: true, config: "api_key = \"key\"\n", fake: func() *upstreamtest.Server { return fakes.NewMandrill("key") }},
		"postal":    {dialect: telling.Postal{Key: signer()}, covers: true, config: "api_key = \"key\"\n", fake: func() *upstreamtest.Server { return fakes.NewPostal("key") }},
		"ses": {dialect: &telling.SES{Key: signer()}, denied: 403, covers: true, fake: func() *upstreamtest.Server { return fakes.NewSES("key", "") },
			config: "region = \"us-east-1\"\naccess_key_id = \"AKIDEXAMPLE\"\nsecret_access_key = \"key\"\nevents_queue = \"QUEUE/123456789012/mail-events\"\n"},
		"mailgun": {dialect: telling.Mailgun{Domain: "mg.example.com"}, denied: 401, config: "api_key = \"key\"\ndomain = \"mg.example.com\"\n",
			fake: func() *upstreamtest.Server { return upstreamtest.NewMailgun("key", "mg.example.com") }},
		"resend":   {dialect: telling.Resend{}, denied: 401, covers: true, config: "api_key = \"key\"\n", fake: func() *upstreamtest.Server { return upstreamtest.NewResend("key") }},
		"sendgrid": {dialect: telling.SendGrid{}, denied: 403, covers: true, config: "api_key = \"key\"\n", fake: func() *upstreamtest.Server { return upstreamtest.NewSendGrid("key") }},
		"postmark": {dialect: telling.Postmark{}, config: "server_token = \"key\"\n", fake: func() *upstreamtest.Server { return fakes.NewPostmark("key") }},
		"brevo":    {dialect: telling.Brevo{}, denied: 403, config: "api_key = \"key\"\n", fake: func() *upstreamtest.Server { return fakes.NewBrevo("key") }},
	}
}

// feedbackOf opens a kind that listens to a provider at this address.
func feedbackOf(t testing.TB, name, address string, tell teller, more string) upstream.Feedback {
	t.Helper()
	i := kindIndex(t, name)
	settings := strings.Replace(tell.config, "QUEUE", address, 1) + fmt.Sprintf("base_url = %q\n%s[events]\nmode = %q\nsecret = %q\nurl = %q\n", address, more, modeOf(name), secretOf(name), hookURL)
	up, err := upstreamtest.Open(kinds.Kinds()[i], settings)
	if err != nil {
		t.Fatalf("%v\n%s", err, settings)
	}
	return up.(upstream.Feedback)
}

func kindIndex(t testing.TB, name string) int {
	for i, k := range kinds.Kinds() {
		if k.Name == name {
			return i
		}
	}
	t.Fatal(name)
	return 0
}

func modeOf(name string) string {
	t := kinds.Kinds()
	for _, k := range t {
		if k.Name == name && k.Traits.Tells.Poll && k.Traits.Tells.Webhook {
			return "both"
		} else if k.Name == name && k.Traits.Tells.Poll {
			return "poll"
		}
	}
	return "webhook"
}

func secretOf(name string) string {
	switch name {
	case "resend":
		return resendSecret
	case "sendgrid":
		_, public := telling.SendGrid{}.Key("sendgrid")
		return public
	case "postal":
		return telling.PublicKey(signer())
	case "ses":
		return "arn:aws:sns:us-east-1:123456789012:mail-events"
	}
	return hookSecret
}

func timeWord(at time.Time) string {
	if time.Since(at) < time.Hour {
		return "now" // or what the provider says will be
	}
	return at.UTC().Format(time.RFC3339Nano)
}

// describe puts events into words, a line each.
func describe(b upstream.Batch) string {
	var s strings.Builder
	for _, e := range b.Events {
		fmt.Fprintf(&s, "%s %s mail=%s queue=%s at=%s status=%s mta=%s key=%s words=%q\n", e.Kind, e.Recipient, e.ProviderID, e.QueueID,
			timeWord(e.At), e.Status, e.RemoteMTA, e.Key, e.Words)
	}
	if b.Skipped > 0 || b.Note != "" {
		fmt.Fprintf(&s, "skipped %d: %s\n", b.Skipped, b.Note)
	}
	return s.String()
}

// TestTold compares what kinds make of their providers' documented events (testdata/events) with what is written there:
// log.json is an answer of the log, hooks.json a list of webhook bodies.
func TestTold(t *testing.T) {
	for name, tell := range tellers() {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("..", name, "testdata", "events")
			log, logErr := os.ReadFile(filepath.Join(dir, "log.json"))
			fake := tell.fake()
			defer fake.Close()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if jmap, ok := tell.dialect.(telling.JMAP); ok { // the session and the account come before
					body, err := io.ReadAll(r.Body)
					if err != nil || jmap.Ask(nil, r, body, nil) == nil {
						r.Body = io.NopCloser(bytes.NewReader(body))
						fake.ServeHTTP(w, r)
						return
					}
				}
				if _, ok := tell.dialect.(interface{ Public(*http.Request) bool }); ok && r.Method == http.MethodGet {
					_, _ = io.WriteString(w, tell.dialect.Ask(nil, r, nil, nil).Body) // the certificate of SNS
					return
				}
				answer := log
				if other, err := os.ReadFile(filepath.Join(dir, "log-"+strings.ReplaceAll(strings.Trim(r.URL.Path, "/"), "/", "-")+".json")); err == nil {
					answer = other
				}
				_, _ = w.Write(answer)
			}))
			defer server.Close()
			f := feedbackOf(t, name, server.URL, tell, "")
			var out strings.Builder
			if logErr == nil {
				b, err := f.Poll(t.Context(), upstream.Ask{Oldest: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
				if err != nil {
					t.Fatal(err)
				}
				out.WriteString("log:\n" + describe(b))
			}
			if raw, err := os.ReadFile(filepath.Join(dir, "hooks.json")); err == nil {
				var bodies []json.RawMessage
				if err := json.Unmarshal(raw, &bodies); err != nil {
					t.Fatal(err)
				}
				for i, body := range bodies {
					h, signed := tell.dialect.Sign(secretOf(name), time.Now(), body)
					b, err := f.Receive(t.Context(), h, signed)
					fmt.Fprintf(&out, "webhook %d:\n%s", i+1, describe(b))
					if err != nil {
						fmt.Fprintf(&out, "error: %v\n", err)
					}
				}
			}
			upstreamtest.CompareGolden(t, filepath.Join(dir, "told.txt"), []byte(out.String()), *update)
		})
	}
}

// TestWebhooks: events that the fake signs are read, whatever else is asked of the provider; others are not believed.
func TestWebhooks(t *testing.T) {
	for name, tell := range tellers() {
		if !kinds.Kinds()[kindIndex(t, name)].Traits.Tells.Webhook {
			continue
		}
		t.Run(name, func(t *testing.T) {
			log := telling.New(tell.fake(), tell.dialect, secretOf(name))
			defer log.Close()
			f := feedbackOf(t, name, log.URL, tell, "")
			e := telling.Entry{ID: "e1", Mail: "m1", QueueID: "01Q", Recipient: "ann@example.org", Kind: upstream.Bounced, At: time.Now(), Words: "550 5.1.1 no such user", Status: "5.1.1"}
			log.Happen(e)
			h, body := log.Webhook(time.Now(), e)
			b, err := f.Receive(t.Context(), h, body)
			if err != nil || len(b.Events) != 1 || b.Events[0].Kind != upstream.Bounced || b.Events[0].Recipient != "ann@example.org" {
				t.Fatalf("%v, %v\n%s", b, err, body)
			}
			if b.Events[0].Unsigned {
				t.Error("a bounce is taken on trust")
			}
			e.ID, e.Kind = "e2", upstream.Delivered
			h, body = log.Webhook(time.Now(), e) // the log does not have it
			if b, err := f.Receive(t.Context(), h, body); err != nil || len(b.Events) != 1 || b.Events[0].Unsigned != (name == "mailgun") {
				t.Errorf("%v, %v\n%s", b, err, body)
			}
			e.ID, e.Kind = "e1", upstream.Bounced
			for how, change := range map[string]func() (http.Header, []byte){
				"no signature": func() (http.Header, []byte) { return http.Header{}, tell.dialect.Body([]telling.Entry{e}) },
				"another secret": func() (http.Header, []byte) {
					return tell.dialect.Sign("other", time.Now(), tell.dialect.Body([]telling.Entry{e}))
				},
				"an old one":      func() (http.Header, []byte) { return log.Webhook(time.Now().Add(-48*time.Hour), e) },
				"one of tomorrow": func() (http.Header, []byte) { return log.Webhook(time.Now().Add(24*time.Hour), e) },
				"another body": func() (http.Header, []byte) {
					h, body := log.Webhook(time.Now(), e)
					return h, bytes.Replace(body, []byte("ann"), []byte("bob"), 1)
				},
			} {
				if (how == "another body") && !tell.covers || strings.Contains(how, "one") && !isTimed(name) {
					continue
				}
				h, body := change()
				if b, err := f.Receive(t.Context(), h, body); !errors.Is(err, upstream.ErrSignature) || len(b.Events) > 0 {
					t.Errorf("%s: %v, %v", how, b, err)
				}
			}
			for _, garbage := range []string{"", "[]", "{}", "null", `"x"`, "[[[", strings.Repeat("[", 100000), `{"event-data":[]}`, `[1,null,"x",{"event":{}}]`} {
				h, body := tell.dialect.Sign(secretOf(name), time.Now(), []byte(garbage))
				if b, err := f.Receive(t.Context(), h, body); len(b.Events) > 0 {
					t.Errorf("%.40q: %v, %v", garbage, b, err)
				}
			}
		})
	}
}

// isTimed reports whether a kind's signatures have a time.
func isTimed(name string) bool {
	return name == "mailgun" || name == "resend" || name == "sendgrid" || name == "ses"
}

// TestPolling: what happened is read once and in whole, page by page, however late it enters the log; and a log that
// cannot be read is named.
func TestPolling(t *testing.T) {
	for name, tell := range tellers() {
		if !kinds.Kinds()[kindIndex(t, name)].Traits.Tells.Poll {
			continue
		}
		t.Run(name, func(t *testing.T) {
			log := telling.New(tell.fake(), tell.dialect, secretOf(name))
			defer log.Close()
			f := feedbackOf(t, name, log.URL, tell, "")
			up := f.(upstream.Upstream)
			mail := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org")
			outcomes := up.Send(t.Context(), mail)
			if outcomes[0].Err != nil {
				t.Fatal(outcomes[0].Err)
			}
			var made []telling.Entry
			for i := range 230 {
				e := telling.Entry{ID: fmt.Sprintf("e%03d", i), Mail: fmt.Sprintf("mail-%03d", i), QueueID: mail.ID, Recipient: fmt.Sprintf("r%03d@example.org", i),
					Kind: upstream.Delivered, At: time.Now().Add(-time.Duration(230-i) * time.Second)}
				if i%10 == 0 {
					e.Kind, e.Words, e.Status = upstream.Bounced, "550 5.1.1 no such user", "5.1.1"
				}
				made = append(made, e)
			}
			log.Happen(made...)
			told, cursor := pollAll(t, f, "", time.Now().Add(-time.Hour))
			count := map[upstream.EventKind]int{}
			for _, e := range told {
				count[e.Kind]++
			}
			if count[upstream.Bounced] != 23 || count[upstream.Delivered] != 207 && count[upstream.Delivered] != 0 { // some logs have only what went wrong
				t.Errorf("%v", count)
			}
			log.Happen(telling.Entry{ID: "late", Mail: "mail-late", QueueID: mail.ID, Recipient: "late@example.org", Kind: upstream.Bounced, At: time.Now().Add(-100 * time.Second)})
			told, _ = pollAll(t, f, cursor, time.Now().Add(-time.Hour))
			if !containsEvent(told, "late@example.org") {
				t.Error("what entered the log late is missing")
			}
			if _, err := f.Poll(t.Context(), upstream.Ask{Since: "9 from a newer program"}); err != nil {
				t.Errorf("a cursor of another program: %v", err)
			}
			checkBadLogs(t, f, log, tell)
		})
	}
}

func containsEvent(list []upstream.Event, recipient string) bool {
	for _, e := range list {
		if e.Recipient == recipient {
			return true
		}
	}
	return false
}

func pollAll(t *testing.T, f upstream.Feedback, since upstream.Cursor, oldest time.Time) (told []upstream.Event, next upstream.Cursor) {
	t.Helper()
	keys := map[string]bool{}
	for page := 0; ; page++ {
		b, err := f.Poll(t.Context(), upstream.Ask{Since: since, Oldest: oldest})
		if err != nil || page > 50 || b.Skipped > 0 {
			t.Fatal(page, err, b.Note)
		}
		for _, e := range b.Events {
			if !keys[e.Key] {
				told = append(told, e)
			}
			keys[e.Key] = true
		}
		since = b.Next
		if !b.More {
			return told, since
		}
	}
}

func checkBadLogs(t *testing.T, f upstream.Feedback, log *telling.Log, tell teller) {
	t.Helper()
	var e *upstream.Error
	for _, bad := range []upstreamtest.Answer{{Status: 200, Body: "<html>"}, {Status: 200, Body: `{"items":`}, {Status: 500, Body: "{}"}, {Status: 404, Body: "{}"}, {Status: 200, Body: `"x"`}} {
		log.Answer(&bad)
		b, err := f.Poll(t.Context(), upstream.Ask{})
		if !errors.As(err, &e) || e.Class != upstream.Temporary && e.Class != upstream.Account || len(b.Events) > 0 {
			t.Errorf("%d %s: %v, %v", bad.Status, bad.Body, b, err)
		}
	}
	log.Answer(&upstreamtest.Answer{Status: 429, Header: http.Header{"Retry-After": {"7"}}, Body: "{}"})
	if _, err := f.Poll(t.Context(), upstream.Ask{}); !errors.As(err, &e) || e.Class != upstream.Throttled || e.RetryAfter != 7*time.Second {
		t.Errorf("429: %v", err)
	}
	if tell.denied != 0 {
		log.Answer(&upstreamtest.Answer{Status: tell.denied, Body: "{}"})
		_, err := f.Poll(t.Context(), upstream.Ask{})
		var scope *upstream.ScopeError
		if !errors.As(err, &scope) || scope.Hint == "" || !errors.As(err, &e) || e.Class != upstream.Account {
			t.Errorf("a key without the right: %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.Poll(ctx, upstream.Ask{}); err == nil {
		t.Error("asked without time to ask")
	}
	log.Answer(nil)
}

// TestTraitsOfFeedback: what the table has of a kind is what its settings take.
func TestTraitsOfFeedback(t *testing.T) {
	for _, k := range kinds.Kinds() {
		tells := k.Traits.Tells
		_, is := opened(t, k).(upstream.Feedback)
		if is != (tells.Poll || tells.Webhook) {
			t.Errorf("%s: Feedback is %v, but %+v", k.Name, is, tells)
		}
		if _, tested := tellers()[k.Name]; tested != is {
			t.Errorf("%s has no dialect in these tests", k.Name)
		}
	}
}

// TestBouncesAlone: the list that Postmark is asked for says nothing of deliveries; elsewhere they are heard of.
func TestBouncesAlone(t *testing.T) {
	for name, tell := range tellers() {
		for _, mode := range []string{"poll", "webhook", "both"} {
			config := strings.Replace(tell.config, "QUEUE", "https://sqs.example.com", 1) + fmt.Sprintf("base_url = \"https://api.example.com\"\n[events]\nmode = %q\nsecret = %q\n", mode, secretOf(name))
			up, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, name)], config)
			if err != nil {
				continue // it has no such mode
			}
			if got := up.(upstream.Feedback).Listening().Bounces; got != (name == "postmark" && mode == "poll") {
				t.Errorf("%s by %s: bounces alone is %v", name, mode, got)
			}
		}
	}
}

// TestTracing: what a provider took is found in its log by our id, once it is there.
func TestTracing(t *testing.T) {
	for name, tell := range tellers() {
		log := telling.New(tell.fake(), tell.dialect, secretOf(name))
		f := feedbackOf(t, name, log.URL, tell, "")
		tracer, ok := f.(upstream.Tracer)
		if !ok {
			log.Close()
			continue
		}
		t.Run(name, func(t *testing.T) {
			defer log.Close()
			m := upstreamtest.NewMail(t, "Message-ID: <1@example.com>\r\n"+upstreamtest.PlainMessage, "b@example.org", "c@example.org")
			m.ID = "01JSENT"
			since := time.Now().Add(-time.Minute)
			if o := f.(upstream.Upstream).Send(t.Context(), m); o[0].Err != nil {
				t.Fatal(o[0].Err)
			}
			log.SetLag(time.Hour)
			if found, err := tracer.Trace(t.Context(), m, since); err != nil || len(found) != 2 || found[0].Found || found[1].Found {
				t.Errorf("before the log has it: %v, %v", found, err)
			}
			log.SetLag(0)
			m.To = append(m.To, upstream.Recipient{Address: "never@example.org"})
			found, err := tracer.Trace(t.Context(), m, since)
			if err != nil || len(found) != 3 || !found[0].Found || !found[1].Found || found[0].ID == "" || found[2].Found {
				t.Errorf("%v, %v", found, err)
			}
			if name != "postmark" && name != "brevo" && name != "jmap" { // which are asked about a mail, not its recipients
				var many []string
				for i := range 201 {
					many = append(many, fmt.Sprintf("r%d@example.org", i))
				}
				var e *upstream.Error
				if _, err := tracer.Trace(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, many...), since); !errors.As(err, &e) || e.Class != upstream.Unrepresentable {
					t.Errorf("of 201 recipients: %v", err)
				}
			}
			m = upstreamtest.NewMail(t, "Message-ID: <2@example.com>\r\n"+upstreamtest.PlainMessage, "b@example.org")
			m.ID = "01JOTHER"
			if found, err := tracer.Trace(t.Context(), m, since); err != nil || found[0].Found {
				t.Errorf("another mail: %v, %v", found, err)
			}
			if d := tracer.TraceDelay(); d < time.Minute || d > time.Hour {
				t.Error(d)
			}
			if d := feedbackOf(t, name, log.URL, tell, "log_delay = \"90s\"\n").(upstream.Tracer).TraceDelay(); d != 90*time.Second {
				t.Errorf("the setting is 90s, not %s", d)
			}
			for _, d := range []string{"0s", "25h"} {
				var ke *upstream.KeyError
				_, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, name)], tell.config+fmt.Sprintf("base_url = %q\nlog_delay = %q\n", log.URL, d))
				if !errors.As(err, &ke) || ke.Key != "log_delay" {
					t.Errorf("log_delay = %q: %v", d, err)
				}
			}
			log.Answer(&upstreamtest.Answer{Status: 500, Body: "{}"})
			if found, err := tracer.Trace(t.Context(), m, since); err == nil {
				t.Errorf("of a log that cannot be read: %v", found)
			}
		})
	}
}

// TestHooks: an address that the provider does not have is named, and given to it.
func TestHooks(t *testing.T) {
	for name, tell := range tellers() {
		log := telling.New(tell.fake(), tell.dialect, secretOf(name))
		f := feedbackOf(t, name, log.URL, tell, "")
		hooker, ok := f.(upstream.Hooker)
		if !ok {
			log.Close()
			continue
		}
		t.Run(name, func(t *testing.T) {
			defer log.Close()
			const address = "https://mail.example.com/events/main"
			if found := hooker.Hook(t.Context(), address); found.Level != upstream.Warn || !strings.Contains(found.Text, "does not send") {
				t.Errorf("%+v", found)
			}
			for range 2 { // again changes nothing
				secret, err := hooker.SetHook(t.Context(), address)
				if err != nil || secret.Reveal() != log.Secret {
					t.Fatalf("%q, %v", secret.Reveal(), err)
				}
				if found := hooker.Hook(t.Context(), address); found.Level != upstream.Fine {
					t.Errorf("%+v", found)
				}
			}
			if found := hooker.Hook(t.Context(), "https://elsewhere.example.com/events/main"); found.Level != upstream.Warn {
				t.Errorf("%+v", found)
			}
			log.Answer(&upstreamtest.Answer{Status: 500, Body: "{}"})
			if _, err := hooker.SetHook(t.Context(), address); err == nil || hooker.Hook(t.Context(), address).Level != upstream.Warn {
				t.Errorf("of a provider that does not answer: %v", err)
			}
		})
	}
}
