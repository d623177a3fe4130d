package refused

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/engines"
	"mailhatch/gateway/queue/queuetest"
)

// house is a keeper over a real store.
type house struct {
	*Keeper
	t     *testing.T
	q     queue.Engine
	clock time.Time
}

func newHouse(t *testing.T) *house {
	t.Helper()
	q, err := engines.Open(t.Context(), engines.Default, queue.Settings{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(queuetest.Start(t, q))
	h := &house{t: t, q: q, clock: time.Now()}
	h.Keeper = New(q, func() time.Time { return h.clock }, func(err error) { t.Error(err) })
	return h
}

// kept writes what waits, and returns all records, the latest first.
func (h *house) kept(f queue.HistoryFilter) []queue.Record {
	h.t.Helper()
	ctx, cancel := context.WithCancel(h.t.Context())
	cancel()
	if err := h.Run(ctx); err != nil {
		h.t.Fatal(err)
	}
	list, err := h.q.Search(h.t.Context(), f)
	if err != nil {
		h.t.Fatal(err)
	}
	return list
}

func mail(from string, to ...string) Mail {
	return Mail{From: from, To: to, Client: netip.MustParseAddr("192.0.2.1"), User: "app", Listener: "l", Reply: "550 5.7.1 no"}
}

func TestRefusedMailIsInTheHistory(t *testing.T) {
	h := newHouse(t)
	h.Note(mail("app@example.com", "ann@example.org", "bob@example.org"))
	h.Note(mail("app@example.com"))
	h.Note(mail("bad\xff", "b\xff@example.org"))
	got := h.kept(queue.HistoryFilter{State: envelope.Refused})
	var lines []string
	for _, r := range got {
		lines = append(lines, fmt.Sprintf("%s > %s: %s", r.From, r.Recipient.Address, r.Error))
	}
	slices.Sort(lines)
	want := []string{"app@example.com > : 550 5.7.1 no", "app@example.com > ann@example.org: 550 5.7.1 no", "app@example.com > bob@example.org: 550 5.7.1 no",
		"bad? > b?@example.org: 550 5.7.1 no"}
	if !slices.Equal(lines, want) {
		t.Errorf("%q, want %q", lines, want)
	}
	if got := h.kept(queue.HistoryFilter{To: "ann@*"}); len(got) != 1 {
		t.Errorf("%d records of ann", len(got))
	}
}

func TestManyRecipients(t *testing.T) {
	h := newHouse(t)
	var to []string
	for i := range 1000 {
		to = append(to, fmt.Sprintf("r%d@example.org", i))
	}
	h.Note(mail("app@example.com", to...))
	if got := h.kept(queue.HistoryFilter{}); len(got) != maxRecipients || !strings.HasSuffix(got[0].Error, "no (and 980 more recipients)") {
		t.Errorf("%d records: %+v", len(got), got[0])
	}
}

// TestFloods: what comes again and again is kept once in a while, and of much that is new a bounded number.
func TestFloods(t *testing.T) {
	h := newHouse(t)
	for range 1000 {
		h.Note(mail("app@example.com", "ann@example.org"))
	}
	if got := h.kept(queue.HistoryFilter{}); len(got) != 1 {
		t.Errorf("%d records of one refusal", len(got))
	}
	h.clock = h.clock.Add(again)
	h.Note(mail("app@example.com", "ann@example.org"))
	if got := h.kept(queue.HistoryFilter{}); len(got) != 2 {
		t.Errorf("%d records after a while", len(got))
	}
	for i := range 3 * maxKnown {
		if h.Note(mail("app@example.com", fmt.Sprintf("r%d@example.org", i))); i < 2*burst && i%(maxWaiting/2) == 0 {
			h.kept(queue.HistoryFilter{})
		}
	}
	if n := len(h.kept(queue.HistoryFilter{})); n < burst || n > burst+2 {
		t.Errorf("%d records of a flood", n)
	}
	if len(h.known) > maxKnown {
		t.Errorf("%d refusals are remembered", len(h.known))
	}
	h.clock = h.clock.Add(24 * time.Hour)
	for i := range 2 * maxWaiting { // faster than they are written
		h.Note(mail("app@example.com", fmt.Sprintf("n%d@example.org", i)))
	}
	h.kept(queue.HistoryFilter{})
}

// TestStoreFails: that is reported, and costs nothing else.
func TestStoreFails(t *testing.T) {
	h := newHouse(t)
	var told error
	h.report = func(err error) { told = err }
	h.Keeper.queue = broken{}
	h.Note(mail("app@example.com", "ann@example.org"))
	h.kept(queue.HistoryFilter{})
	if told == nil || !errors.Is(told, queue.ErrBroken) {
		t.Error(told)
	}
}

type broken struct{ queue.Queue }

func (broken) New(context.Context) (queue.Draft, error) { return nil, queue.ErrBroken }
