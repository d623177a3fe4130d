package postgres

import (
	"context"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

const lane = "main"

// open opens a store and runs it until the end of the test.
func open(t testing.TB, o queue.Settings) *Store {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	s, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(context.Background()) }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// mail is a message with one part for all its recipients.
func mail(to ...string) queue.Accepted {
	m := queue.Accepted{Envelope: envelope.Envelope{From: "ann@example.com", Received: time.Now()}}
	for _, address := range to {
		m.Envelope.To = append(m.Envelope.To, envelope.Recipient{Address: address})
	}
	m.Parts = []queue.Part{{To: m.Envelope.To, Lane: lane, State: envelope.Queued}}
	return m
}

func commit(s *Store, body string, m queue.Accepted) (id string, err error) {
	d, err := s.New(context.Background())
	if err != nil {
		return "", err
	}
	defer d.Discard() //nolint:errcheck // after Commit it does nothing
	if _, err := d.Write([]byte(body)); err != nil {
		return "", err
	}
	return d.ID(), d.Commit(context.Background(), m)
}

// accept accepts a message for one recipient.
func accept(t testing.TB, s *Store, body string) string {
	t.Helper()
	id, err := commit(s, body, mail("bob@example.org"))
	if err != nil {
		t.Fatalf("Commit: %v", err)
	}
	return id
}

func claim(t testing.TB, s *Store, most int, d time.Duration) []queue.Lease {
	t.Helper()
	list, err := s.Claim(context.Background(), lane, most, d)
	if err != nil {
		t.Fatalf("Claim: %v", err)
	}
	return list
}

// sent is the result of a part whose recipients all got the mail.
func sent(l queue.Lease) (r queue.Result) {
	for _, to := range l.Message().Parts[0].To {
		r.Done = append(r.Done, queue.Record{Recipient: to, State: envelope.Sent, Upstream: lane, ProviderID: "p-1", Attempts: 1})
	}
	return r
}

// await waits for what comes about in the background.
func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
