package kinds_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/telling"
)

// checkEvents holds what a kind made of anything at all to what its listeners rely on.
func checkEvents(t *testing.T, b upstream.Batch, err error) {
	t.Helper()
	var e *upstream.Error
	if err != nil && !errors.Is(err, upstream.ErrSignature) && !errors.Is(err, upstream.ErrEvents) && !errors.As(err, &e) {
		t.Errorf("an error of no kind: %v", err)
	}
	if err != nil && len(b.Events) > 0 || len(b.Events) > upstream.MaxEvents || strings.ContainsAny(b.Note, "\r\n") {
		t.Errorf("%d events, %q, %v", len(b.Events), b.Note, err)
	}
	for _, e := range b.Events {
		if e.Key == "" || e.Kind.String() == "" || !strings.Contains(e.Recipient, "@") || e.ProviderID == "" && e.QueueID == "" || e.At.After(time.Now()) ||
			strings.ContainsAny(e.Words+e.Recipient+e.Key+e.ProviderID+e.QueueID+e.RemoteMTA, "\r\n\x00") {
			t.Errorf("%+v", e)
		}
	}
}

// FuzzTold gives bodies of webhooks and answers of logs to all kinds that listen.
func FuzzTold(f *testing.F) {
	all := tellers()
	var answer atomic.Value
	answer.Store("{}")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if ses, ok := all["ses"].dialect.(*telling.SES); ok && ses.Public(r) && strings.HasSuffix(r.URL.Path, ".pem") {
			_, _ = io.WriteString(w, ses.Ask(nil, r, nil, nil).Body)
			return
		}
		_, _ = io.WriteString(w, answer.Load().(string))
	}))
	f.Cleanup(server.Close)
	for name := range all {
		for _, file := range []string{"hooks.json", "log.json"} {
			if raw, err := os.ReadFile(filepath.Join("..", name, "testdata", "events", file)); err == nil {
				f.Add(string(raw))
			}
		}
	}
	ups := map[string]upstream.Feedback{}
	for name, tell := range all {
		ups[name] = feedbackOf(f, name, server.URL, tell, "")
	}
	f.Fuzz(func(t *testing.T, body string) {
		answer.Store(body)
		for name, tell := range all {
			up := ups[name]
			h, signed := tell.dialect.Sign(secretOf(name), time.Now(), []byte(body))
			b, err := up.Receive(t.Context(), h, signed)
			checkEvents(t, b, err)
			if kinds.Kinds()[kindIndex(t, name)].Traits.Tells.Poll {
				b, err = up.Poll(t.Context(), upstream.Ask{})
				checkEvents(t, b, err)
			}
		}
	})
}

// TestWebhooksAreSentAgain: a webhook that could not be stored comes again, as often as the provider documents, and is
// the same event.
func TestWebhooksAreSentAgain(t *testing.T) {
	for name, tell := range tellers() {
		if !kinds.Kinds()[kindIndex(t, name)].Traits.Tells.Webhook {
			continue
		}
		t.Run(name, func(t *testing.T) {
			log := telling.New(tell.fake(), tell.dialect, secretOf(name))
			defer log.Close()
			f := feedbackOf(t, name, log.URL, tell, "")
			var keys []string
			status := 503
			gateway := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil {
					t.Error(err)
				}
				b, err := f.Receive(r.Context(), r.Header, body)
				if err != nil || len(b.Events) != 1 {
					t.Errorf("%v, %v", b, err)
					return
				}
				keys = append(keys, b.Events[0].Key)
				w.WriteHeader(status)
			}))
			defer gateway.Close()
			e := telling.Entry{ID: "e1", Mail: "m1", QueueID: "01Q", Recipient: "ann@example.org", Kind: upstream.Bounced, At: time.Now().Add(-time.Second), Words: "550 5.1.1 no such user"}
			log.Happen(e)
			waits := 0
			got, err := log.Push(t.Context(), gateway.URL, func(d time.Duration) {
				if waits++; waits == 2 {
					status = 200
				}
			}, e)
			if err != nil || got != 200 || len(keys) != 3 || keys[0] != keys[1] || keys[1] != keys[2] {
				t.Errorf("%d, %v, %q", got, err, keys)
			}
		})
	}
}

// TestQueueIsEmptied: what SES put into a queue is deleted once it is stored, and not before.
func TestQueueIsEmptied(t *testing.T) {
	tell := tellers()["ses"]
	ses := tell.dialect.(*telling.SES)
	log := telling.New(tell.fake(), ses, secretOf("ses"))
	defer log.Close()
	f := feedbackOf(t, "ses", log.URL, tell, "")
	log.Happen(telling.Entry{ID: "e1", Mail: "m1", Recipient: "ann@example.org", Kind: upstream.Delivered})
	b, err := f.Poll(t.Context(), upstream.Ask{})
	if err != nil || len(b.Events) != 1 || len(ses.Deleted()) != 0 {
		t.Fatal(b, err, ses.Deleted())
	}
	if _, err := f.Poll(t.Context(), upstream.Ask{Since: b.Next}); err != nil || len(ses.Deleted()) != 1 {
		t.Error(err, ses.Deleted())
	}
	for settings, key := range map[string]string{"[events]\nmode = \"poll\"\n": "events_queue", "events_queue = \"http://example.com/x\"\n": "events_queue", "events_queue = \"https://sqs.eu-west-1.amazonaws.com/\"\n": "events_queue"} {
		_, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, "ses")], "region = \"us-east-1\"\naccess_key_id = \"AKIDEXAMPLE\"\nsecret_access_key = \"key\"\n"+settings)
		var ke *upstream.KeyError
		if !errors.As(err, &ke) || ke.Key != key {
			t.Errorf("%s: %v", settings, err)
		}
	}
}
