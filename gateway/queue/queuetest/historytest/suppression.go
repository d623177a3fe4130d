package historytest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"mailhatch/gateway/queue"
)

// wantSuppressed compares who is suppressed for senders of a domain: "address domain reason".
func (h *house) wantSuppressed(what, domain, addresses string, want ...string) {
	h.Helper()
	list, err := h.q.Suppressed(context.Background(), domain, strings.Fields(addresses)...)
	h.must("Suppressed", err)
	h.wantEntries(what, list, want)
}

func (h *house) wantListed(what string, f queue.SuppressionFilter, want ...string) []queue.Suppression {
	h.Helper()
	list, err := h.q.Suppressions(context.Background(), f)
	h.must("Suppressions", err)
	h.wantEntries(what, list, want)
	return list
}

func (h *house) wantEntries(what string, list []queue.Suppression, want []string) {
	h.Helper()
	got := make([]string, 0, len(list))
	for _, s := range list {
		got = append(got, strings.TrimRight(fmt.Sprintf("%s %s %s", s.Address, s.Reason, s.Domain), " "))
	}
	if !slices.Equal(got, want) {
		h.Errorf("%s: %q, want %q", what, got, want)
	}
}

func (h *house) suppress(added int, entries ...queue.Suppression) {
	h.Helper()
	n, err := h.q.Suppress(context.Background(), entries...)
	h.must("Suppress", err)
	if n != added {
		h.Errorf("Suppress of %+v: %d were added, want %d", entries, n, added)
	}
}

// testSuppress: an address is on the list for the senders of a domain or for all, over restarts, until it is lifted.
func testSuppress(t *testing.T, h *house) {
	ctx, at := context.Background(), time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	h.wantSuppressed("an empty list", "example.com", "a@example.org")
	a := queue.Suppression{Address: "A.b@Example.org", Domain: "Example.com", Reason: queue.ReasonBounced, At: at, Until: at.Add(48 * time.Hour),
		ID: queue.FormatID(7), Upstream: lane, EventKey: "k1", Words: "550 unknown gr€y"}
	h.suppress(2, a, queue.Suppression{Address: "c@example.org", Reason: queue.ReasonManual, At: at.Add(time.Second), By: "root"})
	h.restart()
	h.wantSuppressed("of the domain", "EXAMPLE.com", "a.B@example.org d@example.org", "a.B@example.org bounced example.com")
	h.wantSuppressed("another spelling", "example.com", `"a.b"@EXAMPLE.ORG`, `"a.b"@EXAMPLE.ORG bounced example.com`)
	h.wantSuppressed("of another domain", "example.net", "a.b@example.org c@example.org", "c@example.org manual")
	h.wantSuppressed("the null sender", "", "a.b@example.org c@example.org", "c@example.org manual")
	list := h.wantListed("all", queue.SuppressionFilter{}, "c@example.org manual", "A.b@Example.org bounced example.com")
	got := list[1]
	got.Key, a.Domain = "", "example.com"
	if got != a && !(got.At.Equal(a.At) && got.Until.Equal(a.Until) && got.Words == a.Words && got.ID == a.ID && got.Upstream == a.Upstream && got.EventKey == a.EventKey) {
		t.Errorf("the entry is %+v, want %+v", got, a)
	}
	h.suppress(1, queue.Suppression{Address: "a.b@example.org", Reason: queue.ReasonBounced, At: at})
	h.wantSuppressed("both", "example.com", "a.b@example.org", "a.b@example.org bounced", "a.b@example.org bounced example.com")
	lift := func(what, domain, address string, want ...string) {
		t.Helper()
		lifted, err := h.q.Lift(ctx, domain, address)
		h.must("Lift", err)
		h.wantEntries(what, lifted, want)
	}
	lift("an address that is not there", queue.AnyDomain, "nobody@example.org")
	lift("a domain that is not there", "example.net", "a.b@example.org")
	lift("for all senders", "", "a.B@example.org", "a.b@example.org bounced")
	h.wantSuppressed("the other stays", "example.com", "a.b@example.org", "a.b@example.org bounced example.com")
	h.suppress(1, queue.Suppression{Address: "a.b@example.org", Reason: queue.ReasonBounced, At: at})
	lift("each", queue.AnyDomain, "A.b@example.org", "a.b@example.org bounced", "A.b@Example.org bounced example.com")
	h.restart()
	h.wantListed("after Lift", queue.SuppressionFilter{}, "c@example.org manual")
	for what, bad := range map[string]queue.Suppression{"no address": {Reason: queue.ReasonManual, At: at}, "no reason": {Address: "a@b.c", At: at},
		"no time": {Address: "a@b.c", Reason: queue.ReasonManual}, "no domain": {Address: "a@b.c", Reason: queue.ReasonManual, At: at, Domain: "*"}} {
		if _, err := h.q.Suppress(ctx, queue.Suppression{Address: "x@example.org", Reason: queue.ReasonManual, At: at}, bad); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
	h.wantSuppressed("beside a bad one", "", "x@example.org")
}

// testSuppressAgain: of two entries for the same mail the one that says more stays, and then the later.
func testSuppressAgain(t *testing.T, h *house) {
	at := time.Now().Add(-time.Hour)
	entry := func(r queue.SuppressionReason, after time.Duration) queue.Suppression {
		return queue.Suppression{Address: "a@example.org", Reason: r, At: at.Add(after), Words: fmt.Sprint(after)}
	}
	for i, c := range []struct {
		next  queue.Suppression
		added int
		want  string
	}{
		{entry(queue.ReasonBounced, 2), 1, "bounced 2ns"},
		{entry(queue.ReasonBounced, -time.Minute), 0, "bounced 2ns"},
		{entry(queue.ReasonSuppressed, time.Minute), 1, "suppressed 1m0s"},
		{entry(queue.ReasonComplained, 0), 1, "complained 0s"},
		{entry(queue.ReasonBounced, time.Hour), 0, "complained 0s"},
		{entry(queue.ReasonUnsubscribed, time.Second), 1, "unsubscribed 1s"},
		{entry(queue.ReasonManual, 0), 1, "manual 0s"},
		{entry(queue.ReasonComplained, time.Hour), 0, "manual 0s"},
	} {
		h.suppress(c.added, c.next)
		list, err := h.q.Suppressed(context.Background(), "", "a@example.org")
		h.must("Suppressed", err)
		if len(list) != 1 || string(list[0].Reason)+" "+list[0].Words != c.want {
			t.Errorf("step %d: %+v, want %q", i, list, c.want)
		}
	}
}

// testSuppressUntil: an entry that has run out is as if it were not there, and goes with Prune.
func testSuppressUntil(t *testing.T, h *house) {
	past := time.Now().Add(-time.Hour)
	entry := func(address string, until time.Time) queue.Suppression {
		return queue.Suppression{Address: address, Reason: queue.ReasonComplained, At: past.Add(-time.Hour), Until: until}
	}
	for i := range 3 {
		h.suppress(1, entry(fmt.Sprintf("old%d@example.org", i), past))
	}
	h.suppress(2, entry("new@example.org", past.Add(48*time.Hour)), entry("ever@example.org", time.Time{}))
	h.wantSuppressed("run out", "", "old1@example.org new@example.org ever@example.org", "new@example.org complained", "ever@example.org complained")
	h.wantListed("all", queue.SuppressionFilter{}, "new@example.org complained", "ever@example.org complained")
	late := entry("old2@example.org", time.Time{})
	late.Reason = queue.ReasonBounced
	h.suppress(1, late) // nothing that has run out stands before it
	h.prune(queue.Keep{})
	h.wantListed("after Prune", queue.SuppressionFilter{}, "old2@example.org bounced", "new@example.org complained", "ever@example.org complained")
}

// testSuppressions: the list is found by address, domain and reason, and read page by page.
func testSuppressions(t *testing.T, h *house) {
	at, ctx := time.Now().Add(-time.Hour), context.Background()
	var all []queue.Suppression
	for i := range 25 {
		all = append(all, queue.Suppression{Address: fmt.Sprintf("u%02d@example.org", i), Domain: []string{"", "a.test", "b.test"}[i%3],
			Reason: queue.SuppressionReasons()[i%2], At: at.Add(time.Duration(i/5) * time.Second)})
	}
	h.suppress(25, all...)
	h.wantListed("by address", queue.SuppressionFilter{Address: "U07@example.org"}, "u07@example.org complained a.test")
	h.wantListed("by pattern", queue.SuppressionFilter{Address: "u?7@*"}, "u17@example.org complained b.test", "u07@example.org complained a.test")
	h.wantListed("by domain and reason", queue.SuppressionFilter{Domain: "B.test", Reason: queue.ReasonBounced, Limit: 2}, "u20@example.org bounced b.test", "u14@example.org bounced b.test")
	f, got := queue.SuppressionFilter{Limit: 4}, []string{}
	for {
		page, err := h.q.Suppressions(ctx, f)
		h.must("Suppressions", err)
		for _, s := range page {
			got = append(got, s.Address)
			f.After = s.Key
		}
		if len(page) < f.Limit {
			break
		}
	}
	if len(got) != 25 || got[0] != "u24@example.org" || got[24] != "u00@example.org" || !slices.IsSortedFunc(got, func(a, b string) int { return strings.Compare(b, a) }) {
		t.Errorf("page by page: %q", got)
	}
	if _, err := h.q.Suppressions(ctx, queue.SuppressionFilter{After: "?"}); !errors.Is(err, queue.ErrPlace) {
		t.Errorf("an odd place: %v", err)
	}
}

// testSuppressHidden: where the history hides addresses, so does the list, and it works all the same.
func testSuppressHidden(t *testing.T, h *house) {
	at := time.Now()
	h.suppress(1, queue.Suppression{Address: "plain@example.org", Reason: queue.ReasonBounced, At: at.Add(-time.Hour)})
	h.must("SetPrivacy", h.q.SetPrivacy(queue.HideAddresses))
	h.suppress(1, queue.Suppression{Address: "Bob@example.org", Reason: queue.ReasonBounced, At: at, Words: "550 <bob@example.org> unknown"})
	h.suppress(0, queue.Suppression{Address: "bob@example.org", Reason: queue.ReasonBounced, At: at.Add(-time.Hour)})
	h.restart()
	h.wantSuppressed("both", "", "bob@example.org plain@example.org", "bob@example.org bounced", "plain@example.org bounced")
	list, err := h.q.Suppressions(context.Background(), queue.SuppressionFilter{})
	h.must("Suppressions", err)
	if len(list) != 2 || strings.Contains(list[0].Address+list[0].Words, "@") || list[1].Address != "plain@example.org" {
		t.Errorf("the list shows %+v", list)
	}
	if list, err := h.q.Suppressions(context.Background(), queue.SuppressionFilter{Address: "bob@example.org"}); err != nil || len(list) != 1 {
		t.Errorf("by address: %+v, %v", list, err)
	}
	for _, address := range []string{"plain@example.org", "BOB@example.org"} {
		if lifted, err := h.q.Lift(context.Background(), queue.AnyDomain, address); err != nil || len(lifted) != 1 {
			t.Errorf("Lift of %s: %+v, %v", address, lifted, err)
		}
	}
	h.suppress(1, queue.Suppression{Address: list[0].Address, Reason: queue.ReasonManual, At: at}) // an export put back
	h.wantSuppressed("by its digest", "", "bob@example.org", "bob@example.org manual")
	if lifted, err := h.q.Lift(context.Background(), "", list[0].Address); err != nil || len(lifted) != 1 {
		t.Errorf("Lift of a digest: %+v, %v", lifted, err)
	}
}
