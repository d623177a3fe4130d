package teller_test

import (
	"errors"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/teller"
)

func TestTeller(t *testing.T) {
	fake := &teller.Teller{Page: 2, Secret: "s", How: upstream.Listening{Every: time.Minute, Webhook: true}}
	var f upstream.Feedback = fake
	outcomes := fake.Send(t.Context(), upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org"))
	if len(outcomes) != 1 || outcomes[0].ID != "told-1" || len(fake.Taken()) != 1 || f.Listening().Off() {
		t.Fatal(outcomes)
	}
	for _, key := range []string{"a", "b", "c"} {
		fake.Happen(upstream.Event{ProviderID: "told-1", Recipient: "b@example.org", Kind: upstream.Bounced, Key: key})
	}
	first, err := f.Poll(t.Context(), upstream.Ask{Since: "from a newer program"})
	if err != nil || len(first.Events) != 2 || !first.More {
		t.Fatal(first, err)
	}
	second, err := f.Poll(t.Context(), upstream.Ask{Since: first.Next})
	if err != nil || len(second.Events) != 1 || second.More || second.Events[0].Key != "c" {
		t.Fatal(second, err)
	}
	fake.Fail(errors.New("garbage"))
	if _, err := f.Poll(t.Context(), upstream.Ask{}); err == nil || fake.Polls() != 3 {
		t.Error(err, fake.Polls())
	}
	h, body := fake.Webhook(upstream.Event{Key: "d"})
	if b, err := f.Receive(t.Context(), h, body); err != nil || b.Events[0].Key != "d" {
		t.Error(b, err)
	}
	if _, err := f.Receive(t.Context(), h, append(body, ' ')); !errors.Is(err, upstream.ErrSignature) {
		t.Error(err)
	}
	settings := fake.Kind().New()
	if up, err := settings.Open(upstream.Env{}); err != nil || up != upstream.Upstream(fake) {
		t.Error(up, err)
	}
}
