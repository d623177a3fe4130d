package told

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/row"
)

const from = "app@example.com"

// hide is the digest of a history that hides addresses.
func hide(address string) string { return "~" + queue.AddressText(address) }

func hidesNothing(string) string { return "" }

// records makes the rows of mail that an upstream took.
func records(t *testing.T, sender string, to ...envelope.Recipient) (list []*row.Record) {
	t.Helper()
	m := &queue.Message{Envelope: envelope.Envelope{From: sender}, Header: queue.Summary{MessageID: "<1@example.com>"}}
	var done []queue.Record
	for _, r := range to {
		done = append(done, queue.Record{Recipient: r, State: envelope.Sent, Upstream: "main", ProviderID: "<P-1>", At: time.UnixMilli(1000)})
	}
	rows, err := row.Make(time.Now(), m, 7, nil, done, func(*queue.Record) {})
	if err != nil {
		t.Fatal(err)
	}
	for i := range rows.Records {
		list = append(list, &rows.Records[i])
	}
	return list
}

// TestName: what is told is told apart by the provider's key, else by what it says, and by its upstream.
func TestName(t *testing.T) {
	seen := map[string]string{}
	for _, c := range []struct {
		what, upstream string
		told           queue.Told
		as             string
	}{
		{"a key", "main", queue.Told{Key: "k", Recipient: "a"}, ""},
		{"the same key", "main", queue.Told{Key: "k", Recipient: "b"}, "a key"},
		{"of another upstream", "b", queue.Told{Key: "k"}, ""},
		{"no key", "main", queue.Told{ProviderID: "p", Recipient: "ann@example.org", Kind: queue.EventBounced}, ""},
		{"the same", "main", queue.Told{ProviderID: "p", Recipient: "Ann@Example.org", Kind: queue.EventBounced, Words: "x"}, "no key"},
		{"another time", "main", queue.Told{ProviderID: "p", Recipient: "ann@example.org", Kind: queue.EventBounced, At: time.UnixMilli(1)}, ""},
	} {
		i := New(c.upstream, c.told)
		if got := seen[i.Name]; got != c.as {
			t.Errorf("%s is taken for %q, want %q", c.what, got, c.as)
		}
		if seen[i.Name] == "" {
			seen[i.Name] = c.what
		}
	}
}

// TestFind: which recipient something is about.
func TestFind(t *testing.T) {
	list := records(t, from, envelope.Recipient{Address: "team@example.org", Given: "ann@example.org"},
		envelope.Recipient{Address: "ann@example.org"}, envelope.Recipient{Address: "bob@example.org", Given: "robert@example.org"})
	hidden := records(t, from, envelope.Recipient{Address: hide("ann@example.org")}, envelope.Recipient{Address: hide("bob@example.org")})
	for _, c := range []struct {
		what string
		told queue.Told
		of   []*row.Record
		hide Hide
		want int
	}{
		{"an address that another one was given for", queue.Told{ProviderID: "p-1", Recipient: "Ann@example.org"}, list, hidesNothing, 1},
		{"an address that a client gave", queue.Told{ProviderID: "p-1", Recipient: "robert@example.org"}, list, hidesNothing, 2},
		{"nobody, of three", queue.Told{ProviderID: "p-1"}, list, hidesNothing, -1},
		{"nobody, of one", queue.Told{ProviderID: "p-1"}, list[:1], hidesNothing, 0},
		{"a stranger", queue.Told{ProviderID: "p-1", Recipient: "eve@example.org"}, list, hidesNothing, -1},
		{"another id", queue.Told{ProviderID: "p-2", Recipient: "ann@example.org"}, list, hidesNothing, -1},
		{"no id", queue.Told{Recipient: "ann@example.org"}, list, hidesNothing, -1},
		{"a queue id, whatever the provider's", queue.Told{ID: queue.FormatID(7), ProviderID: "p-2", Recipient: "bob@example.org"}, list, hidesNothing, 2},
		{"a hidden one", queue.Told{ProviderID: "p-1", Recipient: "BOB@example.org"}, hidden, hide, 1},
	} {
		i := New("main", c.told)
		if got, err := i.Find(c.of, c.hide); got != c.want || err != nil {
			t.Errorf("%s: record %d, %v; want %d", c.what, got, err, c.want)
		}
		i.Upstream = "other"
		if got, err := i.Find(c.of, c.hide); got != -1 || err != nil {
			t.Errorf("%s, by another upstream: record %d, %v", c.what, got, err)
		}
	}
	i := New("main", queue.Told{ProviderID: "p-1", Recipient: "robert@example.org"})
	if _, err := i.Find([]*row.Record{{Recipient: "bob@example.org", Info: "?"}}, hidesNothing); err == nil {
		t.Error("a damaged record is read")
	}
}

// TestTake: what a recipient's events make of its record, one after the other.
func TestTake(t *testing.T) {
	for _, c := range []struct {
		what   string
		sender string
		kinds  []queue.EventKind // told in this order, each a second after the one before
		want   string
	}{
		{"a bounce", from, []queue.EventKind{queue.EventBounced}, "bounced: event report"},
		{"of the null sender", "", []queue.EventKind{queue.EventBounced}, "bounced: event"},
		{"a delivery", from, []queue.EventKind{queue.EventDelivered}, "delivered: event"},
		{"one of a kind", from, []queue.EventKind{queue.EventDelivered, queue.EventDelivered}, "delivered: event, nothing"},
		{"many of a kind", from, []queue.EventKind{queue.EventOpened, queue.EventOpened}, "sent: event, event"},
		{"reported once", from, []queue.EventKind{queue.EventBounced, queue.EventDelivered, queue.EventBounced}, "bounced: event report, event, no event"},
	} {
		h, r, got := NewHeard(), records(t, c.sender, envelope.Recipient{Address: "ann@example.org"})[0], ""
		for n, kind := range c.kinds {
			i := New("main", queue.Told{ProviderID: "p-1", Kind: kind, At: time.UnixMilli(int64(2000 + 1000*n)), Words: "550 no"})
			for range 2 { // the second time it changes nothing
				news, err := h.Take(&i, r, hidesNothing)
				if err != nil {
					t.Fatal(err)
				}
				if i.Words == "" {
					if news != nil {
						t.Errorf("%s: told again it is %+v", c.what, news)
					}
					continue
				}
				if got != "" {
					got += ", "
				}
				got += describe(news)
				i.Words = ""
			}
		}
		rec, err := r.Decode()
		if got = string(rec.State) + ": " + got; got != c.want || err != nil {
			t.Errorf("%s: %q %v, want %q", c.what, got, err, c.want)
		}
	}
}

func describe(n *News) string {
	switch {
	case n == nil:
		return "nothing"
	case n.Event.Kind == "":
		return "no event"
	case n.Report:
		return "event report"
	}
	return "event"
}

// TestTakeFull: a message keeps so many events; beyond them states alone change.
func TestTakeFull(t *testing.T) {
	h, r := NewHeard(), records(t, from, envelope.Recipient{Address: "ann@example.org"})[0]
	for n := range queue.ToldOfMail {
		h.Add(queue.Event{Kind: queue.EventOpened, Told: fmt.Sprint(n)})
	}
	h.Add(queue.Event{Kind: queue.EventRetried})
	opened := New("main", queue.Told{Kind: queue.EventOpened})
	if news, err := h.Take(&opened, r, hidesNothing); news != nil || err != nil {
		t.Errorf("one more: %+v %v", news, err)
	}
	bounced := New("main", queue.Told{Kind: queue.EventBounced, At: time.Now()})
	if news, err := h.Take(&bounced, r, hidesNothing); describe(news) != "no event" || !news.Changed || err != nil {
		t.Errorf("a bounce: %+v %v", news, err)
	}
	if _, err := h.Take(&bounced, &row.Record{Info: "?"}, hidesNothing); err == nil {
		t.Error("a damaged record is changed")
	}
}

// TestFindByAddress: the last mail to an address is meant where nothing names one.
func TestFindByAddress(t *testing.T) {
	var asked []queue.HistoryFilter
	search := func(_ context.Context, f queue.HistoryFilter) ([]queue.Record, error) {
		asked = append(asked, f)
		if f.To == "bad" {
			return nil, errors.New("no answer")
		}
		return []queue.Record{{ID: queue.FormatID(9)}}, nil
	}
	for _, c := range []struct {
		told queue.Told
		want int64
	}{
		{queue.Told{ID: queue.FormatID(7), Recipient: "a"}, 7}, {queue.Told{ProviderID: "p", Recipient: "a"}, 0}, {queue.Told{}, 0},
		{queue.Told{Recipient: "a", At: time.UnixMilli(5)}, 9},
	} {
		i := New("main", c.told)
		if err := i.FindByAddress(context.Background(), search); i.Message != c.want || err != nil {
			t.Errorf("%+v: message %d, %v; want %d", c.told, i.Message, err, c.want)
		}
	}
	if len(asked) != 1 || asked[0].Upstream != "main" || !asked[0].Since.Before(time.UnixMilli(5)) {
		t.Errorf("asked for %+v", asked)
	}
	i := New("main", queue.Told{Recipient: "bad"})
	if err := i.FindByAddress(context.Background(), search); err == nil {
		t.Error("a failed search is an answer")
	}
}

// TestRejoin: what came of all pages is returned, and what is left counts once.
func TestRejoin(t *testing.T) {
	ctx, failed := context.Background(), errors.New("away")
	for _, c := range []struct {
		name                      string
		pages                     int
		pageErr, joinErr, expired error
		want                      string
	}{
		{name: "nothing waits", want: "joined 0, suppressed 0, lifted 0, again 0, dropped 0, waiting 0, expired false <nil>"},
		{name: "three pages", pages: 3, want: "joined 3, suppressed 3, lifted 3, again 3, dropped 5, waiting 5, expired true <nil>"},
		{name: "no page", pages: 3, pageErr: failed, want: "joined 0, suppressed 0, lifted 0, again 0, dropped 0, waiting 0, expired false away"},
		{name: "no join", pages: 3, joinErr: failed, want: "joined 0, suppressed 0, lifted 0, again 0, dropped 0, waiting 0, expired false away"},
		{name: "no end", pages: 1, expired: failed, want: "joined 1, suppressed 1, lifted 1, again 1, dropped 3, waiting 5, expired true away"},
	} {
		over := false
		page := func(_ context.Context, after int64) ([]int, int64, error) {
			if after == int64(c.pages) {
				return nil, after, c.pageErr
			}
			return []int{1}, after + 1, c.pageErr
		}
		join := func(context.Context, []int) (queue.Applied, error) {
			return queue.Applied{Joined: make([]queue.Joined, 1), Suppressed: make([]queue.Suppression, 1), Lifted: make([]queue.Suppression, 1),
				Again: 1, Dropped: 1, Waiting: 7}, c.joinErr
		}
		expire := func(context.Context) (int, error) { over = true; return 2, c.expired }
		a, err := Rejoin(ctx, page, join, expire)
		got := fmt.Sprintf("joined %d, suppressed %d, lifted %d, again %d, dropped %d, waiting %d, expired %v %v",
			len(a.Joined), len(a.Suppressed), len(a.Lifted), a.Again, a.Dropped, a.Waiting, over, err)
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}
