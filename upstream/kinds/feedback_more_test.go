package kinds_test

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"mailhatch/upstream"
	"mailhatch/upstream/kinds"
	"mailhatch/upstream/upstreamtest"
	"mailhatch/upstream/upstreamtest/telling"
)

// TestModes: a kind listens in the ways that its provider has, and in no other.
func TestModes(t *testing.T) {
	for name, tell := range tellers() {
		tells := kinds.Kinds()[kindIndex(t, name)].Traits.Tells
		base := strings.Replace(tell.config, "QUEUE", "http://127.0.0.1:1", 1) + "base_url = \"http://127.0.0.1:1\"\n[events]\nurl = \"" + hookURL + "\"\n"
		for mode, want := range map[string]upstream.Listening{
			"off": {}, "poll": {Every: 2 * time.Minute}, "webhook": {Webhook: true}, "both": {Every: 2 * time.Minute, Webhook: true},
		} {
			up, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, name)], base+fmt.Sprintf("mode = %q\nevery = \"2m\"\n", mode))
			if want.Every > 0 && !tells.Poll || want.Webhook && !tells.Webhook {
				var ke *upstream.KeyError
				if !errors.As(err, &ke) || ke.Key != "events.mode" {
					t.Errorf("%s, %s: %v", name, mode, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s, %s: %v", name, mode, err)
				continue
			}
			f := up.(upstream.Feedback)
			got := f.Listening()
			if got.Every != want.Every || got.Webhook != want.Webhook || got.URL != hookURL || tells.Poll && got.Pace <= 0 {
				t.Errorf("%s, %s: %+v", name, mode, got)
			}
			if _, err := f.Poll(t.Context(), upstream.Ask{}); err == nil {
				t.Errorf("%s: a provider that is not there was asked", name)
			}
			if _, err := f.Receive(t.Context(), nil, []byte("{}")); !errors.Is(err, upstream.ErrSignature) {
				t.Errorf("%s: without a secret: %v", name, err)
			}
		}
	}
	_, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, "mandrill")], "api_key = \"key\"\n[events]\nmode = \"webhook\"\n")
	var ke *upstream.KeyError
	if !errors.As(err, &ke) || ke.Key != "events.url" {
		t.Errorf("mandrill without url: %v", err)
	}
}

// TestUnconfirmedWebhooksOfMailgun: what a key may not look up does not count, and is named; what the log does not have
// yet is to be sent again.
func TestUnconfirmedWebhooksOfMailgun(t *testing.T) {
	tell := tellers()["mailgun"]
	log := telling.New(tell.fake(), tell.dialect, secretOf("mailgun"))
	defer log.Close()
	f := feedbackOf(t, "mailgun", log.URL, tell, "")
	bounce := telling.Entry{ID: "e1", Mail: "m1", QueueID: "01Q", Recipient: "ann@example.org", Kind: upstream.Bounced, At: time.Now().Add(-time.Second)}
	h, body := log.Webhook(time.Now(), bounce)
	var e *upstream.Error
	if b, err := f.Receive(t.Context(), h, body); !errors.As(err, &e) || e.Class != upstream.Temporary || len(b.Events) > 0 {
		t.Errorf("not in the log: %v, %v", b, err)
	}
	log.Happen(bounce)
	log.Answer(&upstreamtest.Answer{Status: 401, Body: "Forbidden"})
	if b, err := f.Receive(t.Context(), h, body); err != nil || len(b.Events) > 0 || !strings.Contains(b.Note, "role Analyst") || b.Nonce == "" {
		t.Errorf("a key that may not look: %+v, %v", b, err)
	}
	log.Answer(&upstreamtest.Answer{Status: 500, Body: "{}"})
	if b, err := f.Receive(t.Context(), h, body); err == nil || len(b.Events) > 0 {
		t.Errorf("a log that fails: %+v, %v", b, err)
	}
	log.Answer(nil)
	if b, err := f.Receive(t.Context(), h, body); err != nil || len(b.Events) != 1 || b.Nonce == "" {
		t.Errorf("confirmed: %+v, %v", b, err)
	}
}

// TestBusyStretchOfSendGrid: a stretch with more messages than are asked about at once is halved until it is not, and one
// second in which many bounced is read by several polls.
func TestBusyStretchOfSendGrid(t *testing.T) {
	tell := tellers()["sendgrid"]
	log := telling.New(tell.fake(), tell.dialect, secretOf("sendgrid"))
	defer log.Close()
	f := feedbackOf(t, "sendgrid", log.URL, tell, "")
	busy := time.Now().Add(-20 * time.Minute)
	for i := range 120 {
		e := telling.Entry{ID: fmt.Sprint("e", i), Mail: fmt.Sprint("mail-", i), Recipient: fmt.Sprintf("r%d@example.org", i), Kind: upstream.Bounced, Words: "550 5.1.1 no", At: busy}
		if i < 60 {
			e.At = time.Now().Add(-time.Duration(i+1) * 10 * time.Second)
		}
		log.Happen(e)
	}
	keys, since := map[string]bool{}, upstream.Cursor("")
	for more := true; more; {
		asked := len(log.Asked())
		b, err := f.Poll(t.Context(), upstream.Ask{Since: since, Oldest: time.Now().Add(-time.Hour)})
		if n := len(log.Asked()) - asked; err != nil || n > 21 {
			t.Fatalf("%d questions in one poll, %v", n, err)
		}
		for _, e := range b.Events {
			keys[e.Key] = true
		}
		since, more = b.Next, b.More
	}
	if len(keys) != 120 {
		t.Errorf("%d of 120 are known", len(keys))
	}
}

// TestErrorsComeOnce: a setting that several clients of an upstream share is blamed once.
func TestErrorsComeOnce(t *testing.T) {
	for name, tell := range tellers() {
		_, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, name)], strings.Replace(tell.config, "QUEUE", "http://127.0.0.1:1", 1)+"base_url = \"http://127.0.0.1:1\"\nca_file = \"none.pem\"\ntimeout = \"0s\"\n")
		if err == nil || strings.Count(err.Error(), "ca_file") != 1 || strings.Count(err.Error(), "timeout") != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSeveralRecipientsOfResend: the list of mail does not show which of several recipients a state is about.
func TestSeveralRecipientsOfResend(t *testing.T) {
	tell := tellers()["resend"]
	log := telling.New(tell.fake(), tell.dialect, secretOf("resend"))
	defer log.Close()
	f := feedbackOf(t, "resend", log.URL, tell, "")
	since := upstream.Cursor("")
	for range 2 { // bounces and complaints come first
		b, err := f.Poll(t.Context(), upstream.Ask{Since: since})
		if err != nil {
			t.Fatal(err)
		}
		since = b.Next
	}
	now := time.Now().Format(time.RFC3339)
	log.Answer(&upstreamtest.Answer{Status: 200, Body: `{"data":[{"id":"m1","to":["ann@example.org","bob@example.org"],"created_at":"` + now + `","last_event":"bounced"},
		{"id":"m2","to":["carl@example.org"],"created_at":"` + now + `","last_event":"delivered"}]}`})
	if b, err := f.Poll(t.Context(), upstream.Ask{Since: since}); err != nil || len(b.Events) != 1 || b.Events[0].ProviderID != "m2" {
		t.Errorf("%+v, %v", b, err)
	}
}

// TestTraceOfAnotherMail: a log that returns more than was asked for does not make a mail look as if it had been sent.
func TestTraceOfAnotherMail(t *testing.T) {
	for name, body := range map[string]string{
		"brevo":    `{"events":[{"email":"b@example.org","event":"delivered","messageId":"m1","tag":"01JOTHER"}]}`,
		"postmark": `{"TotalCount":1,"Messages":[{"MessageID":"m1","Recipients":["b@example.org"],"Metadata":{"mailhatch_id":"01JOTHER"}}]}`,
		"mailgun":  `{"items":[{"event":"accepted","recipient":"b@example.org","user-variables":{"mailhatch_id":"01JOTHER"},"message":{"headers":{"message-id":"m1"}}}],"pagination":{}}`,
	} {
		tell := tellers()[name]
		log := telling.New(tell.fake(), tell.dialect, secretOf(name))
		f := feedbackOf(t, name, log.URL, tell, "").(upstream.Tracer)
		log.Answer(&upstreamtest.Answer{Status: 200, Body: body})
		m := upstreamtest.NewMail(t, upstreamtest.PlainMessage, "b@example.org")
		for id, want := range map[string]bool{"01JSENT": false, "01JOTHER": true} {
			m.ID = id
			if found, err := f.Trace(t.Context(), m, time.Now().Add(-time.Minute)); err != nil || found[0].Found != want {
				t.Errorf("%s: %s: %v, %v", name, id, found, err)
			}
		}
		log.Close()
	}
}

// TestKeysOfPostal: the server's key is taken as people have it.
func TestKeysOfPostal(t *testing.T) {
	tell := tellers()["postal"]
	public := telling.PublicKey(signer())
	der, err := base64.StdEncoding.DecodeString(public)
	if err != nil {
		t.Fatal(err)
	}
	h, body := tell.dialect.Sign(public, time.Now(), tell.dialect.Body([]telling.Entry{{ID: "e1", Mail: "m1", Recipient: "ann@example.org", Kind: upstream.Delivered, At: time.Now()}}))
	for secret, good := range map[string]bool{public: true, "v=DKIM1; t=s; h=sha256; p=" + public + ";": true,
		string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})): true, "no key": false, base64.StdEncoding.EncodeToString([]byte("no key")): false} {
		up, err := upstreamtest.Open(kinds.Kinds()[kindIndex(t, "postal")], fmt.Sprintf("api_key = \"key\"\nbase_url = \"http://127.0.0.1:1\"\n[events]\nmode = \"webhook\"\nsecret = %q\n", secret))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := up.(upstream.Feedback).Receive(t.Context(), h, body); (err == nil && len(b.Events) == 1) != good {
			t.Errorf("%.40s: %v", secret, err)
		}
	}
}
