package kinds_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/telling"
)

// FuzzWebhooks gives bodies of genuine webhooks to a kind. One kind for each input, in an order that never changes, and
// no network: a fuzzer learns nothing where the same input takes another way each time.
func FuzzWebhooks(f *testing.F) {
	all := tellers()
	names := slices.Sorted(maps.Keys(all))
	ups := make([]upstream.Feedback, len(names))
	for i, name := range names {
		log := telling.New(all[name].fake(), all[name].dialect, secretOf(name))
		f.Cleanup(log.Close)
		ups[i] = feedbackOf(f, name, log.URL, all[name], "")
		h, body := log.Webhook(time.Now(), telling.Entry{ID: "e1", Mail: "m1", Recipient: "ann@example.org", Kind: upstream.Delivered})
		_, _ = ups[i].Receive(f.Context(), h, body) // the certificate of SNS is there from now on
		raw, err := os.ReadFile(filepath.Join("..", name, "testdata", "events", "hooks.json"))
		if err != nil {
			continue // jmap has no webhooks
		}
		var bodies []json.RawMessage
		if err := json.Unmarshal(raw, &bodies); err != nil {
			f.Fatal(err)
		}
		for _, body := range bodies {
			f.Add(uint(i), string(body))
		}
	}
	over, cancel := context.WithCancel(f.Context())
	cancel()
	f.Fuzz(func(t *testing.T, kind uint, body string) {
		i := int(kind % uint(len(names)))
		h, signed := all[names[i]].dialect.Sign(secretOf(names[i]), time.Now(), []byte(body))
		b, err := ups[i].Receive(over, h, signed)
		telling.Check(t, b, err)
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
	if b, err := f.Poll(t.Context(), upstream.Ask{}); err != nil || len(b.Events) != 0 {
		t.Errorf("what is being stored is read again: %v, %v", b, err)
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
