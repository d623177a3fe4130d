package queuetest

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// full is a message that uses every field.
func full() queue.Accepted {
	now := time.Now().Round(0)
	to := []envelope.Recipient{
		{Address: "bob@example.org", Given: "bob", Notify: []string{"SUCCESS", "FAILURE"}, ORcpt: "rfc822;Bob@example.org"},
		{Address: "jürgen@bücher.example"},
		{Address: "\"odd name\"@example.org", Notify: []string{"NEVER"}},
	}
	return queue.Accepted{
		Envelope: envelope.Envelope{
			From: "änn@example.com", To: to, Ret: "HDRS", EnvID: "QQ314159", Body: "8BITMIME", UTF8: true, Received: now,
			Client: envelope.Client{
				Addr: netip.MustParseAddr("::1"), Helo: "box", Protocol: "UTF8SMTPSA", User: "uid:ann", Listener: "127.0.0.1:1025", TLS: "TLS 1.3",
			},
		},
		Header: queue.Summary{MessageID: "<1@example.com>", From: "Änn <ann@example.com>", Subject: "日本 <&> \"x\"\x00\t"},
		Parts: []queue.Part{
			{To: to[:1], Lane: lane, State: envelope.Queued, NextAt: now.Truncate(time.Millisecond)},
			{To: to[1:], Lane: "backup", State: envelope.Held, Progress: envelope.Progress{
				Attempts: 3, FirstAttempt: now.Add(-time.Hour), LastAttempt: now, Upstream: "backup", Since: now, Tries: 2,
				Passed: []string{"main"}, Uncertain: true, Class: "temporary", Status: 451, Enhanced: "4.3.0", Error: "später\r\n", Warned: true,
			}},
		},
	}
}

// alike compares messages; times are equal when they are the same instant.
func alike(got, want any) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b time.Time) bool { return a.Equal(b) }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }))
}

func testAccept(t *testing.T, h *house) {
	m := full()
	body := bytesOf(1, 5000)
	id := h.commit(body, m)
	want := queue.Message{ID: id, Envelope: m.Envelope, Header: m.Header, Size: 5000, Parts: m.Parts}
	if diff := alike(h.only(), want); diff != "" {
		t.Errorf("List after Commit (-want +got):\n%s", diff)
	}
	wantBytes(t, "Body", h.body(id), body)
	l := h.claimOne()
	want.Parts = m.Parts[:1]
	if diff := alike(*l.Message(), want); diff != "" {
		t.Errorf("Message of the lease (-want +got):\n%s", diff)
	}
	b, err := l.Body()
	h.must("Body of the lease", err)
	wantBytes(t, "Body of the lease", h.read(b), body)
}

// testAcceptDone: the history of recipients whose fate was known before the message was stored.
func testAcceptDone(t *testing.T, h *house) {
	for _, size := range []int{100, 300 << 10} {
		m := accepted("ann@example.com", "bob@example.org", "eve@example.org")
		m.Header = queue.Summary{Subject: "direct"}
		to := m.Envelope.To
		m.Done = []queue.Record{{Recipient: to[0], State: envelope.Sent, Upstream: "main", ProviderID: "p", Attempts: 1}}
		m.Parts[0].To = to[1:]
		id := h.commit(bytesOf(1, size), m)
		if got := h.only(); len(got.Parts) != 1 || len(got.Parts[0].To) != 1 || got.Parts[0].To[0].Address != "eve@example.org" {
			t.Errorf("what waits: %+v", got.Parts)
		}
		l := h.claimOne()
		h.finish(l, sent(l))

		m.Parts, m.Done = nil, append(m.Done, queue.Record{Recipient: to[1], State: envelope.Failed, Error: "no"})
		whole := h.commit(bytesOf(2, size), m)
		h.restart()
		if n := len(h.list(queue.Filter{})); n != 0 {
			t.Errorf("%d messages wait", n)
		}
		if _, err := h.q.Body(context.Background(), whole); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("the body is kept: %v", err)
		}
		for id, want := range map[string]int{id: 2, whole: 2} {
			records := h.history(queue.HistoryFilter{ID: id})
			if len(records) != want {
				t.Fatalf("%d records, want %d", len(records), want)
			}
			for _, r := range records {
				if r.ID != id || r.From != "ann@example.com" || r.Header.Subject != "direct" || r.Size != int64(size) || r.At.IsZero() {
					t.Errorf("%+v", r)
				}
			}
		}
	}
}

func testAcceptRefuses(t *testing.T, h *house) {
	all := accepted("ann@example.com", "bob@example.org")
	with := func(change func(*queue.Part)) queue.Accepted {
		m := all
		m.Parts = slices.Clone(all.Parts)
		change(&m.Parts[0])
		return m
	}
	from := all
	from.Envelope.From = "a\xff@example.com"
	to := all
	to.Envelope.To = []envelope.Recipient{{Address: "b\xff@example.org"}}
	for _, c := range []struct {
		name string
		m    queue.Accepted
	}{
		{"no part", queue.Accepted{Envelope: all.Envelope}},
		{"no recipient", with(func(p *queue.Part) { p.To = nil })},
		{"final state", with(func(p *queue.Part) { p.State = envelope.Sent })},
		{"no state", with(func(p *queue.Part) { p.State = "" })},
		{"sender not UTF-8", from},
		{"recipient not UTF-8", to},
		{"record's recipient not UTF-8", queue.Accepted{Envelope: all.Envelope, Done: []queue.Record{{Recipient: to.Envelope.To[0], State: envelope.Sent}}}},
		{"record that is not final", queue.Accepted{Envelope: all.Envelope, Done: []queue.Record{{Recipient: all.Envelope.To[0], State: envelope.Held}}}},
		{"part's recipient not UTF-8", with(func(p *queue.Part) { p.To = to.Envelope.To })},
	} {
		if _, err := commit(h.q, []byte("x"), c.m); err == nil {
			t.Errorf("%s: Commit took it", c.name)
		}
	}
	if n := len(h.list(queue.Filter{})); n != 0 {
		t.Errorf("%d messages were kept after errors", n)
	}
}

func testSizes(t *testing.T, h *house) {
	for i, size := range []int{0, 1, 4096, 16 << 10, 16<<10 + 1, 64<<10 - 1, 64 << 10, 128 << 10, 128<<10 + 1, 256 << 10, 256<<10 + 1, 300 << 10, 40 << 20} {
		body := bytesOf(uint64(i), size)
		d, err := h.q.New(context.Background())
		h.must("New", err)
		for rest := body; len(rest) > 0; { // as a session writes: in small pieces
			n := min(len(rest), 4000)
			_, err := d.Write(rest[:n])
			h.must("Write", err)
			rest = rest[n:]
		}
		h.must("Commit", d.Commit(context.Background(), accepted("a@example.com", "b@example.org")))
		wantBytes(t, "Body", h.body(d.ID()), body)
		h.restart()
		wantBytes(t, "Body after a restart", h.body(d.ID()), body)
		l := h.claimOne()
		if got := l.Message().Size; got != int64(size) {
			t.Errorf("Size: got %d, want %d", got, size)
		}
		b, err := l.Body()
		h.must("Body of the lease", err)
		wantBytes(t, "Body of the lease", h.read(b), body)
		h.finish(l, sent(l))
		if _, err := h.q.Body(context.Background(), d.ID()); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Body of a message that is gone: got %v, want ErrNotFound", err)
		}
	}
}

func testDraftBody(t *testing.T, h *house) {
	for _, size := range []int{100, 100 << 10, 1 << 20} {
		body := bytesOf(7, size)
		d, err := h.q.New(context.Background())
		h.must("New", err)
		for _, half := range [][]byte{body[:size/2], body[size/2:]} {
			_, err = d.Write(half)
			h.must("Write", err)
			b, err := d.Body()
			h.must("Body of the draft", err)
			if b.Size() == int64(size) {
				wantBytes(t, "Body of the draft", h.read(b), body)
			} else {
				wantBytes(t, "half Body of the draft", h.read(b), body[:size/2])
			}
		}
		b, err := d.Body()
		h.must("Body of the draft", err)
		tail := make([]byte, 10)
		if n, err := b.ReadAt(tail, int64(size)-5); n != 5 || err != io.EOF {
			t.Errorf("ReadAt over the end: got %d, %v", n, err)
		}
		h.must("Commit", d.Commit(context.Background(), accepted("a@example.com", "b@example.org")))
		wantBytes(t, "Body", h.body(d.ID()), body)
		if _, err := d.Write([]byte("x")); err == nil {
			t.Error("Write after Commit: no error")
		}
		if _, err := d.Body(); err == nil {
			t.Error("Body after Commit: no error")
		}
		if err := d.Commit(context.Background(), accepted("a@example.com", "b@example.org")); err == nil {
			t.Error("second Commit: no error")
		}
		h.must("Discard after Commit", d.Discard())
		wantBytes(t, "Body after Discard", h.body(d.ID()), body)
	}
}

func testDiscard(t *testing.T, h *house) {
	for _, size := range []int{100, 1 << 20} {
		d, err := h.q.New(context.Background())
		h.must("New", err)
		_, err = d.Write(bytesOf(1, size))
		h.must("Write", err)
		h.must("Discard", d.Discard())
		h.must("second Discard", d.Discard())
		if err := d.Commit(context.Background(), accepted("a@example.com", "b@example.org")); err == nil {
			t.Error("Commit after Discard: no error")
		}
	}
	if n := len(h.list(queue.Filter{})); n != 0 {
		t.Errorf("%d messages were kept", n)
	}
}

func testIDs(t *testing.T, h *house) {
	form := regexp.MustCompile(`^[0-9A-Za-z]{8,20}$`)
	last := ""
	for i := range 3000 {
		if i == 1500 {
			h.add("b@example.org")
			h.restart()
		}
		d, err := h.q.New(context.Background())
		h.must("New", err)
		if id := d.ID(); !form.MatchString(id) || id <= last {
			t.Fatalf("id %q after %q", id, last)
		}
		last = d.ID()
		h.must("Discard", d.Discard())
	}
}

func testReopen(t *testing.T, h *house) {
	m := full()
	body := bytesOf(3, 200<<10)
	id := h.commit(body, m)
	h.add("c@example.org")
	h.restart()
	got := h.list(queue.Filter{IDs: []string{id}})
	if len(got) != 1 {
		t.Fatalf("got %d messages, want 1", len(got))
	}
	want := queue.Message{ID: id, Envelope: m.Envelope, Header: m.Header, Size: int64(len(body)), Parts: m.Parts}
	if diff := alike(got[0], want); diff != "" {
		t.Errorf("after a restart (-want +got):\n%s", diff)
	}
	wantBytes(t, "Body", h.body(id), body)
	if n := len(h.claim(10)); n != 2 {
		t.Errorf("Claim after a restart: got %d, want 2", n)
	}
}

func testClosed(t *testing.T, h *house) {
	h.add("b@example.org")
	l := h.claimOne()
	d, err := h.q.New(context.Background())
	h.must("New", err)
	_, err = d.Write(bytesOf(1, 1<<20))
	h.must("Write", err)
	q := h.q
	h.stop()
	ctx := context.Background()
	_, newErr := q.New(ctx)
	_, claimErr := q.Claim(ctx, lane, 1, longTime)
	_, lanesErr := q.Lanes(ctx)
	_, listErr := q.List(ctx, queue.Filter{}, queue.Page{})
	_, bodyErr := q.Body(ctx, d.ID())
	_, retryErr := q.Retry(ctx, queue.Filter{}, operator)
	_, historyErr := q.Search(ctx, queue.HistoryFilter{})
	_, statsErr := q.Stats(ctx)
	_, pruneErr := q.Prune(ctx, queue.Keep{SentAfter: time.Now(), FailedAfter: time.Now()})
	for what, err := range map[string]error{
		"New": newErr, "Claim": claimErr, "Lanes": lanesErr, "List": listErr, "Body": bodyErr, "Retry": retryErr,
		"History": historyErr, "Stats": statsErr, "Hasten": q.Hasten(ctx, lane, time.Time{}), "Prune": pruneErr,
		"Commit": d.Commit(ctx, accepted("a@example.com", "b@example.org")), "Finish": l.Finish(ctx, sent(l)), "Close": q.Close(),
	} {
		if !errors.Is(err, queue.ErrClosed) {
			t.Errorf("%s after Close: got %v, want ErrClosed", what, err)
		}
	}
	h.start()
	if n := len(h.list(queue.Filter{})); n != 1 {
		t.Errorf("after opening again: %d messages, want 1", n)
	}
}
