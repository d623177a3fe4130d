// Package queuetest holds the suite that every engine of package queue must pass.
//
// An engine's test calls [Run] and [Crash] from test functions of its own, and [PowerCut] where a
// file system can be stopped.
package queuetest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
)

// Engine is the engine under test.
type Engine struct {
	// Open opens the engine's store in a directory, which may hold the state of an earlier one. It fails the
	// test if it cannot. The suite runs and closes the store.
	Open func(t *testing.T, dir string) queue.Engine
	// OneProcess means that no other process can have the store open at the same time, so that leases end
	// with the process that has them, and counts are of the moment. Elsewhere leases end by time alone, and counts may lag.
	OneProcess bool
	// NoBackup means that Backup says errors.ErrUnsupported: who runs the store has better means.
	NoBackup bool
}

const (
	lane     = "main"
	longTime = time.Minute // a lease that does not end in a test
)

// Run checks that an engine does what package queue says.
func Run(t *testing.T, e Engine) {
	for _, c := range []struct {
		name string
		test func(*testing.T, *house)
	}{
		{"Accept", testAccept},
		{"AcceptDone", testAcceptDone},
		{"AcceptRefuses", testAcceptRefuses},
		{"Sizes", testSizes},
		{"DraftBody", testDraftBody},
		{"Discard", testDiscard},
		{"IDs", testIDs},
		{"Reopen", testReopen},
		{"ClaimOrder", testClaimOrder},
		{"ClaimLanes", testClaimLanes},
		{"Serve", testServe},
		{"LeaseEnds", testLeaseEnds},
		{"LeaseRelease", testLeaseRelease},
		{"Interrupted", testInterrupted},
		{"RestartFreesLeases", testRestartFreesLeases},
		{"Finish", testFinish},
		{"FinishSplits", testFinishSplits},
		{"FinishRefuses", testFinishRefuses},
		{"Canceled", testCanceled},
		{"Changed", testChanged},
		{"Retry", testRetry},
		{"Hold", testHold},
		{"HoldDuringLease", testHoldDuringLease},
		{"Delete", testDelete},
		{"PartsByState", testPartsByState},
		{"PartsByField", testPartsByField},
		{"PartsByRecipient", testPartsByRecipient},
		{"DivideDuringLease", testDivideDuringLease},
		{"Move", testMove},
		{"MoveDuringLease", testMoveDuringLease},
		{"DeleteDuringLease", testDeleteDuringLease},
		{"Hasten", testHasten},
		{"List", testList},
		{"ListPages", testListPages},
		{"Import", testImport},
		{"Prune", testPrune},
		{"PruneBytes", testPruneBytes},
		{"Stats", testStats},
		{"Ahead", testAhead},
		{"Quota", testQuota},
		{"QuotaOfLease", testQuotaOfLease},
		{"QuotaCounting", testQuotaCounting},
		{"QuotaPrune", testQuotaPrune},
		{"QuotaRace", testQuotaRace},
		{"Closed", testClosed},
		{"OneWinner", testOneWinner},
		{"Load", testLoad},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := &house{T: t, dir: t.TempDir(), engine: e}
			h.start()
			t.Cleanup(h.stop)
			c.test(t, h)
		})
	}
}

// house is a store under test with the shorthand of the tests.
type house struct {
	*testing.T
	dir    string
	engine Engine
	q      queue.Engine
	end    func()
}

func (h *house) start() {
	h.q = h.engine.Open(h.T, h.dir)
	h.end = Start(h.T, h.q)
}

func (h *house) stop() {
	if h.q != nil {
		h.end()
		h.q = nil
	}
}

// Start runs an engine. The function that it returns ends and closes it.
func Start(t testing.TB, q queue.Engine) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- q.Run(ctx) }()
	return func() {
		t.Helper()
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
		if err := q.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func (h *house) restart() {
	h.stop()
	h.start()
}

// must fails the test on an error.
func (h *house) must(what string, err error) {
	h.Helper()
	if err != nil {
		h.Fatalf("%s: %v", what, err)
	}
}

// accepted is an envelope with one part for all its recipients.
func accepted(from string, to ...string) queue.Accepted {
	m := queue.Accepted{Envelope: envelope.Envelope{From: from, Received: time.Now()}}
	for _, address := range to {
		m.Envelope.To = append(m.Envelope.To, envelope.Recipient{Address: address})
	}
	m.Parts = []queue.Part{{To: m.Envelope.To, Lane: lane, State: envelope.Queued}}
	return m
}

// commit accepts a message and returns its id.
func (h *house) commit(body []byte, m queue.Accepted) string {
	h.Helper()
	id, err := commit(h.q, body, m)
	h.must("commit", err)
	return id
}

func commit(q queue.Queue, body []byte, m queue.Accepted) (string, error) {
	d, err := q.New(context.Background())
	if err != nil {
		return "", err
	}
	defer d.Discard()
	if _, err := d.Write(body); err != nil {
		return "", err
	}
	return d.ID(), d.Commit(context.Background(), m)
}

// add accepts a small message for one recipient.
func (h *house) add(to string) string {
	h.Helper()
	return h.commit([]byte("Subject: hello\r\n\r\nhello\r\n"), accepted("ann@example.com", to))
}

func (h *house) claim(max int) []queue.Lease {
	h.Helper()
	leases, err := h.q.Claim(context.Background(), lane, max, longTime)
	h.must("Claim", err)
	return leases
}

// claimOne claims the one part that is due.
func (h *house) claimOne() queue.Lease {
	h.Helper()
	leases := h.claim(10)
	if len(leases) != 1 {
		h.Fatalf("Claim: got %d leases, want 1", len(leases))
	}
	return leases[0]
}

func (h *house) finish(l queue.Lease, r queue.Result) {
	h.Helper()
	h.must("Finish", l.Finish(context.Background(), r))
}

// sent is the result of a part whose recipients all got the mail.
func sent(l queue.Lease) queue.Result {
	var r queue.Result
	for _, to := range l.Message().Parts[0].To {
		r.Done = append(r.Done, queue.Record{Recipient: to, State: envelope.Sent, At: time.Now(), Upstream: lane, ProviderID: "p-1", Attempts: 1})
	}
	return r
}

func (h *house) list(f queue.Filter) []queue.Message {
	h.Helper()
	out, err := h.q.List(context.Background(), f, queue.Page{})
	h.must("List", err)
	return out
}

// only returns the one message in the queue.
func (h *house) only() queue.Message {
	h.Helper()
	out := h.list(queue.Filter{})
	if len(out) != 1 {
		h.Fatalf("List: got %d messages, want 1", len(out))
	}
	return out[0]
}

func (h *house) history(f queue.HistoryFilter) []queue.Record {
	h.Helper()
	out, err := h.q.Search(context.Background(), f)
	h.must("History", err)
	return out
}

func (h *house) body(id string) []byte {
	h.Helper()
	b, err := h.q.Body(context.Background(), id)
	h.must("Body", err)
	return h.read(b)
}

// read reads a body and closes it.
func (h *house) read(b queue.Body) []byte {
	h.Helper()
	defer b.Close()
	out, err := io.ReadAll(io.NewSectionReader(b, 0, b.Size()))
	h.must("read body", err)
	return out
}

// wantIDs compares the ids of messages.
func (h *house) wantIDs(what string, got []queue.Message, want ...string) {
	h.Helper()
	var ids []string
	for _, m := range got {
		ids = append(ids, m.ID)
	}
	if !slices.Equal(ids, want) {
		h.Errorf("%s: got %d messages, want %d: %.200q, want %.200q", what, len(ids), len(want), ids, want)
	}
}

// bytesOf returns n bytes that are different for each seed.
func bytesOf(seed uint64, n int) []byte {
	out := make([]byte, n)
	var key [32]byte
	binary.BigEndian.PutUint64(key[:], seed)
	rand.NewChaCha8(key).Read(out)
	return out
}

func wantBytes(t *testing.T, what string, got, want []byte) {
	t.Helper()
	if !bytes.Equal(got, want) {
		t.Errorf("%s: got %d bytes, want %d, or they differ", what, len(got), len(want))
	}
}
