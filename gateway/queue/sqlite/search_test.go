package sqlite_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"mailhatch/gateway/envelope"
	"mailhatch/gateway/queue"
	"mailhatch/gateway/queue/sqlite"
)

// ended adds n messages to the history, as programs send them: many recipients, few senders, subjects with numbers.
func ended(t testing.TB, s *sqlite.Store, n int) {
	t.Helper()
	words := []string{"Invoice", "Reminder", "Backup", "Your order", "Grüße", "Password reset", "Alarm: disk"}
	states := []envelope.State{envelope.Sent, envelope.Sent, envelope.Sent, envelope.Failed, envelope.Discarded}
	begin := time.Now().Add(-time.Duration(n) * time.Second)
	one := func(i int) error {
		r := rand.New(rand.NewPCG(1, uint64(i)))
		to := envelope.Recipient{Address: fmt.Sprintf("user%d.%s@example%d.org", i, strconv.FormatUint(r.Uint64(), 36)[:6], r.IntN(50))}
		if r.IntN(20) == 0 {
			to.Given = fmt.Sprintf("alias%d", i)
		}
		d, err := s.New(context.Background())
		if err != nil {
			return err
		}
		if _, err := d.Write([]byte("Subject: x\r\nFrom: x\r\n\r\nx\r\n")); err != nil {
			return err
		}
		return d.Commit(context.Background(), queue.Accepted{
			Envelope: envelope.Envelope{From: fmt.Sprintf("app%d@example.com", r.IntN(20)), To: []envelope.Recipient{to}, Received: begin},
			Header:   queue.Summary{MessageID: fmt.Sprintf("<m%d@app.example.com>", i), From: "App <app@example.com>", Subject: fmt.Sprintf("%s %d", words[r.IntN(len(words))], i)},
			Done: []queue.Record{{Recipient: to, State: states[r.IntN(len(states))], Upstream: []string{"main", "bulk", "relay"}[r.IntN(3)],
				ProviderID: fmt.Sprintf("p-%d", i), At: begin.Add(time.Duration(i) * time.Second), Attempts: 1}},
		})
	}
	var work sync.WaitGroup
	const callers = 64
	for c := range callers {
		work.Go(func() {
			for i := c; i < n; i += callers {
				if err := one(i); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	work.Wait()
}

// searches are what people look for in a history of n messages.
func searches(n int) map[string]queue.HistoryFilter {
	begin := time.Now().Add(-time.Duration(n) * time.Second)
	some := n / 3
	return map[string]queue.HistoryFilter{
		"recipient within":            {To: fmt.Sprintf("user%d.*", some)},
		"recipient as given":          {To: "alias*"},
		"recipient, no hit":           {To: "nobody@example1.org"},
		"recipient pattern, no hit":   {To: "*zz??zz*@example1.org"},
		"any recipient":               {To: "*"},
		"domain":                      {To: "*@example7.org"},
		"word":                        {Word: fmt.Sprintf("ser%d.", some)},
		"word, no hit":                {Word: "xyzzy"},
		"common word":                 {Word: "example"},
		"sender":                      {From: "app3@example.com"},
		"sender, no hit":              {From: "nobody@example.com"},
		"subject word":                {Subject: strconv.Itoa(some)},
		"subject words":               {Subject: "invoice 17"},
		"subject, no hit":             {Subject: "invoice xyzzy"},
		"Message-ID":                  {MessageID: fmt.Sprintf("m%d@app.example.com", some)},
		"Message-ID, no hit":          {MessageID: "none@app.example.com"},
		"provider's id":               {ProviderID: fmt.Sprintf("p-%d", some)},
		"state":                       {State: envelope.Discarded},
		"state, no hit":               {State: envelope.Held},
		"upstream":                    {Upstream: "relay"},
		"upstream, no hit":            {Upstream: "none"},
		"time":                        {Since: begin.Add(time.Duration(some) * time.Second), Until: begin.Add(time.Duration(some+50) * time.Second)},
		"until":                       {Until: begin.Add(time.Duration(some) * time.Second)},
		"combined":                    {To: "*@example7.org", Subject: "invoice", Upstream: "bulk", State: envelope.Failed},
		"combined, no hit":            {To: "*@example7.org", Subject: "invoice", From: "app3@*", Upstream: "none"},
		"words that never meet":       {To: "user1*", Subject: "disk invoice"},
		"recipient and word, no hit":  {To: fmt.Sprintf("user%d.*", some), Word: "xyzzy"},
		"Message-ID of another state": {MessageID: fmt.Sprintf("m%d@app.example.com", some), State: envelope.Held},
	}
}

// TestSheets: what sheets name is what all records show, whichever part of the history they hold.
func TestSheets(t *testing.T) {
	const n = 5000
	s := openStore(t, queue.Settings{Dir: t.TempDir()})
	defer mustClose(t, s)
	ended(t, s, n)
	compare := func(what string, all int) {
		t.Helper()
		records := mustSearch(t, s, queue.HistoryFilter{})
		if len(records) != all {
			t.Fatalf("%s: %d records, want %d", what, len(records), all)
		}
		for name, f := range searches(n) {
			var want []queue.Record
			for i := range records {
				if f.Matches(&records[i]) {
					want = append(want, records[i])
				}
			}
			if diff := cmp.Diff(want, mustSearch(t, s, f)); diff != "" {
				t.Errorf("%s: %s (-want +got):\n%.2000s", what, name, diff)
			}
			if len(want) < 4 {
				continue
			}
			f.Limit, f.After = 2, want[1].Key
			if diff := cmp.Diff(want[2:4], mustSearch(t, s, f)); diff != "" {
				t.Errorf("%s: the second page of %s (-want +got):\n%.2000s", what, name, diff)
			}
		}
	}
	compare("before", n)
	await(t, "sheets", func() bool { return s.Indexed() >= n-1024 })
	compare("after", n)
	old := time.Now().Add(-time.Duration(n) * time.Second).Add(1500 * time.Second)
	if _, err := s.Prune(context.Background(), queue.Keep{SentAfter: old}); err != nil {
		t.Fatal(err)
	}
	left := len(mustSearch(t, s, queue.HistoryFilter{}))
	if left == 0 || left > n-1000 {
		t.Errorf("%d records are left", left)
	}
	compare("after Prune", left)
	if _, err := s.Prune(context.Background(), queue.Keep{SentAfter: time.Now().Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	compare("after Prune of all", 0)
	if sheets := s.Sheets(); sheets != 0 {
		t.Errorf("%d columns of sheets are left", sheets)
	}
	ended(t, s, 3000)
	await(t, "sheets", func() bool { return s.Indexed() >= n+2048 })
	compare("of numbers that go on", 3000)
}

func mustSearch(t testing.TB, s *sqlite.Store, f queue.HistoryFilter) []queue.Record {
	t.Helper()
	out, err := s.Search(context.Background(), f)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func await(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// BenchmarkSearch looks for a page of 100 in the history of MAILHATCH_HISTORY messages.
func BenchmarkSearch(b *testing.B) {
	n, err := strconv.Atoi(os.Getenv("MAILHATCH_HISTORY"))
	if err != nil {
		b.Skip("set MAILHATCH_HISTORY to a number of messages; 1000000 take a minute or two to fill")
	}
	s := openStore(b, queue.Settings{Dir: b.TempDir()})
	defer s.Close()
	ended(b, s, n)
	await(b, "sheets", func() bool { return s.Indexed() >= int64(n)-1024 })
	all := searches(n)
	all["the latest"] = queue.HistoryFilter{}
	all["a page in the middle"] = queue.HistoryFilter{After: strconv.FormatInt(int64(n/2), 36)}
	for name, f := range all {
		f.Limit = 100
		b.Run(name, func(b *testing.B) {
			hits := 0
			for b.Loop() {
				hits = len(mustSearch(b, s, f))
			}
			b.ReportMetric(float64(hits), "hits")
			b.ReportMetric(float64(b.Elapsed().Milliseconds())/float64(b.N), "ms/op")
		})
	}
}
