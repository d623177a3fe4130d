package historytest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
)

// text is a message of about so many bytes.
func text(subject string, size int) string {
	return "Subject: " + subject + "\r\nX-Class: bulk\r\n\r\n" + strings.Repeat("0123456789abcde\r\n", 1+size/17)
}

// sizes are those for which engines have different places.
func sizes() []int { return []int{100, 7000, 100 << 10, 1 << 20} }

// wantBody compares the bytes of a message; "" is for none.
func (h *house) wantBody(what, id, want string) {
	h.Helper()
	b, err := h.q.Body(context.Background(), id)
	if want == "" {
		if !errors.Is(err, queue.ErrNotFound) {
			h.Errorf("%s: Body of %s: %v, want ErrNotFound", what, id, err)
		}
		if err == nil {
			b.Close()
		}
		return
	}
	if err != nil {
		h.Errorf("%s: Body of %s: %v", what, id, err)
		return
	}
	defer b.Close()
	if got, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size())); err != nil || !bytes.Equal(got, []byte(want)) {
		h.Errorf("%s: Body of %s has %d bytes, want %d: %v", what, id, len(got), len(want), err)
	}
}

func (h *house) finished(id string) *queue.Finished {
	h.Helper()
	m, err := h.q.Finished(context.Background(), id)
	h.must("Finished", err)
	return m
}

// await waits for what an engine does in the background.
func (h *house) await(what string, ok func() bool) {
	h.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("waited in vain for %s", what)
		}
	}
}

// testFinished: envelope and header are kept as long as the history, and nothing else.
func testFinished(t *testing.T, h *house) {
	ctx := context.Background()
	var ids, bodies []string
	for _, size := range sizes() {
		m := mail("ann@example.com", "a@example.org", "b@example.org")
		m.Envelope.Ret, m.Envelope.EnvID, m.Envelope.To[1].ORcpt = "HDRS", "q1", "rfc822;b@x"
		m.Header.Subject = "hello"
		bodies = append(bodies, text("hello", size))
		ids = append(ids, h.add(bodies[len(bodies)-1], m))
		if _, err := h.q.Finished(ctx, ids[len(ids)-1]); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Finished of a message that waits: %v", err)
		}
		l := h.claim(lane)
		to := l.Message().Parts[0].To
		h.finish(l, queue.Result{Done: []queue.Record{{Recipient: to[0], State: envelope.Sent}}, Parts: []queue.Part{{To: to[1:], Lane: "b", State: envelope.Queued}}})
		if _, err := h.q.Finished(ctx, ids[len(ids)-1]); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Finished of a message with a part left: %v", err)
		}
		h.wantBody("with a part left", ids[len(ids)-1], bodies[len(bodies)-1])
		h.send(h.claim("b"), queue.Record{})
		h.wantBody("after the end", ids[len(ids)-1], "")
	}
	check := func(what string) {
		t.Helper()
		for i, id := range ids {
			m := h.finished(id)
			if m.ID != id || m.Envelope.From != "ann@example.com" || len(m.Envelope.To) != 2 || m.Envelope.To[1].ORcpt != "rfc822;b@x" || m.Envelope.Ret != "HDRS" ||
				m.Envelope.EnvID != "q1" || m.Header.Subject != "hello" || m.Size != int64(len(bodies[i])) || m.Kept || string(m.Fields) != "Subject: hello\r\nX-Class: bulk\r\n" {
				t.Errorf("%s: %+v", what, m)
			}
			h.wantBody(what, id, "")
		}
		if n := len(h.list()); n != 0 {
			t.Errorf("%s: %d messages are in the queue", what, n)
		}
	}
	check("at once")
	h.prune(queue.Keep{})
	check("after Prune")
	h.restart()
	check("after a restart")
	h.prune(queue.Keep{SentAfter: time.Now().Add(time.Minute)})
	for _, id := range append(ids, "0000000000001", "?") {
		if _, err := h.q.Finished(ctx, id); !errors.Is(err, queue.ErrNotFound) {
			t.Errorf("Finished of %s without history: %v", id, err)
		}
	}
}

// testFinishedOdd: a header without end, a long one, and a message of which nothing was to wait.
func testFinishedOdd(t *testing.T, h *house) {
	for name, body := range map[string]string{
		"no body": "Subject: x\r\n", "nothing": "", "long": text(strings.Repeat("x", 100_000), 10),
	} {
		for _, direct := range []bool{false, true} {
			m := mail("ann@example.com", "a@example.org")
			if direct {
				m.Parts, m.Done = nil, []queue.Record{{Recipient: m.Envelope.To[0], State: envelope.Discarded}}
			}
			id := h.add(body, m)
			if !direct {
				h.send(h.claim(lane), queue.Record{})
			}
			for _, when := range []string{"at once", "later"} {
				got := h.finished(id)
				if fields := string(got.Fields); !strings.HasPrefix(body, fields) || len(fields) < min(10, len(body)) || len(fields) > 64<<10 || got.Size != int64(len(body)) {
					t.Errorf("%s, direct %v, %s: %d bytes of header", name, direct, when, len(fields))
				}
				h.prune(queue.Keep{})
			}
			h.wantBody(name, id, "")
		}
	}
}

func (h *house) list() []queue.Message {
	h.Helper()
	list, err := h.q.List(context.Background(), queue.Filter{}, queue.Page{})
	h.must("List", err)
	return list
}

// testKeepBodies: bodies stay for as long as they are asked for, but no longer than their history.
func testKeepBodies(t *testing.T, h *house) {
	h.prune(queue.Keep{Bodies: queue.KeepBodies{For: time.Hour}})
	send := func(size int, at time.Time) (id, body string) {
		body = text("kept", size)
		id = h.add(body, mail("ann@example.com", "a@example.org"))
		h.send(h.claim(lane), queue.Record{At: at})
		return id, body
	}
	var old, young, bodies []string
	for _, size := range sizes() {
		o, _ := send(size, time.Now().Add(-2*time.Hour))
		y, body := send(size, time.Now())
		old, young, bodies = append(old, o), append(young, y), append(bodies, body)
	}
	future, _ := send(10, time.Now().Add(1000*time.Hour)) // of a clock that was wrong
	deleted, waits := h.add("x", mail("ann@example.com", "d@example.org")), h.add("y", mail("ann@example.com", "w@example.org"))
	if n, err := h.q.Delete(context.Background(), queue.Filter{To: "d@*"}, "root"); n.Messages != 1 || err != nil {
		t.Errorf("Delete: %+v, %v", n, err)
	}
	h.wantBody("deleted", deleted, "")
	h.finished(deleted)
	partly := h.deletePartly()
	for _, when := range []string{"before a restart", "after it"} {
		h.prune(queue.Keep{Bodies: queue.KeepBodies{For: time.Hour}})
		for i, id := range young {
			h.wantBody(when, id, bodies[i])
			if !h.finished(id).Kept {
				t.Errorf("%s: %s is not told to be kept", when, id)
			}
		}
		h.wantBody(when, old[0], "") // the first; others may wait behind younger ones
		h.wantBody(when, waits, "y")
		h.wantBody(when+", deleted for one recipient and sent to the other", partly, "z")
		if n := len(h.list()); n != 1 {
			t.Errorf("%s: %d messages are in the queue, want 1", when, n)
		}
		h.restart()
	}
	h.prune(queue.Keep{SentAfter: time.Now().Add(time.Minute), Bodies: queue.KeepBodies{For: 24 * time.Hour}})
	for _, id := range append(append(old, young...), future) {
		h.wantBody("with the history", id, "")
	}
	h.wantBody("of mail that waits", waits, "y")
}

// deletePartly adds a message that is sent to one recipient and then deleted for the other.
func (h *house) deletePartly() (id string) {
	h.Helper()
	m := mail("ann@example.com", "s@example.org", "d@example.org")
	m.Parts[0].Lane = "z"
	id = h.add("z", m)
	l := h.claim("z")
	to := l.Message().Parts[0].To
	h.finish(l, queue.Result{Done: []queue.Record{{Recipient: to[0], State: envelope.Sent}}, Parts: []queue.Part{{To: to[1:], Lane: "b", State: envelope.Queued}}})
	if n, err := h.q.Delete(context.Background(), queue.Filter{To: "d@*"}, "root"); n.Messages != 1 || err != nil {
		h.Errorf("Delete: %+v, %v", n, err)
	}
	if f := h.finished(id); !f.Kept {
		h.Errorf("deleted for one recipient and sent to the other: %+v", f)
	}
	return id
}

// testKeepBodiesBounds: beyond a number of messages or bytes the oldest go, in the background too.
func testKeepBodiesBounds(t *testing.T, h *house) {
	for _, keep := range []queue.KeepBodies{{For: time.Hour, Count: 3}, {For: time.Hour, Bytes: 3 * 2000}} {
		h.prune(queue.Keep{Bodies: keep})
		var ids []string
		for range 7 {
			ids = append(ids, h.add(strings.Repeat("x", 2000), mail("ann@example.com", "a@example.org", "b@example.org")))
			h.send(h.claim(lane), queue.Record{})
		}
		gone := func(id string) bool {
			b, err := h.q.Body(context.Background(), id)
			if err == nil {
				b.Close()
			}
			return errors.Is(err, queue.ErrNotFound)
		}
		h.await("the oldest to go", func() bool { return gone(ids[3]) })
		for i, id := range ids {
			if gone(id) != (i < 4) {
				t.Errorf("%+v: body %d", keep, i)
			}
		}
	}
	h.prune(queue.Keep{Bodies: queue.KeepBodies{}})
	for _, r := range h.search(queue.HistoryFilter{}) {
		h.wantBody("none are kept any more", r.ID, "")
	}
}

// KeepsFromTheStart checks an engine that opens with Settings.Bodies of an hour: a body stays of a message that ends before the
// first Prune. plain is the same engine without Settings.Bodies, as a command opens it to look: it takes nothing away.
func KeepsFromTheStart(t *testing.T, keeping, plain queuetest.Engine) {
	h := &house{T: t, dir: t.TempDir(), engine: keeping}
	h.start()
	t.Cleanup(func() { h.stop() })
	id := h.add("early", mail("ann@example.com", "a@example.org"))
	h.send(h.claim(lane), queue.Record{})
	h.wantBody("before the first Prune", id, "early")
	h.engine = plain
	h.restart()
	h.engine = keeping
	h.restart()
	h.wantBody("after a command has looked", id, "early")
	h.prune(queue.Keep{})
	h.wantBody("when none are to stay", id, "")
}
