package historytest

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/queuetest"
)

// traffic accepts and ends mail of all sizes until it is stopped.
type traffic struct {
	mu   sync.Mutex
	sent map[string]string // bodies by id
}

func (m *traffic) run(t *testing.T, q queue.Engine, stop <-chan struct{}) {
	ctx := context.Background()
	for i := 0; ; i++ {
		select {
		case <-stop:
			return
		default:
		}
		body := text("load", sizes()[i%len(sizes())])
		d, err := q.New(ctx)
		if err != nil {
			t.Error(err)
			return
		}
		if _, err = d.Write([]byte(body)); err == nil {
			err = d.Commit(ctx, mail("ann@example.com", "a@example.org"))
		}
		if err != nil {
			t.Error(err)
			return
		}
		m.mu.Lock()
		m.sent[d.ID()] = body
		m.mu.Unlock()
		if i%3 == 0 {
			continue
		}
		leases, err := q.Claim(ctx, lane, 1, longTime)
		for _, l := range leases {
			err = l.Finish(ctx, queue.Result{Done: []queue.Record{{Recipient: l.Message().Parts[0].To[0], State: envelope.Sent}}})
		}
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// testBackup: a copy that is made while mail comes and goes is a whole store.
func testBackup(t *testing.T, h *house) {
	ctx := context.Background()
	if h.engine.NoBackup {
		if err := h.q.Backup(ctx, filepath.Join(t.TempDir(), "copy")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("Backup: %v", err)
		}
		return
	}
	h.must("Pause", h.q.Pause(ctx, "b", "root"))
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideAddresses))
	m := mail("ann@example.com", "hidden@example.org")
	m.Parts, m.Done = nil, []queue.Record{{Recipient: m.Envelope.To[0], State: envelope.Sent}}
	h.add("x", m)
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideNothing))
	load := traffic{sent: map[string]string{}}
	stop := make(chan struct{})
	var work sync.WaitGroup
	for range 2 {
		work.Go(func() { load.run(t, h.q, stop) })
	}
	h.await("some mail", func() bool { load.mu.Lock(); defer load.mu.Unlock(); return len(load.sent) > 40 })
	load.mu.Lock()
	before := make([]string, 0, len(load.sent))
	for id := range load.sent {
		before = append(before, id)
	}
	load.mu.Unlock()
	dir := filepath.Join(t.TempDir(), "copy")
	err := h.q.Backup(ctx, dir)
	close(stop)
	work.Wait()
	h.must("Backup", err)
	if err := h.q.Backup(ctx, dir); err == nil {
		t.Error("Backup into a directory that is there: no error")
	}
	h.stop()

	c := &house{T: t, dir: dir, engine: h.engine}
	c.start()
	defer c.stop()
	known := map[string]bool{}
	for _, m := range c.list() {
		known[m.ID] = true
		c.wantBody("of the copy", m.ID, load.sent[m.ID])
		if !m.Parts[0].Interrupted {
			t.Errorf("%s may have been offered since", m.ID)
		}
	}
	waiting := len(known)
	if n := len(c.search(queue.HistoryFilter{To: "hidden@example.org"})); n != 1 {
		t.Errorf("%d records of a hidden address are found, want 1", n)
	}
	for _, r := range c.search(queue.HistoryFilter{To: "a@example.org"}) {
		known[r.ID] = true
		c.finished(r.ID)
	}
	for _, id := range before {
		if !known[id] {
			t.Errorf("%s is not in the copy", id)
		}
	}
	if p, err := c.q.Paused(ctx); err != nil || len(p) != 1 || waiting == 0 || waiting == len(known) {
		t.Errorf("the copy has %d messages, %d of them wait; paused: %v, %v", len(known), waiting, p, err)
	}
	c.send(claimFirst(c), queue.Record{})
	health, err := c.q.Health(ctx)
	if err != nil || health.Unclean || health.Aside > 0 {
		t.Errorf("health of the copy: %+v, %v", health, err)
	}
}

func claimFirst(h *house) queue.Lease {
	h.Helper()
	leases, err := h.q.Claim(context.Background(), lane, 1, longTime)
	h.must("Claim", err)
	if len(leases) != 1 {
		h.Fatalf("Claim: %d leases, want 1", len(leases))
	}
	return leases[0]
}

// testBackupFails: what is not complete is not left.
func testBackupFails(t *testing.T, h *house) {
	if h.engine.NoBackup {
		t.Skip("the store is not backed up by its engine")
	}
	h.add(text("x", 1<<20), mail("ann@example.com", "a@example.org"))
	dir := filepath.Join(t.TempDir(), "copy")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := h.q.Backup(ctx, dir); err == nil {
		t.Error("no error")
	}
	if err := h.q.Backup(context.Background(), filepath.Join(dir, "deep")); err == nil {
		t.Error("no folder for it: no error")
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("something is left: %v", err)
	}
	h.must("Backup", h.q.Backup(context.Background(), dir))
	h.send(h.claim(lane), queue.Record{})
	queuetest.Start(t, h.engine.Open(t, dir))()
}
